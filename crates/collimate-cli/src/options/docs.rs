//! Descriptions, types and defaults of options, found by their paths.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Layered;

/// The schema of a command's options, with the defaults.
#[derive(Debug)]
pub(crate) struct Docs {
    schema: Value,
    own: Value,
    world: Value,
}

impl Docs {
    pub(crate) fn of<L: Layered>() -> Self {
        let defaults = |own| {
            let defaults = L::defaults(own).ok();
            serde_json::to_value(defaults).unwrap_or_default()
        };
        Self {
            own: defaults(true),
            world: defaults(false),
            ..Self::of_type::<L::Config>()
        }
    }

    /// Returns the schema of options that have no defaults to show.
    pub(crate) fn of_type<C: JsonSchema>() -> Self {
        let generator = SchemaSettings::draft2020_12().into_generator();
        Self {
            schema: generator.into_root_schema_for::<C>().to_value(),
            own: Value::Null,
            world: Value::Null,
        }
    }

    /// Returns the JSON schema of the configuration.
    pub(crate) fn schema(&self) -> &Value {
        &self.schema
    }

    /// Returns the description of an option on one line.
    pub(crate) fn about(&self, path: &str) -> Option<String> {
        let text = self.find(path)?.get("description")?.as_str()?;
        let paragraph = text.split("\n\n").next().unwrap_or_default();
        let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(line.trim_end_matches('.').replace('`', ""))
    }

    /// Returns the default as the help shows it; `None` if the description must state it.
    pub(crate) fn default_text(&self, path: &str) -> Option<String> {
        let pointer = format!("/{}", path.replace('.', "/"));
        let text = |value: &Value| short(value.pointer(&pointer)?);
        match (text(&self.own), text(&self.world)) {
            (Some(own), Some(world)) if own == world => Some(own),
            (Some(own), Some(world)) => Some(format!("{own}; for the synthetic world {world}")),
            (Some(own), None) => Some(own),
            (None, Some(world)) => Some(format!("for the synthetic world {world}")),
            (None, None) => None,
        }
    }

    /// Returns the names that an option accepts as its value, with their descriptions; empty if
    /// there are none.
    pub(crate) fn names(&self, path: &str) -> Vec<(String, Option<String>)> {
        let mut names = Vec::new();
        if let Some(node) = self.find(path) {
            let node = self.items(node);
            self.collect_names(node, &mut names);
        }
        names
    }

    /// Converts a typed text into the value of an option. The value is a text if the option accepts
    /// texts or names; otherwise the text is read as YAML.
    pub(crate) fn value(&self, path: &str, text: &str) -> Result<Value, String> {
        let node = self.find(path).map(|node| self.resolve(node));
        let takes = |kind: &str| node.is_some_and(|node| self.takes(node, kind));
        let parsed: Option<Value> = serde_json::from_str(text)
            .ok()
            .or_else(|| serde_saphyr::from_str(text).ok());
        let parsed = match parsed {
            // The parsers may read `.05` and `1e-5` as texts, but both are numbers.
            Some(Value::String(_)) if takes("number") => text
                .trim()
                .parse::<f64>()
                .ok()
                .and_then(serde_json::Number::from_f64)
                .map(Value::Number),
            parsed => parsed,
        };
        match parsed {
            Some(Value::Null) if takes("null") && text.trim() == "null" => Ok(Value::Null),
            Some(value @ (Value::Object(_) | Value::Array(_))) => Ok(value),
            Some(value) if !takes("string") => Ok(value),
            None if (takes("number") || takes("integer")) && !takes("string") => {
                Err("not a number that can be used here".to_owned())
            }
            _ => Ok(Value::String(text.to_owned())),
        }
    }

    /// Returns true if an option is a list.
    pub(crate) fn is_list(&self, path: &str) -> bool {
        self.find(path)
            .is_some_and(|node| self.takes(node, "array"))
    }

    /// Counts the values of a configuration that belong to no option.
    pub(crate) fn unknown(&self, config: &Value) -> usize {
        self.unknown_below(&self.schema, config)
    }

    fn unknown_below(&self, node: &Value, value: &Value) -> usize {
        // An object whose keys the user chooses.
        let free = self.resolve(node).get("additionalProperties");
        if free.is_some_and(|free| *free != Value::Bool(false)) {
            return 0;
        }
        let fields = value.as_object().into_iter().flatten();
        let counts = fields.map(|(name, value)| match self.property(node, name) {
            Some(inner) => self.unknown_below(inner, value),
            None => leaves(value),
        });
        counts.sum()
    }

