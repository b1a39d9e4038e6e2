//! Scaling of the scores of responses.

use collimate_core::{OptionError, Range};
use collimate_train::Exact;
use serde::{Deserialize, Serialize};

/// Scaling of scores before they become rewards.
///
/// A reward model that was trained on pairs leaves the offset of its scores free. A bound on scores
/// is therefore meaningful only after a centre is subtracted ([`Self::Sigmoid`]) or the mean
/// ([`Self::Running`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RewardScaling {
    /// Scores are not scaled.
    #[default]
    None,
    /// Scores become probabilities; rewards rise with the probability from a threshold on.
    ///
    /// ```text
    /// s = σ(r − centre),   r' = (max(s, c) − c) / (1 − c) · (max − min) + min
    /// ```
    ///
    /// SER ([arXiv:2411.00418](https://arxiv.org/abs/2411.00418)), equation 18, where the centre
    /// is 0.
    Sigmoid {
        /// Score centre: the score whose probability s is ½. With null, the recipe sets the centre
        /// of the reward model, or 0 if no centre is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        centre: Option<f64>,
        /// Probability c above which rewards rise, at least 0 and below 1.
        threshold: f64,
        /// Reward of the probability c and of every smaller probability.
        min: f64,
        /// Reward of a probability of 1, above `min`.
        max: f64,
    },
    /// Scores from −c to c are mapped to the range from `min` to `max`; scores outside are clipped.
    ///
    /// ```text
    /// r' = (clip(r, −c, c) + c) / (2c) · (max − min) + min
    /// ```
    SymmetricClip {
        /// Largest size c of a score that is not clipped, above 0.
        limit: f64,
        /// Reward of the score −c.
        min: f64,
        /// Reward of the score c, above `min`.
        max: f64,
    },
    /// Scores are shifted and scaled to mean 0 and variance 1 over all scores so far, including the
    /// rollout's own scores.
    Running,
}

impl RewardScaling {
    /// Equation 18 of SER with the paper's numbers; the recipe sets the centre.
    pub const PAPER: Self = Self::Sigmoid {
        centre: None,
        threshold: 0.5,
        min: -1.0,
        max: 1.0,
    };

    /// Returns the scaling with this centre, if it is a sigmoid scaling without a centre; else
    /// returns it unchanged.
    #[must_use]
    pub fn centred(self, at: Option<f64>) -> Self {
        match self {
            Self::Sigmoid {
                centre: None,
                threshold,
                min,
                max,
            } => Self::Sigmoid {
                centre: at,
                threshold,
                min,
                max,
            },
            other => other,
        }
    }

    /// Returns true if a score gets the smallest reward of the scaling; `None` if there is no
    /// smallest reward.
    pub fn on_floor(&self, score: f64) -> Option<bool> {
        match *self {
            Self::None | Self::Running => None,
            Self::Sigmoid {
                centre, threshold, ..
            } => Some(sigmoid(score - centre.unwrap_or(0.0)) <= threshold),
            Self::SymmetricClip { limit, .. } => Some(score <= -limit),
        }
    }

    pub(crate) fn check(&self) -> Result<(), OptionError> {
        let range = |name, min: f64, max: f64| {
            let holds = min < max && (max - min).is_finite();
            let (value, allowed) = (
                format!("{min} to {max}"),
                "a finite range with min below max",
            );
            OptionError::check(name, value, allowed, holds)
        };
        match *self {
            Self::None | Self::Running => Ok(()),
            Self::Sigmoid {
                centre,
                threshold,
                min,
                max,
            } => {
                if let Some(centre) = centre.filter(|centre| !centre.is_finite()) {
                    let name = "reward.scaling.sigmoid.centre";
                    let allowed = "finite, or null for the reward model's own centre";
                    return Err(OptionError::new(name, centre, allowed));
                }
                Range::BelowOne.check("reward.scaling.sigmoid.threshold", threshold)?;
                range("reward.scaling.sigmoid", min, max)
            }
            Self::SymmetricClip { limit, min, max } => {
                Range::Positive.check("reward.scaling.symmetric_clip.limit", limit)?;
                range("reward.scaling.symmetric_clip", min, max)
            }
        }
    }

    /// Scales the scores of a rollout; `seen` holds the running moments for
    /// [`RewardScaling::Running`].
    ///
    /// # Examples
    /// ```
    /// use collimate_ppo::{RewardScaling, RunningMoments};
    /// let paper = RewardScaling::PAPER;
    /// let score = (0.75f64 / 0.25).ln(); // σ(score) = .75
    /// let scaled = paper.apply(&[score, -2.0], &mut RunningMoments::default());
    /// assert!(scaled[0].abs() < 1e-12 && scaled[1] == -1.0);
    /// // The offset of the scores makes no difference once it is the centre.
    /// let centred = paper.centred(Some(-7.0));
    /// let scaled = centred.apply(&[score - 7.0, -9.0], &mut RunningMoments::default());
    /// assert!(scaled[0].abs() < 1e-12 && scaled[1] == -1.0);
    /// ```
    pub fn apply(&self, scores: &[f64], seen: &mut RunningMoments) -> Vec<f64> {
        if *self == Self::Running {
            seen.add(scores);
            let (mean, std) = (seen.mean.0, seen.variance().sqrt());
            return scores.iter().map(|r| (r - mean) / (std + 1e-8)).collect();
        }
        scores
            .iter()
            .map(|&r| match *self {
                Self::Sigmoid {
                    centre,
                    threshold,
                    min,
                    max,
                } => {
                    let s = sigmoid(r - centre.unwrap_or(0.0));
                    (s.max(threshold) - threshold) / (1.0 - threshold) * (max - min) + min
                }
                Self::SymmetricClip { limit, min, max } => {
                    (r.clamp(-limit, limit) + limit) / (2.0 * limit) * (max - min) + min
                }
                Self::None | Self::Running => r,
            })
            .collect()
    }
}

/// Describes the scaling in words, for reports.
impl std::fmt::Display for RewardScaling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::None => f.write_str("unscaled scores"),
            Self::Running => f.write_str("scores shifted and scaled to mean 0 and variance 1"),
            Self::Sigmoid {
                centre,
                threshold,
                min,
                max,
            } => {
                match centre {
                    Some(centre) => write!(f, "σ(score − {centre:.4})")?,
                    None => f.write_str("σ(score), without a centre")?,
                }
                write!(f, ", where {threshold} to 1 is mapped to {min} to {max}")
            }
            Self::SymmetricClip { limit, min, max } => {
                write!(
                    f,
                    "scores from −{limit} to {limit} mapped to {min} to {max}"
                )
            }
        }
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Count, mean and variance of all numbers seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunningMoments {
    count: u64,
    mean: Exact,
    /// Sum of squared deviations from the mean.
    squares: Exact,
}

impl RunningMoments {
    /// Adds numbers (Chan, Golub and LeVeque's pairwise update).
    pub fn add(&mut self, values: &[f64]) {
        if values.is_empty() {
            return;
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let before = self.count as f64;
        let (delta, all) = (mean - self.mean.0, before + n);
        self.squares.0 += squares + delta * delta * before * n / all;
        self.mean.0 += delta * n / all;
        self.count += values.len() as u64;
    }

    /// Returns the mean of the numbers; 0 without numbers.
    pub fn mean(&self) -> f64 {
        self.mean.0
    }

    /// Returns the unbiased variance of the numbers; 0 for fewer than two numbers.
    pub fn variance(&self) -> f64 {
        match self.count {
            0 | 1 => 0.0,
            n => self.squares.0 / (n - 1) as f64,
        }
    }
}
