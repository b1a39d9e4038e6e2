//! A plan: a program, its arguments and a grid.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cell::{Axis, Cell, merge};
use crate::{BenchError, Variables};

/// The axis over which the summary takes the mean.
pub(crate) const SEED: &str = "seed";
/// The key of a named cell among its axes.
pub(crate) const CELL: &str = "cell";

/// What to run: every cell is one run of the program.
///
/// | field | meaning |
/// |---|---|
/// | `name` | lower-case letters, digits and `-`; the results are `docs/results/NAME.jsonl` |
/// | `about` | one sentence for the summary |
/// | `program` | an example of this workspace |
/// | `args` | arguments of every cell; `${name}` is a variable |
/// | `config` | options for `--config`, in the form of the program's `--print-config` |
/// | `axes` | name → values; the grid is their product |
/// | `cells` | groups of cells with arguments and axes of their own; without any there is one |
/// | `keep` | name → place in `summary.json` |
/// | `borrow` | field → name of the cells whose mean the recovery takes where a group has none |
///
/// A value of the axis `seed_share` is a number, a text or a truth value and becomes
/// `--seed-share VALUE` (`true`: the flag alone; `false`: nothing), or an object
/// `{"name", "args", "config"}` that says itself what it becomes. A place is a JSON pointer; in an
/// array a step may also be `last`, or `name=ser` for the first element whose `name` is `ser`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Name of the plan, its results file and its work folder.
    pub name: String,
    /// One sentence.
    #[serde(default)]
    pub about: String,
    /// The program.
    pub program: String,
    /// Arguments of every cell.
    #[serde(default)]
    pub args: Vec<String>,
    /// Options of every cell.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// Axes of every cell.
    #[serde(default)]
    pub axes: BTreeMap<String, Vec<Value>>,
    /// Groups of cells.
    #[serde(default)]
    pub cells: Vec<CellSpec>,
    /// Fields of `summary.json` that a row keeps.
    #[serde(default)]
    pub keep: BTreeMap<String, String>,
    /// Where the recovery finds a mean that a group does not have.
    #[serde(default)]
    pub borrow: BTreeMap<String, String>,
}

/// A named group of cells.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellSpec {
    /// Its name.
    pub name: String,
    /// Arguments after the plan's.
    #[serde(default)]
    pub args: Vec<String>,
    /// Options over the plan's.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// Axes beside the plan's, or instead of one of the same name.
    #[serde(default)]
    pub axes: BTreeMap<String, Vec<Value>>,
    /// What to keep instead of the plan's choice.
    #[serde(default)]
    pub keep: Option<BTreeMap<String, String>>,
}