    /// Returns the schema node of an option.
    pub(crate) fn find(&self, path: &str) -> Option<&Value> {
        path.split('.')
            .try_fold(&self.schema, |node, name| self.property(node, name))
    }

    /// Returns the node of the option `name` below a node.
    pub(crate) fn property<'a>(&'a self, node: &'a Value, name: &str) -> Option<&'a Value> {
        let node = self.resolve(node);
        let own = node.get("properties").and_then(|all| all.get(name));
        own.or_else(|| {
            self.choices(node)
                .find_map(|choice| self.property(choice, name))
        })
    }

    /// Returns the JSON pointer of an option in the schema.
    pub(crate) fn pointer(&self, path: &str) -> Option<String> {
        path.split('.')
            .try_fold(String::new(), |at, name| self.pointer_below(&at, name))
    }

    fn pointer_below(&self, at: &str, name: &str) -> Option<String> {
        let node = self.schema.pointer(at)?;
        if let Some(target) = node.get("$ref").and_then(Value::as_str) {
            return self.pointer_below(target.trim_start_matches('#'), name);
        }
        if node
            .get("properties")
            .is_some_and(|all| all.get(name).is_some())
        {
            return Some(format!("{at}/properties/{name}"));
        }
        ["oneOf", "anyOf", "allOf"].into_iter().find_map(|kind| {
            let choices = node.get(kind)?.as_array()?.len();
            (0..choices).find_map(|n| self.pointer_below(&format!("{at}/{kind}/{n}"), name))
        })
    }

    fn resolve<'a>(&'a self, node: &'a Value) -> &'a Value {
        let target = node.get("$ref").and_then(Value::as_str);
        let target = target.and_then(|target| self.schema.pointer(target.trim_start_matches('#')));
        target.map_or(node, |target| self.resolve(target))
    }

    fn choices<'a>(&'a self, node: &'a Value) -> impl Iterator<Item = &'a Value> {
        let all = ["oneOf", "anyOf", "allOf"].into_iter();
        all.filter_map(|kind| node.get(kind)?.as_array()).flatten()
    }

    /// Returns the node of a list's items, or the node itself.
    fn items<'a>(&'a self, node: &'a Value) -> &'a Value {
        let node = self.resolve(node);
        let items = node.get("items").or_else(|| {
            self.choices(node)
                .find_map(|choice| self.resolve(choice).get("items"))
        });
        items.unwrap_or(node)
    }

    fn takes(&self, node: &Value, kind: &str) -> bool {
        let node = self.resolve(node);
        let is = |value: &Value| value.as_str() == Some(kind);
        let own = match node.get("type") {
            Some(Value::Array(kinds)) => kinds.iter().any(is),
            Some(value) => is(value),
            None => kind == "string" && (node.get("const").is_some_and(Value::is_string)),
        };
        own || self.choices(node).any(|choice| self.takes(choice, kind))
    }

    fn collect_names(&self, node: &Value, names: &mut Vec<(String, Option<String>)>) {
        let node = self.resolve(node);
        let about = node.get("description").and_then(Value::as_str);
        let about = about.map(|text| {
            let line = text.split("\n\n").next().unwrap_or_default();
            line.split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .trim_end_matches('.')
                .to_owned()
        });
        if let Some(name) = node.get("const").and_then(Value::as_str) {
            names.push((name.to_owned(), about.clone()));
        }
        for name in node
            .get("enum")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if let Some(name) = name.as_str() {
                names.push((name.to_owned(), None));
            }
        }
        for choice in self.choices(node) {
            self.collect_names(choice, names);
        }
    }
}

/// Counts the values in a tree of options.
fn leaves(value: &Value) -> usize {
    match value {
        Value::Object(fields) if !fields.is_empty() => fields.values().map(leaves).sum(),
        _ => 1,
    }
}

/// Returns a default in a form that fits into a line of help.
fn short(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null | Value::Object(_) => return None,
        Value::String(text) if text.is_empty() => return None,
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(short).collect();
            let items = items.filter(|items| !items.is_empty())?;
            items.join(",")
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    })
}
