//! A cell: one run of `collimate`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

/// One run: a point of the grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Twelve hex digits of the hash of command, arguments and options, before variables are filled
    /// in. The same run has the same id on every machine, whatever the name of the cell.
    pub id: String,
    /// Name of the cell, for example `ser seed_share=0.15 seed=0`.
    pub name: String,
    /// Value on every axis; `cell` is the name of its group.
    pub axes: BTreeMap<String, Value>,
    /// Command of `collimate` to run.
    pub command: String,
    /// Arguments after the command, with variables.
    pub args: Vec<String>,
    /// Options for `--config`.
    pub config: Value,
    /// Numbers to keep, with the place of each in `summary.json`.
    pub keep: BTreeMap<String, String>,
    /// Minutes that the cell takes on one core, if the plan says so.
    pub minutes: Option<f64>,
}

impl Cell {
    pub(crate) fn new(
        command: &str,
        name: String,
        axes: BTreeMap<String, Value>,
        args: Vec<String>,
        config: Map<String, Value>,
        keep: BTreeMap<String, String>,
    ) -> Result<Self> {
        let absolute = args.iter().find(|arg| Path::new(arg).is_absolute());
        if let Some(path) = absolute {
            bail!("{path} is a path of one machine: write ${{name}} and give --set name=…");
        }
        let mut config = Value::Object(config);
        // The id must not depend on the order of the file.
        config.sort_all_objects();
        let identity = serde_json::to_vec(&(command, &args, &config, variables(&args)))?;
        ensure!(
            !config.to_string().contains("${"),
            "config of {name}: variables are for arguments only"
        );
        Ok(Self {
            id: blake3::hash(&identity).to_hex()[..12].to_owned(),
            name,
            axes,
            command: command.replace('_', "-"),
            args,
            config,
            keep,
            minutes: None,
        })
    }

    /// Returns the arguments with the values of the variables.
    ///
    /// # Errors
    /// Returns an error for a variable without a value.
    pub fn filled(&self, values: &[(String, String)]) -> Result<Vec<String>> {
        let mut args = self.args.clone();
        for (name, value) in values {
            for arg in &mut args {
                *arg = arg.replace(&format!("${{{name}}}"), value);
            }
        }
        if let Some(name) = variables(&args).first() {
            bail!("${{{name}}} has no value: give --set {name}=VALUE");
        }
        Ok(args)
    }

    /// Returns the options for `--config` as JSON, if there are any.
    pub(crate) fn config_text(&self) -> Option<String> {
        Some(self.config.to_string()).filter(|text| text != "{}")
    }

    /// Returns the kept numbers of a summary, `null` for a number that was not defined. Other
    /// values are left out, because a text may contain a path of this machine.
    pub(crate) fn select(&self, summary: &Value) -> BTreeMap<String, Value> {
        let found = self
            .keep
            .iter()
            .map(|(name, place)| (name, at(summary, place)));
        found
            .filter_map(|(name, value)| Some((name.clone(), value?.clone())))
            .filter(|(_, value)| value.is_number() || value.is_boolean() || value.is_null())
            .collect()
    }
}

/// Returns the names of the variables in some arguments.
fn variables(args: &[String]) -> BTreeSet<&str> {
    let behind = args.iter().flat_map(|arg| arg.split("${").skip(1));
    behind
        .filter_map(|rest| Some(rest.split_once('}')?.0))
        .collect()
}

/// Returns the value at a place: a JSON pointer whose steps into arrays may be `last` or `key=value`.
fn at<'a>(value: &'a Value, place: &str) -> Option<&'a Value> {
    place.split('/').skip(1).try_fold(value, |value, step| {
        let step = step.replace("~1", "/").replace("~0", "~");
        match (value, step.split_once('=')) {
            (Value::Array(items), Some((key, wanted))) => items
                .iter()
                .find(|item| item.get(key).is_some_and(|found| plain(found) == wanted)),
            (Value::Array(items), None) if step == "last" => items.last(),
            (Value::Array(items), None) => items.get(step.parse::<usize>().ok()?),
            _ => value.get(&step),
        }
    })
}

/// Writes a value as on a command line.
pub(crate) fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Merges `over` into `base`, key by key.
pub(crate) fn merge(base: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Object(base)), Value::Object(over)) => merge(base, over),
            _ => drop(base.insert(key.clone(), value.clone())),
        }
    }
}

/// Arguments and options that a value of an axis adds to a cell.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Effect {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) args: Vec<String>,
    #[serde(default)]
    pub(crate) config: Map<String, Value>,
}

impl Effect {
    pub(crate) fn new(axis: &str, value: &Value) -> Result<Self> {
        let flag = format!("--{}", axis.replace('_', "-"));
        let args = match value {
            Value::Object(_) => {
                let effect = serde_json::from_value(value.clone());
                return effect.with_context(|| format!("axis {axis}: {value}"));
            }
            Value::Bool(true) => vec![flag],
            Value::Bool(false) => Vec::new(),
            Value::String(_) | Value::Number(_) => vec![flag, plain(value)],
            Value::Null | Value::Array(_) => bail!(
                "axis {axis} has the value {value}: give a number, a text, true, false or an object"
            ),
        };
        let (name, config) = (plain(value), Map::new());
        Ok(Self { name, args, config })
    }
}
