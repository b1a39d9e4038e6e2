//! Score centre: the score that corresponds to a probability of ½.

use serde::{Deserialize, Serialize};

use crate::StatusError;

/// Rule that sets the score centre, the score with p = ½.
///
/// A pairwise loss leaves the offset of r free, while the thresholds on p are absolute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ScoreCentre {
    /// The centre is 0: p = σ(r), as in the paper.
    #[default]
    None,
    /// The centre is the mean score of the labelled seed answers, chosen and rejected alike, under
    /// the model that scores the pool.
    SeedMean,
}

impl ScoreCentre {
    /// Returns the score centre c of p = σ(r − c).
    ///
    /// # Errors
    /// Returns an error for [`ScoreCentre::SeedMean`] without scores, or with a score that is not
    /// finite.
    ///
    /// # Examples
    /// ```
    /// use collimate_status::ScoreCentre;
    /// assert_eq!(ScoreCentre::None.value(&[])?, 0.0);
    /// assert_eq!(ScoreCentre::SeedMean.value(&[1.0, 4.0])?, 2.5);
    /// # Ok::<(), collimate_status::StatusError>(())
    /// ```
    pub fn value(self, seed_scores: &[f32]) -> Result<f64, StatusError> {
        match self {
            Self::None => Ok(0.0),
            Self::SeedMean => {
                if seed_scores.is_empty() {
                    return Err(StatusError::NoSeedScores);
                }
                let bad = seed_scores.iter().position(|score| !score.is_finite());
                if let Some(index) = bad {
                    let value = seed_scores[index];
                    return Err(StatusError::SeedNotFinite { index, value });
                }
                let sum: f64 = seed_scores.iter().map(|&score| f64::from(score)).sum();
                Ok(sum / seed_scores.len() as f64)
            }
        }
    }
}

/// Returns the probability that an answer with this score is good.
///
/// ```text
/// p = σ(r − c) = 1 / (1 + exp(c − r))
/// ```
///
/// Equation 1 of <https://arxiv.org/abs/2411.00418>, with the centre `c` added.
///
/// # Numerics
/// In f64 from the f32 score; finite for every finite score; ½ exactly at r = c. Rounded to 1 from
/// r − c of about 37.
///
/// # Examples
/// ```
/// assert_eq!(collimate_status::probability(1.5, 1.5), 0.5);
/// ```
pub fn probability(score: f32, centre: f64) -> f64 {
    let x = f64::from(score) - centre;
    // Each branch takes the exponential of a number ≤ 0, so nothing overflows.
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}