impl Plan {
    /// Reads and checks a plan.
    ///
    /// # Errors
    /// When the file cannot be read, has a field that a plan does not have, or names an absolute
    /// path.
    pub fn read(path: &Path) -> Result<Self, BenchError> {
        let text = std::fs::read_to_string(path).map_err(BenchError::io(path))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// The same from a text; `origin` is named in errors.
    ///
    /// # Errors
    /// As [`Plan::read`].
    pub fn parse(text: &str, origin: &str) -> Result<Self, BenchError> {
        let wrong = |reason: String| BenchError::plan(origin, reason);
        let plan: Self = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        plan.check().map_err(wrong)?;
        plan.expand()?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), String> {
        let plain = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if !plain(&self.name) {
            return Err(format!(
                "name is {:?}, allowed: lower-case letters, digits and -",
                self.name
            ));
        }
        if self.program.is_empty() || self.program.contains(['/', '\\']) {
            return Err(format!(
                "program is {:?}, allowed: the name of an example, without a folder",
                self.program
            ));
        }
        let mut names = BTreeSet::new();
        for spec in &self.cells {
            if spec.name.is_empty() || !names.insert(&spec.name) {
                return Err(format!(
                    "cells have the name {:?} twice, or none: name each differently",
                    spec.name
                ));
            }
        }
        for (field, cell) in &self.borrow {
            if !names.contains(cell) {
                return Err(format!(
                    "borrow.{field} is {cell:?}: there are no such cells"
                ));
            }
        }
        let places = self.cells.iter().filter_map(|spec| spec.keep.as_ref());
        for (field, place) in places.chain([&self.keep]).flatten() {
            if !place.starts_with('/') {
                return Err(format!(
                    "keep.{field} is {place:?}, allowed: a JSON pointer, for example /accuracy/ser"
                ));
            }
        }
        Ok(())
    }

    /// All cells: the first seed's before the second seed's, so that an unfinished sweep has
    /// compared everything once.
    ///
    /// # Errors
    /// For an axis without values or with one of a wrong form, two cells that are the same run,
    /// and absolute paths: a plan holds on every machine.
    pub fn expand(&self) -> Result<Vec<Cell>, BenchError> {
        let wrong = |reason: String| BenchError::plan(&self.name, reason);
        let unnamed = [CellSpec::default()];
        let specs = match self.cells.is_empty() {
            true => &unnamed[..],
            false => &self.cells[..],
        };
        let mut cells = Vec::new();
        for spec in specs {
            let mut axes = self.axes.clone();
            axes.extend(spec.axes.clone());
            let points = product(&axes).map_err(wrong)?;
            for (turn, point) in points {
                cells.push((turn, self.cell(spec, point)));
            }
        }
        cells.sort_by_key(|(turn, _)| *turn);
        let cells: Vec<Cell> = cells.into_iter().map(|(_, cell)| cell).collect();
        let mut ids = BTreeMap::new();
        for cell in &cells {
            if let Some(other) = ids.insert(&cell.id, &cell.name) {
                let reason = format!("cells {other:?} and {:?} are the same run", cell.name);
                return Err(wrong(reason));
            }
            if let Some(path) = cell.args.iter().find(|arg| Path::new(arg).is_absolute()) {
                return Err(wrong(format!(
                    "{path} is a path of one machine: write ${{name}} and give --set name=…"
                )));
            }
        }
        Ok(cells)
    }

    /// The names of the variables that the plan's cells use.
    ///
    /// # Errors
    /// As [`Plan::expand`].
    pub fn variables(&self) -> Result<BTreeSet<String>, BenchError> {
        let cells = self.expand()?;
        Ok(cells.iter().flat_map(Variables::used_by).collect())
    }

    fn cell(&self, spec: &CellSpec, point: Vec<(String, Axis)>) -> Cell {
        let mut args = self.args.clone();
        args.extend(spec.args.iter().cloned());
        let mut config = self.config.clone();
        merge(&mut config, &spec.config);
        let mut axes = BTreeMap::new();
        let mut words = Vec::new();
        if !spec.name.is_empty() {
            axes.insert(CELL.to_owned(), Value::from(spec.name.clone()));
            words.push(spec.name.clone());
        }
        let (seed, others): (Vec<_>, Vec<_>) = point.into_iter().partition(|(n, _)| n == SEED);
        for (name, axis) in others.into_iter().chain(seed) {
            args.extend(axis.args);
            merge(&mut config, &axis.config);
            words.push(format!("{name}={}", crate::tables::plain(&axis.label)));
            axes.insert(name, axis.label);
        }
        let keep = spec.keep.as_ref().unwrap_or(&self.keep).clone();
        Cell::new(&self.program, words.join(" "), axes, args, config, keep)
    }
}

/// Every combination, each with the index of its seed.
#[allow(clippy::type_complexity)]
fn product(
    axes: &BTreeMap<String, Vec<Value>>,
) -> Result<Vec<(usize, Vec<(String, Axis)>)>, String> {
    let mut points = vec![(0, Vec::new())];
    for (name, values) in axes {
        if name == CELL {
            return Err(format!("an axis cannot have the name {CELL}"));
        }
        if values.is_empty() {
            return Err(format!(
                "axis {name} has no value: give it one or leave it out"
            ));
        }
        let values = values
            .iter()
            .map(|value| Axis::new(name, value))
            .collect::<Result<Vec<_>, _>>()?;
        points = points
            .into_iter()
            .flat_map(|(turn, point)| {
                values.iter().enumerate().map(move |(index, value)| {
                    let mut point = point.clone();
                    point.push((name.clone(), value.clone()));
                    (if name == SEED { index } else { turn }, point)
                })
            })
            .collect();
    }
    Ok(points)
}
