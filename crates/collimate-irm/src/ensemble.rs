//! Weighted mean of the margins of two models.

use collimate_core::Range;
use rayon::prelude::*;

use crate::IrmError;
use crate::error::same_length;
use crate::reward::PIECE;

/// Returns the weighted mean of the current and the previous model's values.
///
/// ```text
/// m̄_t = (1 − γ) · m(π_{t−1}) + γ · m(π_{t−2})        m̄_2 = m(π_1)
/// ```
///
/// Equation 7 of <https://arxiv.org/abs/2410.09362>. Without a `previous` model (there is only one
/// aligned model so far) the result is `current`. The values may be margins of pairs or implicit
/// rewards of responses: the margin of mean rewards is the mean of the margins.
///
/// # Shapes
/// Both lists have one value per pair or response.
///
/// # Numerics
/// γ = 0 gives `current`, γ = 1 gives `previous`. A value that is not finite in either list is not
/// finite in the result; [`top_k`](crate::top_k) leaves it.
///
/// # Errors
/// Returns [`IrmError::OutOfRange`] for a `gamma` outside [0, 1], and [`IrmError::Length`] for
/// lists of different length.
///
/// # Examples
/// ```
/// let mean = collimate_irm::ensemble(&[2.0, -1.0], Some(&[4.0, 3.0]), 0.25)?;
/// assert_eq!(mean, [2.5, 0.0]);
/// assert_eq!(collimate_irm::ensemble(&[2.0], None, 0.25)?, [2.0]);
/// # Ok::<(), collimate_irm::IrmError>(())
/// ```
pub fn ensemble(
    current: &[f64],
    previous: Option<&[f64]>,
    gamma: f64,
) -> Result<Vec<f64>, IrmError> {
    Range::Share.check("gamma", gamma)?;
    let Some(previous) = previous else {
        return Ok(current.to_vec());
    };
    same_length("margins", "previous", previous.len(), current.len())?;
    Ok(current
        .par_iter()
        .zip(previous)
        .with_min_len(PIECE)
        .map(|(&current, &previous)| (1.0 - gamma) * current + gamma * previous)
        .collect())
}
