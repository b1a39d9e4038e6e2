//! One run of a program.

use std::collections::{BTreeMap, BTreeSet};

use collimate::train::hash_json;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::BenchError;

/// One run: a point of the grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Twelve hex digits of the hash of program, arguments and options, variables unexpanded: the
    /// same run has the same id on every machine, whatever it is called.
    pub id: String,
    /// `ser seed_share=0.15 seed=0`.
    pub name: String,
    /// Where it lies on the axes; `cell` is the name of its group.
    pub axes: BTreeMap<String, Value>,
    /// Arguments, variables unexpanded.
    pub args: Vec<String>,
    /// Options, variables unexpanded.
    pub config: Map<String, Value>,
    /// Fields to keep and their places in `summary.json`.
    pub keep: BTreeMap<String, String>,
}

impl Cell {
    pub(crate) fn new(
        program: &str,
        name: String,
        axes: BTreeMap<String, Value>,
        args: Vec<String>,
        config: Map<String, Value>,
        keep: BTreeMap<String, String>,
    ) -> Self {
        let mut cell = Self {
            id: String::new(),
            name,
            axes,
            args,
            config,
            keep,
        };
        let config = sorted(&Value::Object(cell.config.clone()));
        let mut id = hash_json(&(program, &cell.args, config, Variables::used_by(&cell)));
        id.truncate(12);
        cell.id = id;
        cell
    }

    /// Whether `pattern` means this cell: a part of its name or id, or, with `*` or `?` in it, all
    /// of its name or id.
    pub fn fits(&self, pattern: &str) -> bool {
        let fits = |text: &str| match pattern.contains(['*', '?']) {
            true => glob(pattern.as_bytes(), text.as_bytes()),
            false => text.contains(pattern),
        };
        fits(&self.name) || fits(&self.id)
    }

    /// The kept fields of a summary. A place that the summary does not have is left out.
    pub fn select(&self, summary: &Value) -> BTreeMap<String, Value> {
        self.keep
            .iter()
            .filter_map(|(name, place)| Some((name.clone(), at(summary, place)?.clone())))
            .collect()
    }
}

/// The value at a place: a JSON pointer whose steps into arrays may be `last` or `key=value`.
fn at<'a>(value: &'a Value, place: &str) -> Option<&'a Value> {
    place.split('/').skip(1).try_fold(value, |value, step| {
        let step = step.replace("~1", "/").replace("~0", "~");
        match value {
            Value::Object(map) => map.get(&step),
            Value::Array(items) if step == "last" => items.last(),
            Value::Array(items) => match step.split_once('=') {
                Some((key, wanted)) => items.iter().find(|item| {
                    item.get(key)
                        .is_some_and(|found| crate::tables::plain(found) == wanted)
                }),
                None => items.get(step.parse::<usize>().ok()?),
            },
            _ => None,
        }
    })
}

/// `*` is any text, `?` any character.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            glob(rest, text) || text.split_first().is_some_and(|(_, t)| glob(pattern, t))
        }
        (Some((b'?', rest)), Some((_, text))) => glob(rest, text),
        (Some((p, rest)), Some((t, text))) => p == t && glob(rest, text),
        _ => false,
    }
}

/// What a value of an axis does.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) label: Value,
    pub(crate) args: Vec<String>,
    pub(crate) config: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bundle {
    name: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    config: Map<String, Value>,
}

impl Axis {
    pub(crate) fn new(axis: &str, value: &Value) -> Result<Self, String> {
        let flag = format!("--{}", axis.replace('_', "-"));
        let args = match value {
            Value::Bool(true) => vec![flag],
            Value::Bool(false) => Vec::new(),
            Value::String(_) | Value::Number(_) => vec![flag, crate::tables::plain(value)],
            Value::Object(_) => {
                let bundle: Bundle = serde_json::from_value(value.clone())
                    .map_err(|error| format!("axis {axis}: {value}: {error}"))?;
                return Ok(Self {
                    label: bundle.name.into(),
                    args: bundle.args,
                    config: bundle.config,
                });
            }
            Value::Null | Value::Array(_) => {
                return Err(format!(
                    "axis {axis} has the value {value}, allowed: a number, a text, true, false or \
                     {{\"name\", \"args\", \"config\"}}"
                ));
            }
        };
        Ok(Self {
            label: value.clone(),
            args,
            config: Map::new(),
        })
    }
}

