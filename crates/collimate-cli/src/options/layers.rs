//! Layers of values, each with its source.

use std::fmt;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::docs::Docs;
use super::file;
use crate::common::{Failure, is_usage, usage};
use crate::rendering::KWARGS;

/// Source of a value.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A configuration file.
    File(PathBuf),
    /// A flag, as it was typed.
    Flag(String),
    /// A `--set`, as it was typed.
    Set(String),
}

impl Source {
    /// Returns the source for a flag with its values; a switch has none.
    pub(crate) fn flag(name: &str, typed: &[String]) -> Self {
        let words: Vec<&str> = typed.iter().map(String::as_str).collect();
        Self::Flag(
            format!("--{name} {}", words.join(" "))
                .trim_end()
                .to_owned(),
        )
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Flag(text) => f.write_str(text),
            Self::Set(text) => write!(f, "--set {text}"),
        }
    }
}

/// Options that were given, each with its source. A later source comes after an earlier one.
#[derive(Debug, Default)]
pub(crate) struct Given(Vec<(String, Source)>);

impl Given {
    /// Returns true if any source names the option or a part of it.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.source(path).is_some()
    }

    /// Returns true if a flag or `--set` names the option or a part of it.
    pub(crate) fn typed(&self, path: &str) -> bool {
        let typed = |source: &Source| !matches!(source, Source::File(_));
        self.sources(path).any(typed)
    }

    /// Returns the last source that decides the option.
    fn source(&self, path: &str) -> Option<&Source> {
        self.sources(path).last()
    }

    fn sources(&self, path: &str) -> impl Iterator<Item = &Source> {
        let related = move |at: &str| within(at, path) || within(path, at);
        let given = self.0.iter().filter(move |(at, _)| related(at));
        given.map(|(_, source)| source)
    }

    /// Adds the source of the option that the error names first. If the text already names the
    /// source, it stays as it is.
    pub(crate) fn explain(&self, error: Failure) -> Failure {
        if is_usage(&error) {
            return error;
        }
        let text = error.to_string();
        let Some(name) = text
            .split([' ', ':', '='])
            .next()
            .filter(|name| !name.is_empty())
        else {
            return error;
        };
        let named = |at: &str| at == name || at.ends_with(&format!(".{name}"));
        match self.0.iter().rev().find(|(at, _)| named(at)) {
            Some((_, source)) if !text.contains(&source.to_string()) => {
                format!("{text} (from {source})").into()
            }
            _ => error,
        }
    }
}

/// Returns true if `path` equals `of` or lies inside it.
fn within(path: &str, of: &str) -> bool {
    path.strip_prefix(of)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A configuration that is built layer by layer.
#[derive(Debug)]
pub(crate) struct Layers {
    value: Value,
    given: Given,
}

impl Layers {
    pub(crate) fn new(defaults: Value) -> Self {
        Self {
            value: defaults,
            given: Given::default(),
        }
    }

    pub(crate) fn given(&self) -> &Given {
        &self.given
    }

    pub(crate) fn into_given(self) -> Given {
        self.given
    }

    /// Sets a value at a path; an empty path means the whole configuration.
    pub(crate) fn put(&mut self, path: &str, value: Value, source: &Source) {
        note(&mut self.given, path, &value, source);
        let nested = path
            .rsplit('.')
            .filter(|part| !part.is_empty())
            .fold(value, |inner, part| {
                Value::Object(Map::from_iter([(part.to_owned(), inner)]))
            });
        overlay(&mut self.value, nested);
    }

    /// Refuses to set an option of one enum variant if a flag chose another variant. The flag would
    /// otherwise be overwritten silently.
    pub(crate) fn check_variant(&self, path: &str, text: &str) -> Result<(), Failure> {
        let (mut node, mut walked) = (&self.value, String::new());
        for part in path.split('.') {
            if let Value::Object(fields) = node
                && walked != KWARGS
                && fields.len() == 1
                && !fields.contains_key(part)
                && let Some(source @ Source::Flag(_)) = self.given.source(&walked)
            {
                return Err(usage(format!(
                    "--set {text}: {source} chooses another {walked}: remove one of the two"
                )));
            }
            match node.get(part) {
                Some(inner) => node = inner,
                None => return Ok(()),
            }
            walked = match walked.as_str() {
                "" => part.to_owned(),
                walked => format!("{walked}.{part}"),
            };
        }
        Ok(())
    }

    /// Records that a source has decided these options.
    pub(crate) fn mark(&mut self, paths: &[&str], source: &Source) {
        let marks = paths
            .iter()
            .map(|path| ((*path).to_owned(), source.clone()));
        self.given.0.extend(marks);
    }

    /// Replaces the value and keeps the sources.
    pub(crate) fn replace(&mut self, value: Value) {
        self.value = value;
    }

    /// Reads the configuration. An error names the source and the option.
    pub(crate) fn read<C: DeserializeOwned>(&self) -> Result<C, Failure> {
        serde_path_to_error::deserialize(&self.value).map_err(|error| {
            let path = error.path().to_string();
            let text = file::with_nearest(&error.inner().to_string());
            match self.given.source(&path) {
                Some(source @ Source::File(_)) => format!("{source}: {path}: {text}").into(),
                Some(source) => usage(format!("{source}: {text}")),
                None => format!("{path}: {text}").into(),
            }
        })
    }
}

/// Records the source of every leaf of a value.
fn note(given: &mut Given, path: &str, value: &Value, source: &Source) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let inner = match path {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                note(given, &inner, value, source);
            }
        }
        _ => given.0.push((path.to_owned(), source.clone())),
    }
}

/// Merges `over` into `base`, key by key.
///
/// Enums are `"variant"` or `{"variant": {…}}`. A different variant replaces the present one with
/// all of its options. The name of the present variant keeps its options. General layering
/// libraries merge both variants into one object, which no enum can be read from.
pub(crate) fn overlay(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::String(name))
            if base.len() == 1 && base.contains_key(&name) => {}
        (Value::Object(base), Value::Object(over)) if !is_other_variant(base, &over) => {
            for (key, value) in over {
                let free = key == KWARGS;
                match (base.entry(key).or_insert(Value::Null), value) {
                    (Value::Object(base), Value::Object(over)) if free => base.extend(over),
                    (base, over) => overlay(base, over),
                }
            }
        }
        (base, over) => *base = over,
    }
}

/// Returns true if both are enum values, `{"variant": …}`, and differ.
fn is_other_variant(base: &Map<String, Value>, over: &Map<String, Value>) -> bool {
    base.len() == 1 && over.len() == 1 && base.keys().ne(over.keys())
}

/// The assignment in `--set PATH=VALUE`.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) path: String,
    pub(crate) value: Value,
    pub(crate) text: String,
}

/// Parses the text of a `--set`.
pub(crate) fn assignment(text: &str, docs: &Docs) -> Result<Assignment, String> {
    let Some((path, value)) = text.split_once('=') else {
        return Err(format!(
            "--set {text}: write OPTION=VALUE, with an option that config print shows"
        ));
    };
    let path = path.trim();
    if path.is_empty() || path.split('.').any(str::is_empty) {
        return Err(format!(
            "--set {text}: name an option before the =, as config print shows it"
        ));
    }
    let value = docs
        .value(path, value)
        .map_err(|error| format!("--set {text}: {error}"))?;
    Ok(Assignment {
        path: path.to_owned(),
        value,
        text: text.to_owned(),
    })
}
