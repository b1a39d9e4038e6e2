//! Binary classifier optimisation.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{DirectLoss, ImplicitRewards, logistic, scaled_log_ratios};
use crate::options::{Range, check};
use crate::unpaired::{ShiftNeed, UnpairedLogps, UnpairedLoss, sides};
use crate::{LossError, PairLogps};

/// Shift that is subtracted from the rewards of [`Bco`] before they are classified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BcoShift {
    /// No shift is subtracted (TRL's `bco_pair`).
    #[default]
    None,
    /// The mean reward of the batch is subtracted, detached.
    BatchMean,
}

/// BCO: a classifier that tells desirable completions from undesirable ones. Its logit is the
/// implicit reward.
///
/// ```text
/// r = β(log π − log ρ)
/// pairs      −log σ(r_w − δ) − log σ(−(r_l − δ))
/// unpaired   −log σ(r − δ) desirable, −log σ(−(r − δ)) undesirable
/// ```
///
/// <https://arxiv.org/abs/2404.04656>, equation 8.
///
/// | field | default | range |
/// |---|---|---|
/// | `beta` | 0.1 | above 0 |
/// | `shift` (δ of pairs) | `none` | `none`, `batch_mean` |
///
/// # Gradient
/// −β·σ(δ − r_w) for log π_w, β·σ(r_l − δ) for log π_l; none through δ.
///
/// # Numerics
/// Finite for log-ratios of ±1e4; 2 ln 2 for a pair with both rewards at δ.
///
/// # Differs from
/// TRL's unpaired BCO trainer takes as δ a running mean over all batches so far. Here δ is the
/// argument of [`UnpairedLogps::with_shift`]; [`bco_shift`] computes it for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Bco {
    /// Scale β of the rewards, above 0.
    pub beta: f64,
    /// Shift δ that is subtracted from the rewards of pairs.
    pub shift: BcoShift,
}

impl Default for Bco {
    fn default() -> Self {
        Self {
            beta: 0.1,
            shift: BcoShift::None,
        }
    }
}

/// Returns the boundary δ of [`Bco`]: the mean of both classes' mean rewards β·lr.
///
/// ```text
/// δ = (mean r desirable + mean r undesirable) / 2
/// ```
///
/// A class without examples is left out; without any example δ is 0.
pub fn bco_shift(beta: f64, log_ratios: &[f64], desirable: &[bool]) -> f64 {
    let mean = |class: bool| {
        let members: Vec<f64> = log_ratios
            .iter()
            .zip(desirable)
            .filter(|(_, side)| **side == class)
            .map(|(lr, _)| beta * lr)
            .collect();
        (!members.is_empty()).then(|| members.iter().sum::<f64>() / members.len() as f64)
    };
    match (mean(true), mean(false)) {
        (Some(a), Some(b)) => (a + b) / 2.0,
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => 0.0,
    }
}

impl Bco {
    fn check_options(&self) -> Result<(), LossError> {
        check("bco", &[("beta", self.beta, Range::Positive)])
    }
}

impl DirectLoss for Bco {
    fn name(&self) -> &'static str {
        "bco"
    }

    fn check(&self) -> Result<(), LossError> {
        self.check_options()
    }

    fn across_pairs(&self) -> bool {
        self.shift == BcoShift::BatchMean
    }

    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        self.check_options()?;
        let (chosen, rejected) = logps.log_ratios("bco")?;
        let (chosen, rejected) = (chosen.mul_scalar(self.beta), rejected.mul_scalar(self.beta));
        let (chosen, rejected) = match self.shift {
            BcoShift::None => (chosen, rejected),
            BcoShift::BatchMean => {
                let shift = (chosen.clone().mean() + rejected.clone().mean())
                    .div_scalar(2.0)
                    .detach();
                (chosen - shift.clone(), rejected - shift)
            }
        };
        Ok(logistic(chosen) + logistic(rejected.neg()))
    }

    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        scaled_log_ratios("bco", self.beta, logps)
    }
}

impl UnpairedLoss for Bco {
    fn name(&self) -> &'static str {
        "bco"
    }

    fn check(&self) -> Result<(), LossError> {
        self.check_options()
    }

    fn shift_need(&self) -> ShiftNeed {
        ShiftNeed::RewardMean
    }

    fn beta(&self) -> f64 {
        self.beta
    }

    fn forward(&self, logps: &UnpairedLogps) -> Result<Tensor<1>, LossError> {
        self.check_options()?;
        let log_ratios = logps.log_ratios("bco")?;
        let signs = sides(logps.desirable(), 1.0, -1.0, &log_ratios);
        let rewards = log_ratios.mul_scalar(self.beta).sub_scalar(logps.shift());
        Ok(logistic(rewards * signs))
    }

    fn implicit_rewards(&self, logps: &UnpairedLogps) -> Result<Tensor<1>, LossError> {
        Ok(logps.log_ratios("bco")?.detach().mul_scalar(self.beta))
    }
}
