//! Kahneman–Tversky optimisation.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::LossError;
use crate::numeric::sigmoid;
use crate::options::{Range, check};
use crate::unpaired::{ShiftNeed, UnpairedLogps, UnpairedLoss, sides};

/// KTO: compares single completions, judged desirable or not, with a reference point.
///
/// ```text
/// lr = log π − log ρ
/// λ_D·(1 − σ(β(lr − z)))   desirable
/// λ_U·(1 − σ(β(z − lr)))   undesirable
/// ```
///
/// <https://arxiv.org/abs/2402.01306>, equation 8; z is [`kto_reference_point`].
///
/// | field | default | range |
/// |---|---|---|
/// | `beta` | 0.1 | above 0 |
/// | `desirable_weight` (λ_D) | 1 | at least 0 |
/// | `undesirable_weight` (λ_U) | 1 | at least 0 |
///
/// # Gradient
/// ∓λβ·σ(1 − σ); none through z.
///
/// # Numerics
/// Between 0 and λ for any log-ratio; λ/2 at lr = z.
///
/// # Differs from
/// z is an argument, so that the trainer can take the mean over the whole global batch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Kto {
    /// Speed β with which the value of a completion saturates, above 0.
    pub beta: f64,
    /// Weight of desirable completions, at least 0.
    pub desirable_weight: f64,
    /// Weight of undesirable completions, at least 0.
    pub undesirable_weight: f64,
}

impl Default for Kto {
    fn default() -> Self {
        Self {
            beta: 0.1,
            desirable_weight: 1.0,
            undesirable_weight: 1.0,
        }
    }
}

/// Returns the reference point of [`Kto`]: the mean log-ratio of completions under prompts of other
/// completions, at least 0. It estimates KL(policy ‖ reference) in nats.
///
/// Without a mismatched completion the reference point is 0.
pub fn kto_reference_point(mismatched_log_ratios: &[f64]) -> f64 {
    if mismatched_log_ratios.is_empty() {
        return 0.0;
    }
    let mean = mismatched_log_ratios.iter().sum::<f64>() / mismatched_log_ratios.len() as f64;
    mean.max(0.0)
}

impl UnpairedLoss for Kto {
    fn name(&self) -> &'static str {
        "kto"
    }

    fn check(&self) -> Result<(), LossError> {
        check(
            "kto",
            &[
                ("beta", self.beta, Range::Positive),
                (
                    "desirable_weight",
                    self.desirable_weight,
                    Range::NotNegative,
                ),
                (
                    "undesirable_weight",
                    self.undesirable_weight,
                    Range::NotNegative,
                ),
            ],
        )
    }

    fn shift_need(&self) -> ShiftNeed {
        ShiftNeed::MismatchedLogRatio
    }

    fn beta(&self) -> f64 {
        self.beta
    }

    fn forward(&self, logps: &UnpairedLogps) -> Result<Tensor<1>, LossError> {
        self.check()?;
        let log_ratios = logps.log_ratios("kto")?;
        // 1 − σ(x) = σ(−x)
        let signs = sides(logps.desirable(), -self.beta, self.beta, &log_ratios);
        let weights = sides(
            logps.desirable(),
            self.desirable_weight,
            self.undesirable_weight,
            &log_ratios,
        );
        let value = sigmoid(log_ratios.sub_scalar(logps.shift()) * signs);
        Ok(value * weights)
    }

    fn implicit_rewards(&self, logps: &UnpairedLogps) -> Result<Tensor<1>, LossError> {
        Ok(logps.log_ratios("kto")?.detach().mul_scalar(self.beta))
    }
}
