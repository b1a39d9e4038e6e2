//! Implicit rewards and their margins, from log-probabilities.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::IrmError;
use crate::error::same_length;

/// Number of values per piece of parallel work; fewer are not worth a task.
pub(crate) const PIECE: usize = 1 << 16;

/// Log-probabilities of a list of completions. Each is summed over the tokens of the completion.
///
/// # Shapes
/// Every column has one value per completion. `T` is `f32` or `f64`.
#[derive(Debug, Clone, Copy)]
pub struct Logps<'a, T> {
    /// log π(y|x) in nats.
    pub policy: &'a [T],
    /// log ρ(y|x) in nats, for the kinds that need it.
    pub reference: Option<&'a [T]>,
    /// |y|: the number of tokens that the sums run over, for the kinds that need it.
    pub tokens: Option<&'a [usize]>,
}

/// Implicit reward: a completion's rating by a policy's own log-probabilities.
///
/// | kind | r(x, y) | needs |
/// |---|---|---|
/// | `log_ratio` (default) | log π(y\|x) − log ρ(y\|x) | reference |
/// | `length_normalized_log_ratio` | (log π(y\|x) − log ρ(y\|x)) / \|y\| | reference, tokens |
/// | `mean_logp` | log π(y\|x) / \|y\| | tokens |
///
/// Equation 5 (the first) and equation 17 (the last, SimPO's) of
/// <https://arxiv.org/abs/2410.09362>. A loss multiplies the reward by its β > 0. This does not
/// change the order, so β is left out here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ImplicitReward {
    /// The log-ratio of policy and reference.
    #[default]
    LogRatio,
    /// The log-ratio of policy and reference per token.
    LengthNormalizedLogRatio,
    /// The policy's mean log-probability per token.
    MeanLogp,
}

impl ImplicitReward {
    /// Returns true if the kind needs log ρ.
    pub fn needs_reference(self) -> bool {
        match self {
            Self::LogRatio | Self::LengthNormalizedLogRatio => true,
            Self::MeanLogp => false,
        }
    }

    /// Returns true if the kind needs the number of tokens.
    pub fn needs_tokens(self) -> bool {
        match self {
            Self::LogRatio => false,
            Self::LengthNormalizedLogRatio | Self::MeanLogp => true,
        }
    }

    /// Computes the reward of one completion; an argument that the kind does not need is not read.
    ///
    /// # Examples
    /// ```
    /// use collimate_irm::ImplicitReward;
    /// assert_eq!(ImplicitReward::LogRatio.value(-12.0, -12.5, 6), 0.5);
    /// assert_eq!(ImplicitReward::MeanLogp.value(-12.0, -12.5, 6), -2.0);
    /// ```
    pub fn value(self, policy_logp: f64, reference_logp: f64, tokens: usize) -> f64 {
        match self {
            Self::LogRatio => policy_logp - reference_logp,
            Self::LengthNormalizedLogRatio => (policy_logp - reference_logp) / tokens as f64,
            Self::MeanLogp => policy_logp / tokens as f64,
        }
    }

