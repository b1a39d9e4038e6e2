//! Means over seeds.

use std::collections::BTreeMap;
use std::fmt;

use collimate::eval::{MeanSd, mean_sd};
use serde_json::Value;

use crate::plan::{CELL, SEED};
use crate::tables::{markdown, mean_text, number, plain};
use crate::{BenchError, Plan, Row};

/// The cells that differ in their seed only.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Their place on the other axes.
    pub axes: BTreeMap<String, Value>,
    /// Cells with a result.
    pub n: usize,
    /// Mean and sample standard deviation of each kept number.
    pub fields: BTreeMap<String, MeanSd>,
    /// Of the means: (ser − loop0) / (full − loop0), where full is better than loop0.
    pub recovery: Option<f64>,
}

/// A plan's results so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Groups in the plan's order.
    pub groups: Vec<Group>,
    /// Name and error of failed cells; they are in no mean.
    pub failed: Vec<(String, String)>,
    /// Names of cells without a row.
    pub missing: Vec<String>,
    /// Rows of the plan's file that belong to none of its cells any more.
    pub foreign: usize,
    title: String,
    borrow: BTreeMap<String, String>,
}

impl Summary {
    /// Summarises rows; the newest row of a cell counts.
    ///
    /// # Errors
    /// When the plan cannot be expanded.
    pub fn new(plan: &Plan, rows: &[Row]) -> Result<Self, BenchError> {
        let cells = plan.expand()?;
        let newest: BTreeMap<&str, &Row> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
        let mut summary = Self {
            groups: Vec::new(),
            failed: Vec::new(),
            missing: Vec::new(),
            foreign: rows
                .iter()
                .filter(|row| !cells.iter().any(|cell| cell.id == row.id))
                .count(),
            title: match plan.about.is_empty() {
                true => plan.name.clone(),
                false => format!("{}: {}", plan.name, plan.about),
            },
            borrow: plan.borrow.clone(),
        };
        let mut values: Vec<(BTreeMap<String, Value>, Vec<&Row>)> = Vec::new();
        for cell in &cells {
            let row = match newest.get(cell.id.as_str()) {
                None => {
                    summary.missing.push(cell.name.clone());
                    continue;
                }
                Some(row) => *row,
            };
            if !row.is_ok() {
                let error = row.error.clone().unwrap_or_default();
                summary.failed.push((cell.name.clone(), error));
                continue;
            }
            let mut axes = cell.axes.clone();
            axes.remove(SEED);
            match values.iter_mut().find(|(group, _)| *group == axes) {
                Some((_, rows)) => rows.push(row),
                None => values.push((axes, vec![row])),
            }
        }
        for (axes, rows) in values {
            let mut fields: BTreeMap<String, Vec<f64>> = BTreeMap::new();
            for row in &rows {
                for (name, value) in &row.fields {
                    if let Some(value) = value.as_f64() {
                        fields.entry(name.clone()).or_default().push(value);
                    }
                }
            }
            summary.groups.push(Group {
                axes,
                n: rows.len(),
                fields: fields
                    .into_iter()
                    .map(|(name, values)| Ok((name, mean_sd(&values)?)))
                    .collect::<Result<_, BenchError>>()?,
                recovery: None,
            });
        }
        for index in 0..summary.groups.len() {
            summary.groups[index].recovery = summary.recovery(&summary.groups[index]);
        }
        Ok(summary)
    }

    fn recovery(&self, group: &Group) -> Option<f64> {
        let own = |name: &str| group.fields.get(name).map(|field| field.mean);
        let zero = own("loop0").or_else(|| self.borrowed(group, "loop0"))?;
        let full = own("full").or_else(|| self.borrowed(group, "full"))?;
        let ser = own("ser")?;
        (full > zero).then(|| (ser - zero) / (full - zero))
    }

    /// The mean in the cells named by the plan's `borrow`, at the same place on shared axes.
    fn borrowed(&self, group: &Group, field: &str) -> Option<f64> {
        let cell = self.borrow.get(field)?;
        let lender = self.groups.iter().find(|other| {
            other
                .axes
                .get(CELL)
                .is_some_and(|name| name == cell.as_str())
                && other.axes.iter().all(|(axis, value)| {
                    axis == CELL || group.axes.get(axis).is_none_or(|own| own == value)
                })
        })?;
        lender.fields.get(field).map(|field| field.mean)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title)?;
        let mut axes: Vec<&str> = Vec::new();
        let mut fields: Vec<&str> = Vec::new();
        for group in &self.groups {
            axes.extend(group.axes.keys().map(String::as_str));
            fields.extend(group.fields.keys().map(String::as_str));
        }
        for names in [&mut axes, &mut fields] {
            names.sort_unstable();
            names.dedup();
        }
        axes.sort_by_key(|name| *name != CELL);
        let has_recovery = self.groups.iter().any(|group| group.recovery.is_some());
        let mut head: Vec<String> = axes.iter().map(|name| (*name).to_owned()).collect();
        head.push("n".to_owned());
        head.extend(fields.iter().map(|name| (*name).to_owned()));
        if has_recovery {
            head.push("recovery of the means".to_owned());
        }
        let body = self.groups.iter().map(|group| {
            let mut row: Vec<String> = axes
                .iter()
                .map(|name| group.axes.get(*name).map_or("–".to_owned(), plain))
                .collect();
            row.push(group.n.to_string());
            for name in &fields {
                row.push(match group.fields.get(*name) {
                    None => "–".to_owned(),
                    Some(field) if field.n == group.n => mean_text(field),
                    Some(field) => format!("{} (n {})", mean_text(field), field.n),
                });
            }
            if has_recovery {
                row.push(group.recovery.map_or("–".to_owned(), number));
            }
            row
        });
        write!(f, "{}", markdown(&head, body))?;
        writeln!(f, "\nMean ± sample standard deviation over n seeds.")?;
        if has_recovery {
            for (field, cell) in &self.borrow {
                writeln!(
                    f,
                    "Recovery takes {field} from the cells `{cell}` where a group has none."
                )?;
            }
        }
        for (cell, error) in &self.failed {
            writeln!(f, "Failed, in no mean: {cell}: {error}")?;
        }
        if !self.missing.is_empty() {
            writeln!(f, "Without a result yet: {}.", self.missing.join(", "))?;
        }
        if self.foreign > 0 {
            writeln!(
                f,
                "Left out: {} rows of cells that the plan does not have.",
                self.foreign
            )?;
        }
        Ok(())
    }
}