/// Puts `over` on `base`, key by key.
pub(crate) fn merge(base: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Object(base)), Value::Object(over)) => merge(base, over),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Keys in order, however the JSON library keeps them: the id must not depend on that.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, Value> =
                map.iter().map(|(k, v)| (k, self::sorted(v))).collect();
            sorted
                .into_iter()
                .map(|(key, value)| (key.clone(), value))
                .collect::<Map<String, Value>>()
                .into()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// Values of a plan's `${name}`: folders of data and models, which are elsewhere on every machine.
///
/// # Examples
/// ```
/// let mut set = collimate_bench::Variables::default();
/// set.set("data=sets/ethics")?;
/// assert_eq!(set.fill("${data}/train.csv")?, "sets/ethics/train.csv");
/// assert!(set.fill("${model}").is_err());
/// # Ok::<(), collimate_bench::BenchError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Variables {
    values: BTreeMap<String, String>,
}

impl Variables {
    /// Takes `NAME=VALUE`.
    ///
    /// # Errors
    /// When there is no `=` or the name has other characters than letters, digits and `_`.
    pub fn set(&mut self, text: &str) -> Result<(), BenchError> {
        let wrong = || BenchError::Setting {
            text: text.to_owned(),
        };
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.is_empty() || !name.bytes().all(allowed) {
            return Err(wrong());
        }
        self.values.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// The text with every variable's value.
    ///
    /// # Errors
    /// For a variable without a value.
    pub fn fill(&self, text: &str) -> Result<String, BenchError> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, name, after)) = next(rest) {
            let value = self.values.get(name).ok_or_else(|| BenchError::Variable {
                name: name.to_owned(),
            })?;
            filled += before;
            filled += value;
            rest = after;
        }
        Ok(filled + rest)
    }

    pub(crate) fn fill_json(&self, value: &Value) -> Result<Value, BenchError> {
        Ok(match value {
            Value::String(text) => self.fill(text)?.into(),
            Value::Array(items) => items
                .iter()
                .map(|item| self.fill_json(item))
                .collect::<Result<Vec<_>, _>>()?
                .into(),
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| Ok((key.clone(), self.fill_json(value)?)))
                .collect::<Result<Map<_, _>, BenchError>>()?
                .into(),
            other => other.clone(),
        })
    }

    /// The values and what stands for them in a result.
    pub(crate) fn paths(&self) -> impl Iterator<Item = (String, String)> {
        self.values
            .iter()
            .filter(|(_, value)| value.contains(['/', '\\']))
            .map(|(name, value)| (value.clone(), format!("${{{name}}}")))
    }

    pub(crate) fn used_by(cell: &Cell) -> BTreeSet<String> {
        fn collect(value: &Value, names: &mut BTreeSet<String>) {
            match value {
                Value::String(text) => {
                    let mut rest = text.as_str();
                    while let Some((_, name, after)) = next(rest) {
                        names.insert(name.to_owned());
                        rest = after;
                    }
                }
                Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
                Value::Object(map) => map.values().for_each(|value| collect(value, names)),
                _ => {}
            }
        }
        let mut names = BTreeSet::new();
        collect(&Value::Object(cell.config.clone()), &mut names);
        for arg in &cell.args {
            collect(&Value::from(arg.as_str()), &mut names);
        }
        names
    }
}

/// The text before the next variable, its name, and the text after it.
fn next(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("${")?;
    let (name, after) = rest.split_once('}')?;
    Some((before, name, after))
}
