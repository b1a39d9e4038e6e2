//! Share of pairs whose chosen answer gets the larger score.

use collimate_core::outcome;
use serde::{Deserialize, Serialize};

use crate::error::{EvalError, check_pairs};

/// Pairwise accuracy, with the number of ties.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Number of pairs.
    pub pairs: usize,
    /// Number of pairs with r_w > r_l.
    pub correct: usize,
    /// Number of pairs with r_w = r_l.
    pub ties: usize,
    /// (correct + ties / 2) / pairs.
    pub accuracy: f64,
}

impl Accuracy {
    /// Returns correct / pairs, the accuracy of the SER paper, which counts a tie as wrong.
    pub fn ties_wrong(&self) -> f64 {
        self.correct as f64 / self.pairs as f64
    }
}

/// Returns the outcome of each pair (chosen, rejected), as values for a bootstrap. The outcome is 1
/// if the chosen answer has the larger score, ½ for a tie, and 0 otherwise.
///
/// # Errors
/// [`EvalError::TooFew`] without pairs. [`EvalError::NotFinite`] with the index of the pair.
pub fn outcomes(pairs: &[(f32, f32)]) -> Result<Vec<f64>, EvalError> {
    check_pairs("accuracy", pairs)?;
    let pairs = pairs.iter();
    Ok(pairs.map(|(c, r)| outcome(c.partial_cmp(r))).collect())
}

/// Returns the share of pairs (chosen, rejected) whose chosen answer has the larger score. A tie
/// counts one half, so random scores give about 0.5.
///
/// # Errors
/// As [`outcomes`].
///
/// # Examples
/// ```
/// let result = collimate_eval::pairwise_accuracy(&[(1.0, 0.5), (0.2, 0.2), (0.1, 0.9)])?;
/// assert_eq!((result.correct, result.ties, result.accuracy), (1, 1, 0.5));
/// # Ok::<(), collimate_eval::EvalError>(())
/// ```
pub fn pairwise_accuracy(pairs: &[(f32, f32)]) -> Result<Accuracy, EvalError> {
    let outcomes = outcomes(pairs)?;
    let count = |value: f64| outcomes.iter().filter(|&&outcome| outcome == value).count();
    let (correct, ties) = (count(1.0), count(0.5));
    Ok(Accuracy {
        pairs: pairs.len(),
        correct,
        ties,
        accuracy: (correct as f64 + 0.5 * ties as f64) / pairs.len() as f64,
    })
}
