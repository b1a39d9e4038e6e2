//! One command of a cell.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Name of the first step, and of its folder.
pub(crate) const RUN: &str = "run";
/// File of a cell with the hash of the program that began it.
pub(crate) const BEGAN: &str = "began";
/// The variable for the folder of the cell.
pub(crate) const CELL: &str = "cell";

/// A command of `collimate` with its arguments. It writes to the folder `NAME` of the cell, and
/// `${cell}` in its arguments is the folder of the cell: `${cell}/run/models/dpo`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// Name of the step and of its folder; the first step is `run`.
    pub name: String,
    /// Command of `collimate`, with `_` or a space as in `eval instructions`.
    pub command: String,
    /// Arguments after the command, with variables.
    pub args: Vec<String>,
    /// Options for `--config`.
    pub config: Map<String, Value>,
    /// Numbers to keep, with the place of each in the `summary.json` of the step.
    pub keep: BTreeMap<String, String>,
}

impl Step {
    /// The first step of a cell.
    pub(crate) fn run(
        command: &str,
        args: Vec<String>,
        config: Map<String, Value>,
        keep: BTreeMap<String, String>,
    ) -> Self {
        Self {
            name: RUN.to_owned(),
            command: command.to_owned(),
            args,
            config,
            keep,
        }
    }

    /// Fills in the variables that the plan itself gives, in the arguments and in the places of the
    /// numbers.
    pub(crate) fn with(&self, set: &BTreeMap<String, String>) -> Self {
        let mut step = self.clone();
        for text in step.args.iter_mut().chain(step.keep.values_mut()) {
            *text = fill(text, set);
        }
        step
    }

    pub(crate) fn check(&self, first: bool) -> Result<()> {
        let Self { name, command, .. } = self;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        ensure!(
            !name.is_empty()
                && name.chars().all(is_name)
                && (name == RUN) == first
                && name != BEGAN,
            "{name:?} cannot be the name of a step: take letters, digits, - and _, and neither {RUN} \
             nor {BEGAN}"
        );
        ensure!(!command.is_empty(), "step {name}: command is missing");
        if let Some((field, place)) = self.keep.iter().find(|(_, place)| place.contains("${")) {
            bail!("keep.{field} is {place:?}: the plan gives this variable no value by `set`");
        }
        if let Some(path) = self.args.iter().find(|arg| Path::new(arg).is_absolute()) {
            bail!("{path} is a path of one machine: write ${{name}} and give --set name=…");
        }
        let config = Value::Object(self.config.clone()).to_string();
        ensure!(
            !config.contains("${"),
            "config of {name}: variables are for arguments only"
        );
        Ok(())
    }

    /// Returns what makes the step another one: command, arguments and options.
    pub(crate) fn identity(&self) -> Result<Vec<u8>> {
        let identity = (
            &self.command,
            &self.args,
            self.config(),
            variables(&self.args),
        );
        Ok(serde_json::to_vec(&identity)?)
    }

    /// Returns the options in an order that does not depend on the file of the plan.
    fn config(&self) -> Value {
        let mut config = Value::Object(self.config.clone());
        config.sort_all_objects();
        config
    }

    /// Returns the options for `--config` as JSON, if there are any.
    pub(crate) fn config_text(&self) -> Option<String> {
        (!self.config.is_empty()).then(|| self.config().to_string())
    }

    /// Returns the words of the command.
    pub fn words(&self) -> impl Iterator<Item = String> {
        let words = self.command.split_whitespace();
        words.map(|word| word.replace('_', "-"))
    }

    pub(crate) fn filled(&self, values: &[(String, String)]) -> Result<Vec<String>> {
        let values: BTreeMap<String, String> = values.iter().cloned().collect();
        ensure!(
            !values.contains_key(CELL),
            "${{{CELL}}} is the folder of a cell: give the variable another name"
        );
        let args: Vec<String> = self.args.iter().map(|arg| fill(arg, &values)).collect();
        match variables(&args).iter().find(|name| **name != CELL) {
            Some(name) => bail!("${{{name}}} has no value: give --set {name}=VALUE"),
            None => Ok(args),
        }
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

/// Returns a text with the values of the variables.
pub(crate) fn fill(text: &str, values: &BTreeMap<String, String>) -> String {
    let filled = |text: String, (name, value): (&String, &String)| {
        text.replace(&format!("${{{name}}}"), value)
    };
    values.iter().fold(text.to_owned(), filled)
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
            (Value::Array(items), Some((key, wanted))) => items.iter().find(|item| {
                let found = item.get(key);
                found.is_some_and(|found| crate::cell::plain(found) == wanted)
            }),
            (Value::Array(items), None) if step == "last" => items.last(),
            (Value::Array(items), None) => items.get(step.parse::<usize>().ok()?),
            _ => value.get(&step),
        }
    })
}
