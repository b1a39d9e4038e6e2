//! Numbers of a pair in columns of its row.

use std::path::Path;

use collimate_core::PreferencePair;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::Object;
use super::report::ReadReport;
use super::{Bad, Input, ReadOptions, Sink, pairs};
use crate::error::DataError;

/// Numbers of a pair from the columns `margin` and `weight` of its row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PairNumbers {
    /// Margin by which the chosen answer should win. `None` if the row has none.
    pub margin: Option<f64>,
    /// Weight of the pair, at least 0. `None` if the row has none.
    pub weight: Option<f64>,
}

/// Reads pairs and their numbers from one file. See [`Input::read_numbered_pairs`].
///
/// # Errors
/// As [`Input::read_numbered_pairs`].
pub fn read_numbered_pairs(
    path: impl AsRef<Path>,
    options: &ReadOptions,
) -> Result<(Vec<PreferencePair>, Vec<PairNumbers>, ReadReport), DataError> {
    Input::open(path)?.read_numbered_pairs(options)
}

impl Input {
    /// Reads pairs like [`read_pairs`](super::read_pairs), each with the numbers in the columns
    /// `margin` and `weight` of its row. If a row gives several pairs, each gets the numbers of the
    /// row.
    ///
    /// # Errors
    /// As [`read_pairs`](super::read_pairs). A value that is not a finite number, or a weight below
    /// 0, makes its row a bad row.
    ///
    /// # Examples
    /// ```
    /// use collimate_data::{Input, ReadOptions};
    /// let row = r#"{"prompt": "2+2?", "chosen": "4", "rejected": "5", "margin": 0.5}"#;
    /// let input = Input::from_reader("pairs.jsonl", row.as_bytes())?;
    /// let (pairs, numbers, _) = input.read_numbered_pairs(&ReadOptions::default())?;
    /// assert_eq!((pairs.len(), numbers[0].margin, numbers[0].weight), (1, Some(0.5), None));
    /// # Ok::<(), collimate_data::DataError>(())
    /// ```
    pub fn read_numbered_pairs(
        mut self,
        options: &ReadOptions,
    ) -> Result<(Vec<PreferencePair>, Vec<PairNumbers>, ReadReport), DataError> {
        let format = self.format_of(options)?;
        let mut sink = Sink::new(self.path(), options);
        sink.numbers = Some(Vec::new());
        pairs(self, format, options, &mut sink)?;
        let numbers = sink.numbers.take().unwrap_or_default();
        for name in ["margin", "weight"] {
            sink.seen.unused.remove(name);
        }
        let (pairs, report) = sink.finish(format);
        Ok((pairs, numbers, report))
    }
}

impl PairNumbers {
    /// Reads the numbers of a row.
    pub(super) fn of(row: &Object) -> Result<Self, Bad> {
        let (margin, weight) = (finite(row, "margin")?, finite(row, "weight")?);
        match weight {
            Some(weight) if weight < 0.0 => Err(Bad::fields(format!(
                "field `weight` is {weight}: it must be at least 0"
            ))),
            _ => Ok(Self { margin, weight }),
        }
    }
}

fn finite(row: &Object, name: &str) -> Result<Option<f64>, Bad> {
    let number = match row.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_f64(),
        // A cell of a table is a text.
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    let number = number.filter(|number| number.is_finite());
    let number = number.ok_or_else(|| Bad::fields(format!("field `{name}` is not a number")))?;
    Ok(Some(number))
}