    /// Returns the implicit reward of each completion.
    ///
    /// # Errors
    /// Returns [`IrmError::Length`] for any column of another length. Returns
    /// [`IrmError::NoReference`], [`IrmError::NoTokens`], [`IrmError::ZeroTokens`] or
    /// [`IrmError::NotFinite`] for the columns that the kind needs, with the first index. Other
    /// columns may be given, but their values are not read.
    ///
    /// # Examples
    /// ```
    /// use collimate_irm::{ImplicitReward, Logps};
    /// let responses = Logps { policy: &[-4.0, -9.0_f32], reference: None, tokens: Some(&[4, 6]) };
    /// assert_eq!(ImplicitReward::MeanLogp.rewards(responses)?, [-1.0, -1.5]);
    /// # Ok::<(), collimate_irm::IrmError>(())
    /// ```
    pub fn rewards<T>(self, completions: Logps<'_, T>) -> Result<Vec<f64>, IrmError>
    where
        T: Copy + Into<f64> + Sync,
    {
        completions.check(self, "completions")?;
        Ok((0..completions.policy.len())
            .into_par_iter()
            .with_min_len(PIECE)
            .map(|index| completions.reward(self, index))
            .collect())
    }

    /// Returns the implicit reward margin of each pair (equation 5 of
    /// <https://arxiv.org/abs/2410.09362>).
    ///
    /// ```text
    /// m(x, y_w, y_l) = r(x, y_w) − r(x, y_l)
    /// ```
    ///
    /// # Numerics
    /// In f64; each reward is rounded once before the difference. Exchanging chosen and rejected
    /// negates the margin exactly. The margin is 0 if the rewards are equal.
    ///
    /// # Errors
    /// Returns the errors of [`ImplicitReward::rewards`], and [`IrmError::Length`] if the numbers
    /// of chosen and rejected completions differ.
    ///
    /// # Examples
    /// ```
    /// use collimate_irm::{ImplicitReward, Logps};
    /// let chosen = Logps { policy: &[-12.0, -8.0], reference: Some(&[-12.5, -7.0]), tokens: None };
    /// let rejected = Logps { policy: &[-14.0, -7.5], reference: Some(&[-13.0, -8.0]), tokens: None };
    /// assert_eq!(ImplicitReward::LogRatio.margins(chosen, rejected)?, [1.5, -1.5]);
    /// # Ok::<(), collimate_irm::IrmError>(())
    /// ```
    pub fn margins<T>(
        self,
        chosen: Logps<'_, T>,
        rejected: Logps<'_, T>,
    ) -> Result<Vec<f64>, IrmError>
    where
        T: Copy + Into<f64> + Sync,
    {
        chosen.check(self, "chosen")?;
        rejected.check(self, "rejected")?;
        let n = chosen.policy.len();
        same_length("rejected", "policy", rejected.policy.len(), n)?;
        Ok((0..n)
            .into_par_iter()
            .with_min_len(PIECE)
            .map(|index| chosen.reward(self, index) - rejected.reward(self, index))
            .collect())
    }

    /// Returns the name in configuration files.
    fn name(self) -> &'static str {
        match self {
            Self::LogRatio => "log_ratio",
            Self::LengthNormalizedLogRatio => "length_normalized_log_ratio",
            Self::MeanLogp => "mean_logp",
        }
    }
}

impl<T: Copy + Into<f64>> Logps<'_, T> {
    /// Returns the reward of one completion of a list that has passed [`Logps::check`].
    fn reward(&self, kind: ImplicitReward, index: usize) -> f64 {
        let reference_logp = self.reference.map_or(0.0, |logps| logps[index].into());
        let tokens = self.tokens.map_or(1, |tokens| tokens[index]);
        kind.value(self.policy[index].into(), reference_logp, tokens)
    }

    fn check(&self, kind: ImplicitReward, list: &'static str) -> Result<(), IrmError> {
        let n = self.policy.len();
        finite(list, "policy", self.policy)?;
        if let Some(reference) = self.reference {
            same_length(list, "reference", reference.len(), n)?;
        }
        if let Some(tokens) = self.tokens {
            same_length(list, "tokens", tokens.len(), n)?;
        }
        if kind.needs_reference() {
            let kind = kind.name();
            let reference = self.reference.ok_or(IrmError::NoReference { kind, list })?;
            finite(list, "reference", reference)?;
        }
        if kind.needs_tokens() {
            let kind = kind.name();
            let tokens = self.tokens.ok_or(IrmError::NoTokens { kind, list })?;
            if let Some(index) = tokens.iter().position(|&count| count == 0) {
                return Err(IrmError::ZeroTokens { list, index });
            }
        }
        Ok(())
    }
}

fn finite<T: Copy + Into<f64>>(
    list: &'static str,
    name: &'static str,
    logps: &[T],
) -> Result<(), IrmError> {
    let values = || logps.iter().map(|&logp| logp.into());
    match values().enumerate().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some((index, value)) => Err(IrmError::NotFinite {
            list,
            name,
            index,
            value,
        }),
    }
}
