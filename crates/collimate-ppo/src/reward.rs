//! From the scores of responses to the rewards of tokens.

use collimate_core::Finish;
use collimate_nn::ConfigError;
use collimate_train::Exact;
use serde::{Deserialize, Serialize};

/// How scores are scaled before they become rewards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RewardScaling {
    /// Not at all.
    #[default]
    None,
    /// By the probability that the score stands for, from a threshold on.
    ///
    /// ```text
    /// s = σ(r),   r' = (max(s, c) − c) / (1 − c) · (max − min) + min
    /// ```
    ///
    /// SER ([arXiv:2411.00418](https://arxiv.org/abs/2411.00418)), equation 18.
    Sigmoid {
        /// c, in [0, 1).
        threshold: f64,
        /// What the threshold and all below it become.
        min: f64,
        /// What a probability of 1 becomes.
        max: f64,
    },
    /// From [−c, c] to [min, max], the rest cut.
    ///
    /// ```text
    /// r' = (clip(r, −c, c) + c) / (2c) · (max − min) + min
    /// ```
    SymmetricClip {
        /// c, above 0.
        limit: f64,
        /// What −c becomes.
        min: f64,
        /// What c becomes.
        max: f64,
    },
    /// To mean 0 and variance 1 over all scores seen so far, those of the rollout included.
    Running,
}

impl RewardScaling {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let range = |name, min: f64, max: f64| match min < max && (max - min).is_finite() {
            true => Ok(()),
            false => {
                let allowed = "min below max, both finite";
                Err(ConfigError::new(name, format!("{min} to {max}"), allowed))
            }
        };
        match *self {
            Self::None | Self::Running => Ok(()),
            Self::Sigmoid {
                threshold,
                min,
                max,
            } => {
                if !(0.0..1.0).contains(&threshold) {
                    let name = "reward.scaling.sigmoid.threshold";
                    return Err(ConfigError::new(name, threshold, "at least 0, below 1"));
                }
                range("reward.scaling.sigmoid", min, max)
            }
            Self::SymmetricClip { limit, min, max } => {
                if !(limit > 0.0 && limit.is_finite()) {
                    let name = "reward.scaling.symmetric_clip.limit";
                    return Err(ConfigError::new(name, limit, "above 0, finite"));
                }
                range("reward.scaling.symmetric_clip", min, max)
            }
        }
    }

    /// Scales the scores of a rollout; `seen` is what [`RewardScaling::Running`] remembers.
    ///
    /// # Examples
    /// ```
    /// use collimate_ppo::{RewardScaling, RunningMoments};
    /// let paper = RewardScaling::Sigmoid { threshold: 0.5, min: -1.0, max: 1.0 };
    /// let score = (0.75f64 / 0.25).ln(); // σ(score) = .75
    /// let scaled = paper.apply(&[score, -2.0], &mut RunningMoments::default());
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
                    threshold,
                    min,
                    max,
                } => {
                    let s = 1.0 / (1.0 + (-r).exp());
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

/// Count, mean and variance of all numbers seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunningMoments {
    count: u64,
    mean: Exact,
    /// Sum of squared deviations.
    squares: Exact,
}

impl RunningMoments {
    /// Takes more numbers in (Chan, Golub and LeVeque's pairwise update).
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

    /// Their mean; 0 of none.
    pub fn mean(&self) -> f64 {
        self.mean.0
    }

    /// Their unbiased variance; 0 of fewer than two.
    pub fn variance(&self) -> f64 {
        match self.count {
            0 | 1 => 0.0,
            n => self.squares.0 / (n - 1) as f64,
        }
    }
}

/// What becomes of the score of a response that was cut before its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum MissingEos {
    /// Nothing: it is scored as it is.
    #[default]
    Keep,
    /// It loses this much, after scaling.
    Penalty {
        /// How much, at least 0.
        amount: f64,
    },
    /// It is this, after scaling, whatever was scored.
    Fixed {
        /// The score.
        score: f64,
    },
}

impl MissingEos {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        match *self {
            Self::Penalty { amount } if !(amount >= 0.0 && amount.is_finite()) => {
                let allowed = "at least 0, finite: it is subtracted";
                let name = "reward.missing_eos.penalty.amount";
                Err(ConfigError::new(name, amount, allowed))
            }
            Self::Fixed { score } if !score.is_finite() => {
                let name = "reward.missing_eos.fixed.score";
                Err(ConfigError::new(name, score, "finite"))
            }
            _ => Ok(()),
        }
    }

    /// The score of a response that ended so.
    pub fn apply(&self, score: f64, finish: Finish) -> f64 {
        match (*self, finish) {
            (Self::Keep, _) | (_, Finish::Eos | Finish::Stop) => score,
            (Self::Penalty { amount }, Finish::Length) => score - amount,
            (Self::Fixed { score }, Finish::Length) => score,
        }
    }
}

/// From scores to rewards.
///
/// In this order: scaling, clipping, the rule for responses without an end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RewardConfig {
    /// How scores are scaled.
    pub scaling: RewardScaling,
    /// Scaled scores are cut to [−clip, clip].
    pub clip: Option<f64>,
    /// What becomes of a response without an end.
    pub missing_eos: MissingEos,
}

impl RewardConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.scaling.check()?;
        if let Some(clip) = self.clip.filter(|clip| !(*clip > 0.0 && clip.is_finite())) {
            return Err(ConfigError::new("reward.clip", clip, "above 0, or null"));
        }
        self.missing_eos.check()
    }

    /// The scores that count, of a rollout's scores and the ways in which its responses ended.
    pub fn apply(&self, scores: &[f64], ends: &[Finish], seen: &mut RunningMoments) -> Vec<f64> {
        let clip = |score: f64| self.clip.map_or(score, |clip| score.clamp(-clip, clip));
        let scaled = self.scaling.apply(scores, seen);
        let pairs = scaled.into_iter().zip(ends);
        pairs
            .map(|(score, &end)| self.missing_eos.apply(clip(score), end))
            .collect()
    }
}

/// The rewards of a response's tokens.
///
/// ```text
/// r_t = −β (log π_t − log ρ_t),   and the score on top at the last token
/// ```
///
/// # Panics
/// When there is not one reference log-probability per policy log-probability.
///
/// # Examples
/// ```
/// use collimate_ppo::token_rewards;
/// assert_eq!(token_rewards(&[-1.0, -2.0], &[-1.5, -2.0], 0.5, 3.0), [-0.25, 3.0]);
/// ```
pub fn token_rewards(
    policy_logps: &[f64],
    reference_logps: &[f64],
    kl_coef: f64,
    score: f64,
) -> Vec<f64> {
    assert_eq!(
        policy_logps.len(),
        reference_logps.len(),
        "one of each per token"
    );
    let pairs = policy_logps.iter().zip(reference_logps);
    let mut rewards: Vec<f64> = pairs.map(|(p, r)| -kl_coef * (p - r)).collect();
    if let Some(last) = rewards.last_mut() {
        *last += score;
    }
    rewards
}
