//! Scores of responses, turned into rewards of tokens.

use collimate_core::{Finish, OptionError, Range};
use serde::{Deserialize, Serialize};

use crate::scaling::{RewardScaling, RunningMoments};

/// Treatment of the score of a response that was cut before its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum MissingEos {
    /// The score is kept as it is.
    #[default]
    Keep,
    /// A fixed amount is subtracted from the score, after scaling.
    Penalty {
        /// Amount that is subtracted, at least 0.
        amount: f64,
    },
    /// A fixed number replaces the score, after scaling.
    Fixed {
        /// Score of a response that was cut, any finite number.
        score: f64,
    },
}

impl MissingEos {
    pub(crate) fn check(&self) -> Result<(), OptionError> {
        match *self {
            Self::Keep => Ok(()),
            Self::Penalty { amount } => {
                let (holds, allowed) = (
                    Range::NotNegative.contains(amount),
                    "finite and at least 0, because it is subtracted",
                );
                OptionError::check("reward.missing_eos.penalty.amount", amount, allowed, holds)
            }
            Self::Fixed { score } => Range::Finite.check("reward.missing_eos.fixed.score", score),
        }
    }

    /// Returns the score of a response that ended in this way.
    pub fn apply(&self, score: f64, finish: Finish) -> f64 {
        match (*self, finish) {
            (Self::Keep, _) | (_, Finish::Eos | Finish::Stop) => score,
            (Self::Penalty { amount }, Finish::Length) => score - amount,
            (Self::Fixed { score }, Finish::Length) => score,
        }
    }
}

/// Options of turning scores into rewards.
///
/// Scores are scaled first, then clipped; the rule for responses without an end comes last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RewardConfig {
    /// Scaling of scores before they become rewards.
    pub scaling: RewardScaling,
    /// Largest size of a scaled score, above 0. Scaled scores are clipped to the range from −clip
    /// to clip. Null never clips.
    pub clip: Option<f64>,
    /// Treatment of the score of a response that was cut before its end.
    pub missing_eos: MissingEos,
}

impl RewardConfig {
    pub(crate) fn check(&self) -> Result<(), OptionError> {
        self.scaling.check()?;
        if let Some(clip) = self.clip.filter(|clip| !(*clip > 0.0 && clip.is_finite())) {
            return Err(OptionError::new("reward.clip", clip, "above 0, or null"));
        }
        self.missing_eos.check()
    }

    /// Turns the scores of a rollout into rewards, given how each response ended.
    pub fn apply(&self, scores: &[f64], ends: &[Finish], seen: &mut RunningMoments) -> Vec<f64> {
        let clip = |score: f64| self.clip.map_or(score, |clip| score.clamp(-clip, clip));
        let scaled = self.scaling.apply(scores, seen);
        let pairs = scaled.into_iter().zip(ends);
        pairs
            .map(|(score, &end)| self.missing_eos.apply(clip(score), end))
            .collect()
    }
}

/// Returns the rewards of a response's tokens.
///
/// ```text
/// r_t = −β (log π_t − log ρ_t),   plus the score at the last token
/// ```
///
/// # Panics
/// If the policy's and the reference's log-probabilities differ in number.
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
