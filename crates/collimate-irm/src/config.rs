//! Options of SeRA's self-review and their checks.

use collimate_core::{OptionError, Range};
use serde::{Deserialize, Serialize};

use crate::error::IrmError;
use crate::{CutPolicy, ImplicitReward};

/// Reference model ρ in the margins of π_s, the model of iteration s ≥ 1.
///
/// Under either choice the margins are not all 0. The caller passes the log-probabilities of the
/// model that this option names. π_s is never measured against itself, not even if it is the
/// reference model of the next training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MarginReference {
    /// The start model π_0, in every iteration.
    #[default]
    Initial,
    /// The model of the previous iteration, π_{s−1}, which was the reference model when π_s was
    /// trained.
    Previous,
}

/// Options that decide which pairs the next iteration trains on.
///
/// | field | default | range |
/// |---|---|---|
/// | `implicit_reward` | `log_ratio` | see [`ImplicitReward`] |
/// | `reference` | `initial` | see [`MarginReference`] |
/// | `gamma` | 0.3 | [0, 1] |
/// | `offline_share` | 0.7 | [0, 1]; 0: bootstrapped pairs only |
/// | `bootstrap_share` | 0.3 | 0 to half of `responses`, rounded down; 0: offline pairs only |
/// | `responses` | 4 | 2 to 1000 |
/// | `cut` | `drop` | see [`CutPolicy`] |
///
/// The two shares must not both be 0.
///
/// # Examples
/// ```
/// use collimate_irm::{IrmConfig, share_count};
/// let config = IrmConfig { bootstrap_share: 1.0, ..IrmConfig::default() };
/// config.check()?;
/// assert_eq!(share_count(config.offline_share, 1_000)?, 700);
/// # Ok::<(), collimate_irm::IrmError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct IrmConfig {
    /// Implicit reward of a completion.
    pub implicit_reward: ImplicitReward,
    /// Reference model in the margins.
    pub reference: MarginReference,
    /// Weight γ of the previous model in the mean of two models' rewards, 0 to 1; 0 ignores the
    /// previous model.
    pub gamma: f64,
    /// Share K of the offline pairs that are kept, 0 to 1; 0 trains on bootstrapped pairs only.
    pub offline_share: f64,
    /// Largest number of bootstrapped pairs, as a share K̃ of the number of offline pairs. From 0
    /// to half of `responses` (rounded down); 0 trains on offline pairs only. Above 1, the
    /// responses to a prompt make more than one pair.
    pub bootstrap_share: f64,
    /// Number of responses sampled for each prompt, 2 to 1000.
    pub responses: usize,
    /// Treatment of responses that reached the length limit.
    pub cut: CutPolicy,
}

impl Default for IrmConfig {
    fn default() -> Self {
        Self {
            implicit_reward: ImplicitReward::default(),
            reference: MarginReference::default(),
            gamma: 0.3,
            offline_share: 0.7,
            bootstrap_share: 0.3,
            responses: 4,
            cut: CutPolicy::default(),
        }
    }
}

impl IrmConfig {
    /// Checks every field against its range.
    ///
    /// # Errors
    /// Returns [`IrmError::OutOfRange`] for the first violation, with name, value and range.
    pub fn check(&self) -> Result<(), IrmError> {
        for (name, value) in [("gamma", self.gamma), ("offline_share", self.offline_share)] {
            Range::Share.check(name, value)?;
        }
        let share = self.bootstrap_share;
        let allowed = "at least 0, and at most half of the responses to a prompt (rounded down), \
                       because the responses make no more pairs";
        let most = self.max_bootstrap_share();
        let holds = (0.0..=most).contains(&share);
        OptionError::check("bootstrap_share", share, allowed, holds)?;
        let sum = self.offline_share + self.bootstrap_share;
        let allowed = "above 0, otherwise no pair is left to train on";
        OptionError::check("offline_share + bootstrap_share", sum, allowed, sum > 0.0)?;
        let allowed = "at least 2, because a pair needs two answers, and at most 1000";
        let holds = (2..=1000).contains(&self.responses);
        OptionError::check("responses", self.responses, allowed, holds)?;
        Ok(())
    }

    /// Returns the largest share of bootstrapped pairs: the number of pairs made from the responses
    /// to one prompt (best against worst, second best against second worst, and so on). At least 1.
    pub fn max_bootstrap_share(&self) -> f64 {
        (self.responses / 2).max(1) as f64
    }
}

/// Returns `share` of `n`, rounded to the nearest whole number, a half up.
///
/// The product is first rounded in f64. A share that is not a binary fraction may therefore reach a
/// half from either side: 0.145 of 100 is 14.
///
/// # Errors
/// Returns [`IrmError::OutOfRange`] for a share outside [0, 1].
///
/// # Examples
/// ```
/// use collimate_irm::share_count;
/// assert_eq!(share_count(0.7, 61_135)?, 42_795); // 42,794.5
/// assert_eq!(share_count(0.25, 10)?, 3); // 2.5
/// assert_eq!(share_count(0.3, 4)?, 1); // 1.2
/// # Ok::<(), collimate_irm::IrmError>(())
/// ```
pub fn share_count(share: f64, n: usize) -> Result<usize, IrmError> {
    Range::Share.check("share", share)?;
    Ok((share * n as f64).round() as usize)
}

/// Like [`share_count`], but for a share of at most `most`.
///
/// # Errors
/// Returns [`IrmError::OutOfRange`] for a share below 0, above `most`, or not finite.
///
/// # Examples
/// ```
/// use collimate_irm::share_count_up_to;
/// assert_eq!(share_count_up_to(1.5, 2.0, 10)?, 15);
/// assert!(share_count_up_to(2.5, 2.0, 10).is_err());
/// # Ok::<(), collimate_irm::IrmError>(())
/// ```
pub fn share_count_up_to(share: f64, most: f64, n: usize) -> Result<usize, IrmError> {
    let allowed = "at least 0, and at most the number of pairs that the responses to a prompt make";
    let holds = share.is_finite() && (0.0..=most).contains(&share);
    OptionError::check("share", share, allowed, holds)?;
    Ok((share * n as f64).round() as usize)
}
