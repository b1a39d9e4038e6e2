//! Gap between the rewards of two answers.

use serde::{Deserialize, Serialize};

use crate::error::{EvalError, check_pairs};

/// Statistics of the reward gap Δr = r_w − r_l.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RewardGap {
    /// Mean of Δr, signed.
    pub mean: f64,
    /// Mean of |Δr|.
    pub mean_abs: f64,
    /// Number of pairs with both answers above the centre or both below it.
    pub same_side: usize,
    /// Mean of |Δr| over the pairs on one side of the centre, or `None` without such pairs.
    pub mean_abs_same_side: Option<f64>,
}

/// Returns the gap statistics of pairs (chosen, rejected). The centre is the score that corresponds
/// to p = ½. An answer with exactly this score is on neither side.
///
/// # Errors
/// [`EvalError::TooFew`] without pairs. [`EvalError::NotFinite`] with the index of the pair.
///
/// # Examples
/// ```
/// let gap = collimate_eval::reward_gap(&[(2.0, 1.0), (1.0, -2.0), (-3.0, -1.0)], 0.0)?;
/// assert_eq!((gap.mean_abs, gap.same_side), (2.0, 2));
/// assert_eq!(gap.mean_abs_same_side, Some(1.5));
/// # Ok::<(), collimate_eval::EvalError>(())
/// ```
pub fn reward_gap(pairs: &[(f32, f32)], centre: f64) -> Result<RewardGap, EvalError> {
    check_pairs("reward gap", pairs)?;
    let gaps: Vec<f64> = pairs
        .iter()
        .map(|&(chosen, rejected)| f64::from(chosen) - f64::from(rejected))
        .collect();
    let same: Vec<f64> = pairs
        .iter()
        .zip(&gaps)
        .filter(|((chosen, rejected), _)| {
            let (chosen, rejected) = (f64::from(*chosen), f64::from(*rejected));
            (chosen > centre && rejected > centre) || (chosen < centre && rejected < centre)
        })
        .map(|(_, gap)| gap.abs())
        .collect();
    let n = pairs.len() as f64;
    Ok(RewardGap {
        mean: gaps.iter().sum::<f64>() / n,
        mean_abs: gaps.iter().map(|gap| gap.abs()).sum::<f64>() / n,
        same_side: same.len(),
        mean_abs_same_side: (!same.is_empty())
            .then(|| same.iter().sum::<f64>() / same.len() as f64),
    })
}
