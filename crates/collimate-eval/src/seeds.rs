//! Mean and spread over several seeds.

use serde::{Deserialize, Serialize};

use crate::error::{EvalError, check_values};

/// Mean and spread over runs that differ in the seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeanSd {
    /// Number of runs.
    pub n: usize,
    /// Mean.
    pub mean: f64,
    /// Sample standard deviation (divided by n − 1), or `None` for one run.
    pub sd: Option<f64>,
}

/// Returns mean and sample standard deviation.
///
/// # Errors
/// [`EvalError::TooFew`] without values. [`EvalError::NotFinite`] with the index of the value.
///
/// # Examples
/// ```
/// let runs = collimate_eval::mean_sd(&[0.70, 0.72, 0.74])?;
/// assert!((runs.mean - 0.72).abs() < 1e-15 && (runs.sd.unwrap() - 0.02).abs() < 1e-15);
/// # Ok::<(), collimate_eval::EvalError>(())
/// ```
pub fn mean_sd(values: &[f64]) -> Result<MeanSd, EvalError> {
    check_values("mean over seeds", values, 1)?;
    let n = values.len();
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Ok(MeanSd {
        n,
        mean,
        sd: (n > 1).then(|| (squares / (n - 1) as f64).sqrt()),
    })
}
