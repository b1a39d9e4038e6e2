//! Divergence from the reference model: estimators, and the coefficient of the divergence.

use collimate_core::{OptionError, Range};
use serde::{Deserialize, Serialize};

/// Estimator of KL(π ‖ ρ) from tokens sampled from π, as a function of d = log π − log ρ.
///
/// ```text
/// k1 = d,   k2 = d²/2,   k3 = e^{−d} − 1 + d
/// ```
///
/// k1 is unbiased and can be negative. k2 is biased, with little variance. k3 is unbiased and never
/// negative (<http://joschu.net/blog/kl-approx.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KlEstimator {
    /// The log-ratio d.
    K1,
    /// Half of the squared log-ratio, d²/2.
    K2,
    /// The estimate e^{−d} − 1 + d.
    K3,
}

impl KlEstimator {
    /// Returns the estimate for one token.
    ///
    /// # Examples
    /// ```
    /// use collimate_ppo::KlEstimator::{K1, K2, K3};
    /// assert_eq!((K1.value(2.0), K2.value(2.0)), (2.0, 2.0));
    /// assert!((K3.value(2.0) - ((-2.0f64).exp() + 1.0)).abs() < 1e-15);
    /// ```
    pub fn value(self, log_ratio: f64) -> f64 {
        match self {
            Self::K1 => log_ratio,
            Self::K2 => 0.5 * log_ratio * log_ratio,
            // exp_m1 keeps the digits near 0, where the two parts cancel.
            Self::K3 => (-log_ratio).exp_m1() + log_ratio,
        }
    }
}

/// Unit of the divergence target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum KlUnit {
    /// Nats per response.
    #[default]
    PerSequence,
    /// Nats per token.
    PerToken,
}

/// Coefficient β of the divergence from the reference model. A larger β keeps the policy nearer to
/// the reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum KlControl {
    /// The coefficient is constant.
    Fixed {
        /// Coefficient β, at least 0. With 0, the reference does not limit the policy.
        coefficient: f64,
    },
    /// The coefficient rises while the divergence is above the target, and falls while it is below.
    ///
    /// ```text
    /// e = clip(KL / target − 1, −0.2, 0.2),   β ← β (1 + e · n / horizon),   n responses
    /// ```
    ///
    /// [arXiv:1909.08593](https://arxiv.org/abs/1909.08593), section 2.2.
    Adaptive {
        /// Coefficient of the first rollout, above 0.
        initial: f64,
        /// Target of the divergence in nats, above 0.
        target: f64,
        /// Number of responses over which the coefficient changes by at most a fifth. It must be
        /// above a fifth of `rollout_size`.
        horizon: f64,
        /// Unit of the target.
        unit: KlUnit,
    },
}

impl Default for KlControl {
    fn default() -> Self {
        Self::Adaptive {
            initial: 0.2,
            target: 6.0,
            horizon: 1e4,
            unit: KlUnit::PerSequence,
        }
    }
}

impl KlControl {
    pub(crate) fn check(&self, rollout_size: usize) -> Result<(), OptionError> {
        match *self {
            Self::Fixed { coefficient } => {
                Range::NotNegative.check("kl.fixed.coefficient", coefficient)
            }
            Self::Adaptive {
                initial,
                target,
                horizon,
                ..
            } => {
                Range::Positive.check("kl.adaptive.initial", initial)?;
                Range::Positive.check("kl.adaptive.target", target)?;
                Range::Positive.check("kl.adaptive.horizon", horizon)?;
                // One rollout may lower the coefficient by the share 0.2 · rollout_size / horizon.
                let holds = horizon > 0.2 * rollout_size as f64;
                let allowed = "above a fifth of rollout_size, or the coefficient falls to 0";
                OptionError::check("kl.adaptive.horizon", horizon, allowed, holds)
            }
        }
    }

    /// Returns the coefficient of the first rollout.
    pub fn initial(&self) -> f64 {
        match *self {
            Self::Fixed { coefficient } => coefficient,
            Self::Adaptive { initial, .. } => initial,
        }
    }

    /// Returns the next coefficient, after a rollout of `responses` responses with this divergence
    /// in nats per response and per token.
    ///
    /// # Examples
    /// ```
    /// use collimate_ppo::KlControl;
    /// let next = KlControl::default().next(0.2, 12.0, 1.0, 128);
    /// assert!((next - 0.200512).abs() < 1e-12);
    /// ```
    pub fn next(&self, kl_coef: f64, per_sequence: f64, per_token: f64, responses: usize) -> f64 {
        let Self::Adaptive {
            target,
            horizon,
            unit,
            ..
        } = *self
        else {
            return kl_coef;
        };
        let kl = match unit {
            KlUnit::PerSequence => per_sequence,
            KlUnit::PerToken => per_token,
        };
        let error = (kl / target - 1.0).clamp(-0.2, 0.2);
        kl_coef * (1.0 + error * responses as f64 / horizon)
    }
}

/// Place where the divergence from the reference model enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum KlPlacement {
    /// The reward of every token contains the term −β·k1.
    Reward,
    /// The loss of every token contains the term β·k3, as in GRPO. The reward is the score alone.
    Loss,
}
