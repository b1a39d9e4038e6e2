//! Numbers of a pair in columns of its row.

use serde_json::Value;

use super::Bad;
use super::fields::Object;
use super::sink::Sink;

/// Numbers of a pair from the columns `margin` and `weight` of its row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct PairNumbers {
    /// Margin by which the chosen answer should win. `None` if the row has none.
    pub(super) margin: Option<f64>,
    /// Weight of the pair, at least 0. `None` if the row has none.
    pub(super) weight: Option<f64>,
}

impl PairNumbers {
    /// Names of the columns.
    pub(super) const COLUMNS: [&str; 2] = ["margin", "weight"];

    /// Reads the numbers of a row.
    fn of(row: &Object) -> Result<Self, Bad> {
        let (margin, weight) = (finite(row, "margin")?, finite(row, "weight")?);
        match weight {
            Some(weight) if weight < 0.0 => Err(Bad::fields(format!(
                "field `weight` is {weight}: it must be at least 0"
            ))),
            _ => Ok(Self { margin, weight }),
        }
    }
}

impl<T> Sink<T> {
    /// Reads the numbers of the current row, if the caller asked for them.
    pub(super) fn read_numbers(&mut self, row: &Object) -> Result<(), Bad> {
        if self.with_numbers {
            self.numbers = PairNumbers::of(row)?;
        }
        Ok(())
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
    // Losses compute in f32.
    let number = number.filter(|number| (*number as f32).is_finite());
    let number = number
        .ok_or_else(|| Bad::fields(format!("field `{name}` is not a number, or is too large")))?;
    Ok(Some(number))
}
