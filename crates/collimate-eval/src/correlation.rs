//! Pearson and Spearman correlation.

use crate::error::{EvalError, check_same_length, check_values};

/// Returns Pearson's correlation coefficient.
///
/// ```text
/// Σ(x − x̄)(y − ȳ) / √(Σ(x − x̄)² · Σ(y − ȳ)²)
/// ```
///
/// # Errors
/// [`EvalError::Length`] for different lengths. [`EvalError::TooFew`] below two values.
/// [`EvalError::NotFinite`] for a value that is not finite. [`EvalError::Constant`] if one side
/// does not vary.
///
/// # Examples
/// ```
/// let r = collimate_eval::pearson(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0])?;
/// assert!((r - 1.0).abs() < 1e-15);
/// # Ok::<(), collimate_eval::EvalError>(())
/// ```
pub fn pearson(x: &[f64], y: &[f64]) -> Result<f64, EvalError> {
    correlation("pearson", x, y)
}

/// Returns Spearman's rank correlation, which is Pearson's coefficient of the average ranks.
///
/// # Errors
/// As [`pearson`].
///
/// # Examples
/// ```
/// let r = collimate_eval::spearman(&[1.0, 2.0, 3.0], &[1.0, 10.0, 100.0])?;
/// assert!((r - 1.0).abs() < 1e-15);
/// # Ok::<(), collimate_eval::EvalError>(())
/// ```
pub fn spearman(x: &[f64], y: &[f64]) -> Result<f64, EvalError> {
    // Check before ranking, because ranks hide a NaN.
    check_values("spearman", x, 2)?;
    check_values("spearman", y, 2)?;
    correlation("spearman", &average_ranks(x), &average_ranks(y))
}

/// Returns the ranks of values from 1. Equal values share the mean of their ranks.
///
/// # Examples
/// ```
/// assert_eq!(collimate_eval::average_ranks(&[3.0, 1.0, 3.0]), [2.5, 1.0, 2.5]);
/// ```
pub fn average_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    // Adding 0 makes the sort order treat −0 and 0 as equal.
    order.sort_by(|&a, &b| (values[a] + 0.0).total_cmp(&(values[b] + 0.0)));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for run in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let mean = start as f64 + (run.len() as f64 + 1.0) / 2.0;
        for &index in run {
            ranks[index] = mean;
        }
        start += run.len();
    }
    ranks
}

fn correlation(what: &'static str, x: &[f64], y: &[f64]) -> Result<f64, EvalError> {
    check_same_length(what, x.len(), y.len())?;
    check_values(what, x, 2)?;
    check_values(what, y, 2)?;
    let constant = |values: &[f64]| values.iter().all(|&value| value == values[0]);
    if constant(x) || constant(y) {
        return Err(EvalError::Constant { what });
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (&x, &y) in x.iter().zip(y) {
        let (x, y) = (x - mean_x, y - mean_y);
        xy += x * y;
        xx += x * x;
        yy += y * y;
    }
    // Rounding can carry the quotient slightly beyond ±1.
    Ok((xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0))
}
