//! Questions that a model gets right or wrong, alone or beside another model, shown and saved.

use collimate::eval::{Bootstrap, Groups, Interval};
use serde_json::{Map, Value, json};

use super::out::Places;
use super::stats::key;
use super::table::{Table, interval, number};
use crate::common::Failure;
use crate::templates::TEMPLATES;

/// A named measure: 1 for each question that a model gets right, otherwise 0.
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    /// Name in words.
    pub(crate) title: &'static str,
    pub(crate) right: Vec<f64>,
    /// Results of the other model, if there is one.
    pub(crate) against: Option<Vec<f64>>,
    /// Category of each result, in order.
    pub(crate) categories: Vec<Option<String>>,
    /// If true, the table has a row for each category.
    pub(crate) detailed: bool,
    /// Results with the same number belong to one prompt. If absent, each result is independent.
    pub(crate) prompts: Option<Vec<usize>>,
}

impl Measure {
    fn groups(&self) -> Groups<'_> {
        self.prompts.as_deref().map_or(Groups::Items, Groups::By)
    }
}

/// Notes that accompany the numbers.
pub(crate) struct About {
    pub(crate) title: &'static str,
    /// Names of the model and of the other model.
    pub(crate) models: Vec<String>,
    pub(crate) notes: Vec<String>,
    pub(crate) input: Value,
    /// Name of the things that are counted.
    pub(crate) counted: &'static str,
}

/// Shows shares of right answers with intervals, and the paired difference of two models.
pub(crate) fn show(
    about: &About,
    measures: &[Measure],
    rows: impl Iterator<Item = Value>,
    file: &str,
    places: Places<'_>,
) -> Result<(), Failure> {
    let header = ["", about.counted, "right", "accuracy", "95 %"];
    let mut tables = Vec::new();
    let mut summary = Map::new();
    for (side, model) in about.models.iter().enumerate() {
        let title = if about.models.len() == 1 {
            "Accuracy"
        } else {
            model.as_str()
        };
        let mut table = Table::new(title, header);
        let mut found = Map::new();
        for measure in measures {
            let right = if side == 0 {
                Some(&measure.right)
            } else {
                measure.against.as_ref()
            };
            let Some(right) = right else {
                continue;
            };
            let whole = Bootstrap::default().mean(right, measure.groups(), key())?;
            table.row(row(measure.title, right, whole));
            let by = by_category(measure, right)?;
            if by.len() > 1 && measure.detailed {
                for (name, part, ends) in &by {
                    table.row(row(name, part, *ends));
                }
            }
            let parts = by.iter().map(|(name, part, ends)| {
                json!({"name": name, (about.counted): part.len(), "interval": ends})
            });
            let parts: Vec<Value> = parts.collect();
            found.insert(
                measure.name.to_owned(),
                json!({
                    "estimate": whole.estimate, "interval": whole, (about.counted): right.len(),
                    "right": right.iter().sum::<f64>(), "by": parts,
                }),
            );
        }
        let name = if side == 0 { "model" } else { "against" };
        summary.insert(name.to_owned(), Value::Object(found));
        tables.push(table);
    }
    if about.models.len() == 2 {
        let mut table = Table::new(
            "Model minus --against, on the same rows",
            ["", "difference", "95 %"],
        );
        let mut found = Map::new();
        for measure in measures {
            let Some(other) = &measure.against else {
                continue;
            };
            let key = key();
            let difference = Bootstrap::default().paired_difference(
                &measure.right,
                other,
                measure.groups(),
                key,
            )?;
            table.row(vec![
                measure.title.to_owned(),
                format!("{:+.3}", difference.estimate),
                interval(Some(difference)),
            ]);
            found.insert(measure.name.to_owned(), json!(difference));
        }
        summary.insert("difference".to_owned(), Value::Object(found));
        tables.push(table);
    }
    summary.insert("models".to_owned(), json!(about.models));
    summary.insert("input".to_owned(), about.input.clone());
    summary.insert("notes".to_owned(), json!(about.notes));
    let mut text = String::new();
    for table in &tables {
        text += &table.text();
        text.push('\n');
    }
    text.extend(about.notes.iter().map(|note| format!("{note}\n")));
    places.print(&text, &summary)?;
    let Some(out) = places.out else {
        return Ok(());
    };
    out.lines(file, rows)?;
    let values = json!({"title": about.title, "notes": about.notes, "tables": tables});
    let report = TEMPLATES.render("eval.md", &values, Vec::new())?;
    out.finish(&report, &summary)
}

fn row(name: &str, right: &[f64], ends: Interval) -> Vec<String> {
    vec![
        name.to_owned(),
        right.len().to_string(),
        format!("{}", right.iter().sum::<f64>()),
        number(Some(ends.estimate)),
        interval(Some(ends)),
    ]
}

type Part = (String, Vec<f64>, Interval);

/// Groups the results by category, in the order of the file. Returns no groups if no result has a
/// category.
fn by_category(measure: &Measure, right: &[f64]) -> Result<Vec<Part>, Failure> {
    if measure.categories.iter().all(Option::is_none) {
        return Ok(Vec::new());
    }
    let mut parts: Vec<(String, Vec<usize>)> = Vec::new();
    for (at, category) in measure.categories.iter().enumerate() {
        let name = category.as_deref().unwrap_or("(none)");
        match parts.iter_mut().find(|(part, _)| part == name) {
            Some((_, part)) => part.push(at),
            None => parts.push((name.to_owned(), vec![at])),
        }
    }
    let parts = parts.into_iter().map(|(name, part)| {
        let values: Vec<f64> = part.iter().map(|at| right[*at]).collect();
        let prompts = measure.prompts.as_ref();
        let prompts: Option<Vec<usize>> =
            prompts.map(|prompts| part.iter().map(|at| prompts[*at]).collect());
        let groups = prompts.as_deref().map_or(Groups::Items, Groups::By);
        let ends = Bootstrap::default().mean(&values, groups, key())?;
        Ok((name, values, ends))
    });
    parts.collect()
}
