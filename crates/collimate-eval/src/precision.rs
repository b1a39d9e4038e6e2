//! Precision of self-labels by confidence.

use serde::{Deserialize, Serialize};

use crate::error::{EvalError, check_same_length, check_values};

/// Self-labels with a confidence above one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PrecisionPoint {
    /// The threshold. Only labels with a confidence above it count.
    pub threshold: f64,
    /// Number of labels above the threshold.
    pub kept: usize,
    /// Share of labels above the threshold among all labels.
    pub coverage: f64,
    /// Share of the labels above the threshold that are right, or `None` without such labels.
    pub precision: Option<f64>,
}

/// Returns the precision of self-labels with a confidence (for example Δp) above each threshold.
/// `correct` is true for each label that agrees with the held-out truth.
///
/// # Errors
/// [`EvalError::Length`] for different lengths. [`EvalError::TooFew`] without labels.
/// [`EvalError::NotFinite`] for a confidence or a threshold that is not finite.
///
/// # Examples
/// ```
/// let curve = collimate_eval::precision_curve(&[0.1, 0.4, 0.9], &[false, true, true], &[0.0, 0.3])?;
/// assert_eq!((curve[1].kept, curve[1].precision), (2, Some(1.0)));
/// # Ok::<(), collimate_eval::EvalError>(())
/// ```
pub fn precision_curve(
    confidence: &[f64],
    correct: &[bool],
    thresholds: &[f64],
) -> Result<Vec<PrecisionPoint>, EvalError> {
    check_same_length("precision curve", confidence.len(), correct.len())?;
    check_values("precision curve", confidence, 1)?;
    check_values("precision curve thresholds", thresholds, 0)?;
    let point = |&threshold: &f64| {
        let above = confidence
            .iter()
            .zip(correct)
            .filter(|(confidence, _)| **confidence > threshold);
        let (kept, right) = above.fold((0_usize, 0_usize), |(kept, right), (_, &correct)| {
            (kept + 1, right + usize::from(correct))
        });
        PrecisionPoint {
            threshold,
            kept,
            coverage: kept as f64 / confidence.len() as f64,
            precision: (kept > 0).then(|| right as f64 / kept as f64),
        }
    };
    Ok(thresholds.iter().map(point).collect())
}
