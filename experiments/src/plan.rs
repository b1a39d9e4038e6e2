//! A plan: a command, its arguments and a grid.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Cell;
use crate::cell::{Effect, merge};
use crate::step::{self, Step, fill};

/// The axis over which the summary takes the mean.
pub(crate) const SEED: &str = "seed";
/// The key of a group's name among the axes of a cell.
pub(crate) const CELL: &str = "cell";

/// Runs of an experiment.
///
/// | field | meaning |
/// |---|---|
/// | `name` | the name of the file, without `.json` |
/// | `about` | one sentence for the summary |
/// | `command` | a command of `collimate`, with `_` for `-` |
/// | `args` | arguments of every cell; `${name}` is a variable |
/// | `config` | options for `--config`, in the form that `collimate config print` prints |
/// | `axes` | name → values; the grid is their product |
/// | `cells` | groups of cells with arguments and axes of their own; without any there is one |
/// | `keep` | name → place in `summary.json` |
/// | `curves` | name → `STAGE/METRIC` in `metrics.jsonl` of the run: every logged step is kept |
/// | `then` | commands that follow in every cell, such as evaluations of the run's model |
/// | `set` | (in a group) values of variables |
/// | `minutes` | minutes that a cell takes on one core, for the estimate of a run |
/// | `borrow` | field → name of the cells whose mean the recovery takes where a group has none |
///
/// The value 0.15 of the axis `seed_share` becomes `--seed-share 0.15`, `true` becomes the flag
/// alone, and `false` becomes nothing. An object `{"name", "args", "config", "set"}` gives its
/// arguments, options and values of variables itself.
///
/// A place is a JSON pointer. A step into an array may also be `last`, or `name=ser` for the first
/// element whose `name` is `ser`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// Name of the plan, of its results file and of its work folder.
    pub name: String,
    /// One sentence about the experiment.
    pub about: String,
    /// Command of `collimate` to run.
    pub command: String,
    /// Arguments of every cell.
    pub args: Vec<String>,
    /// Options of every cell.
    pub config: Map<String, Value>,
    /// Axes of every cell.
    pub axes: BTreeMap<String, Vec<Value>>,
    /// Groups of cells.
    pub cells: Vec<Group>,
    /// Numbers of `summary.json` that a row keeps.
    pub keep: BTreeMap<String, String>,
    /// Metrics of the run that a row keeps step by step.
    pub curves: BTreeMap<String, String>,
    /// Commands that follow in every cell.
    pub then: Vec<Step>,
    /// Minutes that a cell takes on one core.
    pub minutes: Option<f64>,
    /// Cells that lend a mean to the recovery of groups without one.
    pub borrow: BTreeMap<String, String>,
}

/// A named group of cells.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Group {
    /// Name of the group.
    pub name: String,
    /// Command, instead of that of the plan.
    pub command: Option<String>,
    /// Arguments after those of the plan.
    pub args: Vec<String>,
    /// Options over those of the plan.
    pub config: Map<String, Value>,
    /// Axes beside those of the plan, or instead of one of the same name.
    pub axes: BTreeMap<String, Vec<Value>>,
    /// Numbers to keep instead of the choice of the plan.
    pub keep: Option<BTreeMap<String, String>>,
    /// Commands that follow, instead of those of the plan.
    pub then: Option<Vec<Step>>,
    /// Values of variables.
    pub set: BTreeMap<String, String>,
    /// Minutes that a cell takes on one core, instead of those of the plan.
    pub minutes: Option<f64>,
}

impl Plan {
    /// Reads and checks a plan.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or has an unknown field. Also if the plan gives
    /// no runs, gives a run twice, or contains a path of one machine.
    pub fn read(path: &Path) -> Result<Self> {
        let named = || format!("plan {}", path.display());
        let text = std::fs::read_to_string(path).with_context(named)?;
        let plan: Self = serde_json::from_str(&text).with_context(named)?;
        let stem = path.file_stem().unwrap_or_default();
        ensure!(
            stem == plan.name.as_str(),
            "{}: name is {:?} but must be the name of the file",
            named(),
            plan.name
        );
        plan.check()
            .and_then(|()| plan.cells())
            .with_context(named)?;
        Ok(plan)
    }

    fn check(&self) -> Result<()> {
        ensure!(!self.command.is_empty(), "command is missing");
        let mut names = BTreeSet::new();
        for group in &self.cells {
            let name = &group.name;
            let new = !name.is_empty() && names.insert(name);
            ensure!(
                new,
                "a cell has no name, or two cells have the name {name:?}"
            );
        }
        let minutes = self.cells.iter().map(|group| group.minutes);
        for minutes in minutes.chain([self.minutes]).flatten() {
            ensure!(minutes > 0.0, "minutes is {minutes} but must be above 0");
        }
        if let Some((name, place)) = self.curves.iter().find(|(_, place)| !place.contains('/')) {
            anyhow::bail!("curves.{name} is {place:?} but must be STAGE/METRIC, such as dpo/loss");
        }
        for (field, name) in &self.borrow {
            let known = names.contains(name);
            ensure!(known, "borrow.{field} is {name:?}: no cells have this name");
        }
        Ok(())
    }

