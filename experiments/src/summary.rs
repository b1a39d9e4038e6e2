//! Means over seeds, as Markdown.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::cell::plain;
use crate::plan::{CELL, SEED};
use crate::results::newest;
use crate::tables::{ABSENT, markdown, number};
use crate::{Cell, Plan, Row};

/// Cells that differ only in their seed.
#[derive(Debug)]
struct Seeds<'a> {
    axes: BTreeMap<String, Value>,
    rows: Vec<&'a Row>,
}

impl Seeds<'_> {
    /// Returns number of values, mean and sample standard deviation of a field.
    fn mean(&self, field: &str) -> Option<(usize, f64, Option<f64>)> {
        let rows = self.rows.iter();
        let values: Vec<f64> = rows
            .filter_map(|row| row.fields.get(field)?.as_f64())
            .collect();
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (n > 1).then(|| (squares / (n - 1) as f64).sqrt());
        (n > 0).then_some((n, mean, deviation))
    }

    fn text(&self, field: &str) -> String {
        let Some((n, mean, deviation)) = self.mean(field) else {
            return ABSENT.to_owned();
        };
        let deviation = deviation.map_or(String::new(), |value| format!(" ± {}", number(value)));
        let few = match n == self.rows.len() {
            true => String::new(),
            false => format!(" (n {n})"),
        };
        number(mean) + &deviation + &few
    }
}

/// Summarises the results of cells: mean and sample standard deviation over seeds. If `loop0`,
/// `ser` and `full` exist, the recovery of the means is (ser − loop0) / (full − loop0). Failed and
/// missing cells are named. Only the newest row of a cell counts.
pub fn summary(plan: &Plan, cells: &[Cell], rows: &[Row]) -> String {
    let newest = newest(rows);
    let (mut failed, mut missing) = (Vec::new(), Vec::new());
    let mut groups: Vec<Seeds<'_>> = Vec::new();
    for cell in cells {
        let row = match newest.get(cell.id.as_str()) {
            Some(row) if row.is_ok() => *row,
            row => {
                let names = if row.is_some() {
                    &mut failed
                } else {
                    &mut missing
                };
                names.push(cell.name.as_str());
                continue;
            }
        };
        let mut axes = cell.axes.clone();
        axes.remove(SEED);
        let rows = vec![row];
        match groups.iter_mut().find(|group| group.axes == axes) {
            Some(group) => group.rows.push(row),
            None => groups.push(Seeds { axes, rows }),
        }
    }
    let mut text = format!("{}: {}\n\n{}", plan.name, plan.about, table(plan, &groups));
    text += "\nMean ± sample standard deviation over n seeds.\n";
    for (field, name) in &plan.borrow {
        text +=
            &format!("Recovery takes {field} from the cells `{name}` where a group has none.\n");
    }
    if !failed.is_empty() {
        text += &format!("Failed, in no mean: {}.\n", failed.join(", "));
    }
    if !missing.is_empty() {
        text += &format!("Without a result yet: {}.\n", missing.join(", "));
    }
    let other = |row: &&Row| !cells.iter().any(|cell| cell.id == row.id);
    match rows.iter().filter(other).count() {
        0 => text,
        n => text + &format!("Left out: {n} rows of other cells.\n"),
    }
}

fn table(plan: &Plan, groups: &[Seeds<'_>]) -> String {
    let axes: BTreeSet<&String> = groups.iter().flat_map(|group| group.axes.keys()).collect();
    let mut axes: Vec<&str> = axes.into_iter().map(String::as_str).collect();
    axes.sort_by_key(|name| *name != CELL);
    let rows = groups.iter().flat_map(|group| &group.rows);
    let fields = rows.flat_map(|row| &row.fields);
    let fields = fields.filter(|(_, value)| value.is_number());
    let fields: BTreeSet<&str> = fields.map(|(name, _)| name.as_str()).collect();
    let mut head = axes.clone();
    head.push("n");
    head.extend(&fields);
    let recoveries: Vec<_> = groups.iter().map(|g| recovery(plan, groups, g)).collect();
    let has_recovery = recoveries.iter().any(Option::is_some);
    head.extend(has_recovery.then_some("recovery of the means"));
    let body = groups.iter().zip(recoveries).map(|(group, recovery)| {
        let axis = |name: &&str| group.axes.get(*name).map_or(ABSENT.to_owned(), plain);
        let mut row: Vec<String> = axes.iter().map(axis).collect();
        row.push(group.rows.len().to_string());
        row.extend(fields.iter().map(|field| group.text(field)));
        row.extend(has_recovery.then(|| recovery.map_or(ABSENT.to_owned(), number)));
        row
    });
    markdown(&head, body)
}

fn recovery(plan: &Plan, groups: &[Seeds<'_>], group: &Seeds<'_>) -> Option<f64> {
    let mean = |field: &str| {
        let borrowed = || lender(plan, groups, group, field)?.mean(field);
        group.mean(field).or_else(borrowed).map(|(_, mean, _)| mean)
    };
    let (zero, ser, full) = (mean("loop0")?, mean("ser")?, mean("full")?);
    (full > zero).then(|| (ser - zero) / (full - zero))
}

/// Returns the cells that `borrow` names for a field, with the same values on shared axes.
fn lender<'a>(
    plan: &Plan,
    groups: &'a [Seeds<'a>],
    group: &Seeds<'_>,
    field: &str,
) -> Option<&'a Seeds<'a>> {
    let name = plan.borrow.get(field)?;
    let lends = |(axis, value): (&String, &Value)| match axis == CELL {
        true => value == name.as_str(),
        false => group.axes.get(axis).is_none_or(|own| own == value),
    };
    groups.iter().find(|other| other.axes.iter().all(lends))
}
