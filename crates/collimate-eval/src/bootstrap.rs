//! Percentile intervals from resampling items or groups.

use std::collections::HashMap;

use collimate_core::{Key, OptionError, Purpose, Range};
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{EvalError, check_same_length, check_values};

/// Units that are drawn with replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Groups<'a> {
    /// Each item is drawn by itself.
    Items,
    /// Items with the same number are drawn together, because pairs that share a prompt are not
    /// independent. If all items have one number (an instruction that every row repeats), each item
    /// is drawn by itself. A single group would give an interval without width.
    By(&'a [usize]),
}

/// An estimate with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Mean over the original items.
    pub estimate: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Interval {
    /// Returns true if `value` is inside the interval, ends included.
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// Options of bootstrap intervals.
///
/// | field | default | range |
/// |---|---|---|
/// | `resamples` | 10 000 | at least 100 |
/// | `confidence` | 0.95 | (0, 1) |
///
/// # Examples
/// ```
/// use collimate_core::Key;
/// use collimate_eval::{Bootstrap, Groups};
/// let before = [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0];
/// let after = [1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0];
/// let key = Key::new(7, "report");
/// let gain = Bootstrap::default().paired_difference(&after, &before, Groups::Items, key)?;
/// assert_eq!(gain.estimate, 0.375);
/// assert!(gain.low >= 0.0 && gain.high <= 0.75);
/// # Ok::<(), collimate_eval::EvalError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bootstrap {
    /// Number of times that the items are redrawn.
    pub resamples: usize,
    /// Share of the resampled means inside the interval.
    pub confidence: f64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            resamples: 10_000,
            confidence: 0.95,
        }
    }
}

impl Bootstrap {
    /// Checks every field against its range.
    ///
    /// # Errors
    /// [`EvalError::OutOfRange`] with name and value.
    pub fn check(&self) -> Result<(), EvalError> {
        let n = self.resamples;
        OptionError::check("resamples", n, "at least 100", n >= 100)?;
        Ok(Range::InsideOne.check("confidence", self.confidence)?)
    }

    /// Returns the percentile interval of the mean of `values`.
    ///
    /// Each resample has its own random stream, keyed by its number. The interval therefore does
    /// not depend on the number of threads.
    ///
    /// # Errors
    /// [`EvalError::OutOfRange`] as [`Bootstrap::check`]. [`EvalError::TooFew`] without values.
    /// [`EvalError::NotFinite`] for a value that is not finite. [`EvalError::Length`] if the
    /// numbers of groups and values differ.
    pub fn mean(
        &self,
        values: &[f64],
        groups: Groups<'_>,
        key: Key,
    ) -> Result<Interval, EvalError> {
        self.check()?;
        check_values("bootstrap", values, 1)?;
        let units = units(values, groups)?;
        let draws = units.len() as u64;
        let mut means: Vec<f64> = (0..self.resamples as u64)
            .into_par_iter()
            .map(|resample| {
                let mut rng = key.with(resample).rng(Purpose::Bootstrap);
                let (mut sum, mut count) = (0.0, 0.0);
                for _ in 0..draws {
                    let unit = units[rng.random_range(0..draws) as usize];
                    sum += unit.0;
                    count += unit.1;
                }
                sum / count
            })
            .collect();
        means.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - self.confidence) / 2.0;
        Ok(Interval {
            estimate: values.iter().sum::<f64>() / values.len() as f64,
            low: quantile(&means, tail),
            high: quantile(&means, 1.0 - tail),
        })
    }

    /// Returns the percentile interval of mean(a) − mean(b), where a and b are the values of two
    /// systems on the same items. Both values of an item are redrawn together, so the difficulty of
    /// the item cancels.
    ///
    /// # Errors
    /// As [`Bootstrap::mean`]. [`EvalError::Length`] if a and b differ in length.
    pub fn paired_difference(
        &self,
        a: &[f64],
        b: &[f64],
        groups: Groups<'_>,
        key: Key,
    ) -> Result<Interval, EvalError> {
        check_same_length("paired bootstrap", a.len(), b.len())?;
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        self.mean(&differences, groups, key)
    }
}

/// Returns (sum, number) of the values of each unit, in the order of first appearance.
fn units(values: &[f64], groups: Groups<'_>) -> Result<Vec<(f64, f64)>, EvalError> {
    let Groups::By(groups) = groups else {
        return Ok(values.iter().map(|&value| (value, 1.0)).collect());
    };
    check_same_length("bootstrap groups", values.len(), groups.len())?;
    let mut places = HashMap::new();
    let mut units: Vec<(f64, f64)> = Vec::new();
    for (&value, &group) in values.iter().zip(groups) {
        let place = *places.entry(group).or_insert_with(|| {
            units.push((0.0, 0.0));
            units.len() - 1
        });
        units[place].0 += value;
        units[place].1 += 1.0;
    }
    if units.len() == 1 {
        return Ok(values.iter().map(|&value| (value, 1.0)).collect());
    }
    Ok(units)
}

/// Returns a quantile with linear interpolation between order statistics (type 7 of Hyndman and
/// Fan).
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let below = place.floor();
    let (low, high) = (sorted[below as usize], sorted[place.ceil() as usize]);
    low + (high - low) * (place - below)
}

#[cfg(test)]
mod tests {
    use super::{Groups, quantile, units};

    #[test]
    fn one_group_of_all_items_groups_none() {
        let values = [1.0, 0.0, 1.0];
        let alone = units(&values, Groups::Items).unwrap();
        assert_eq!(units(&values, Groups::By(&[4, 4, 4])).unwrap(), alone);
        assert_eq!(
            units(&values, Groups::By(&[4, 4, 5])).unwrap(),
            [(1.0, 2.0), (1.0, 1.0)]
        );
    }

    #[test]
    fn quantiles_interpolate() {
        let sorted = [1.0, 2.0, 4.0, 8.0, 16.0];
        for (q, expected) in [(0.0, 1.0), (0.1, 1.4), (0.5, 4.0), (0.9, 12.8), (1.0, 16.0)] {
            assert!((quantile(&sorted, q) - expected).abs() < 1e-12, "{q}");
        }
    }
}