    /// Returns all cells, those of the first seed first, so that an unfinished experiment has
    /// compared all settings once.
    ///
    /// # Errors
    /// Returns an error for an axis without values or with a value of a wrong form, and for two
    /// cells that are the same run. Absolute paths are errors too, because a plan must be valid on
    /// every machine.
    pub fn cells(&self) -> Result<Vec<Cell>> {
        let unnamed = [Group::default()];
        let groups = match self.cells.is_empty() {
            true => &unnamed[..],
            false => &self.cells[..],
        };
        let mut cells = Vec::new();
        for group in groups {
            let mut axes = self.axes.clone();
            axes.extend(group.axes.clone());
            for point in product(&axes)? {
                let seed = point.iter().find(|(axis, ..)| *axis == SEED);
                let turn = seed.map_or(0, |(_, index, _)| *index);
                cells.push((turn, self.cell(group, &point)?));
            }
        }
        cells.sort_by_key(|(turn, _)| *turn);
        let cells: Vec<Cell> = cells.into_iter().map(|(_, cell)| cell).collect();
        let mut ids = BTreeMap::new();
        for cell in &cells {
            if let Some(other) = ids.insert(&cell.id, &cell.name) {
                anyhow::bail!("cells {other:?} and {:?} are the same run", cell.name);
            }
        }
        Ok(cells)
    }

    fn cell(&self, group: &Group, point: &[(&str, usize, &Value)]) -> Result<Cell> {
        let mut args = [&self.args[..], &group.args[..]].concat();
        let mut config = self.config.clone();
        merge(&mut config, &group.config);
        let mut set = group.set.clone();
        let mut axes = BTreeMap::new();
        let mut words = Vec::new();
        if !group.name.is_empty() {
            axes.insert(CELL.to_owned(), group.name.clone().into());
            words.push(group.name.clone());
        }
        for (axis, _, value) in point {
            let effect = Effect::new(axis, value)?;
            args.extend(effect.args);
            merge(&mut config, &effect.config);
            set.extend(effect.set);
            words.push(format!("{axis}={}", effect.name));
            let label = if value.is_object() {
                effect.name.into()
            } else {
                (*value).clone()
            };
            axes.insert((*axis).to_owned(), label);
        }
        let keep = group.keep.as_ref().unwrap_or(&self.keep).clone();
        ensure!(
            !set.contains_key(step::CELL),
            "set.cell: ${{cell}} is the folder of a cell: give the variable another name"
        );
        // A variable of a group may be made of variables of the axes.
        let own = set.clone();
        for value in set.values_mut() {
            *value = fill(value, &own);
        }
        let command = group.command.as_ref().unwrap_or(&self.command);
        let then = group.then.as_ref().unwrap_or(&self.then);
        let run = Step::run(command, args, config, keep);
        let steps = std::iter::once(&run).chain(then);
        let steps = steps.map(|step| step.with(&set)).collect();
        let mut cell = Cell::new(words.join(" "), axes, steps)?;
        cell.minutes = group.minutes.or(self.minutes);
        let curves = self.curves.iter();
        let curves = curves.map(|(name, place)| (name.clone(), fill(place, &set)));
        cell.curves = curves.collect();
        if let Some((name, place)) = cell.curves.iter().find(|(_, place)| place.contains("${")) {
            anyhow::bail!(
                "curves.{name} is {place:?}: the plan gives this variable no value by `set`"
            );
        }
        Ok(cell)
    }
}

/// One value of every axis: name, index and value.
type Point<'a> = Vec<(&'a str, usize, &'a Value)>;

/// Returns every combination of values. The axis of the seeds comes last in each.
fn product(axes: &BTreeMap<String, Vec<Value>>) -> Result<Vec<Point<'_>>> {
    let mut points: Vec<Point<'_>> = vec![Vec::new()];
    let (seed, others): (Vec<_>, Vec<_>) = axes.iter().partition(|(name, _)| *name == SEED);
    for (name, values) in others.into_iter().chain(seed) {
        ensure!(name != CELL, "an axis cannot have the name {CELL}");
        ensure!(!values.is_empty(), "axis {name} has no value");
        let mut longer = Vec::new();
        for point in &points {
            for (index, value) in values.iter().enumerate() {
                longer.push([&point[..], &[(name.as_str(), index, value)]].concat());
            }
        }
        points = longer;
    }
    Ok(points)
}
