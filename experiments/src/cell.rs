//! A cell: one run of `collimate`, and the commands that follow it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::step::Step;

/// One point of the grid: a run of `collimate`, and the commands that follow it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Twelve hex digits of the hash of all commands with their arguments and options, before
    /// variables are filled in. The same cell has the same id on every machine, whatever its name.
    pub id: String,
    /// Name of the cell, for example `ser seed_share=0.15 seed=0`.
    pub name: String,
    /// Value on every axis; `cell` is the name of its group.
    pub axes: BTreeMap<String, Value>,
    /// The commands, at least one.
    pub steps: Vec<Step>,
    /// Minutes that the cell takes on one core, if the plan says so.
    pub minutes: Option<f64>,
    /// Metrics of the run that a row keeps step by step: name → `STAGE/METRIC`.
    pub curves: BTreeMap<String, String>,
}

impl Cell {
    pub(crate) fn new(
        name: String,
        axes: BTreeMap<String, Value>,
        steps: Vec<Step>,
    ) -> Result<Self> {
        let mut names = BTreeSet::new();
        let mut fields = BTreeSet::new();
        for (index, step) in steps.iter().enumerate() {
            step.check(index == 0)
                .with_context(|| format!("cell {name}"))?;
            ensure!(
                names.insert(&step.name),
                "cell {name}: two steps have the name {:?}",
                step.name
            );
            let twice = step.keep.keys().find(|field| !fields.insert(*field));
            if let Some(field) = twice {
                bail!("cell {name}: two steps keep a number as {field:?}");
            }
        }
        let mut identity = Vec::new();
        for step in &steps {
            identity.extend(step.identity()?);
        }
        Ok(Self {
            id: blake3::hash(&identity).to_hex()[..12].to_owned(),
            name,
            axes,
            steps,
            minutes: None,
            curves: BTreeMap::new(),
        })
    }

    /// Returns the arguments of each step with the values of the variables. `${cell}` stays: it is the
    /// folder of the cell, which the runner knows.
    ///
    /// # Errors
    /// Returns an error for a variable without a value.
    pub fn filled(&self, values: &[(String, String)]) -> Result<Vec<Vec<String>>> {
        let steps = self.steps.iter();
        steps.map(|step| step.filled(values)).collect()
    }
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

/// Arguments, options and variables that a value of an axis adds to a cell.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Effect {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) args: Vec<String>,
    #[serde(default)]
    pub(crate) config: Map<String, Value>,
    #[serde(default)]
    pub(crate) set: BTreeMap<String, String>,
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
        Ok(Self {
            name: plain(value),
            args,
            config: Map::new(),
            set: BTreeMap::new(),
        })
    }
}
