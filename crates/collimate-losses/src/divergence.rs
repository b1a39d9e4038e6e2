//! Divergences other than the reverse KL.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::LossError;
use crate::numeric::{expm1, log_sigmoid};
use crate::options::{Range, check};

/// Divergence between policy and reference that an alignment loss assumes.
///
/// DPO uses the log-ratio lr = log π − log ρ of a completion; f-DPO replaces it by f′(π/ρ):
///
/// ```text
/// reverse_kl       lr
/// forward_kl       1 − exp(−lr)
/// jensen_shannon   ln 2 + log σ(lr)
/// alpha            (exp((α − 1)·lr) − 1) / (α − 1);  lr at α = 1
/// ```
///
/// <https://arxiv.org/abs/2309.16240>, table 1.
///
/// # Numerics
/// Exponents are cut at 80, so that every score is finite in f32; beyond 80 the gradient is 0.
///
/// # Differs from
/// TRL's DPO trainer also cuts the exponent of `alpha_divergence` at 80, but not that of
/// `forward_kl`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Divergence {
    /// Reverse KL divergence, KL(policy ‖ reference): plain DPO.
    #[default]
    ReverseKl,
    /// Forward KL divergence, KL(reference ‖ policy).
    ForwardKl,
    /// Jensen–Shannon divergence.
    JensenShannon,
    /// α-divergence.
    Alpha {
        /// Coefficient α, any finite number; 1 is the reverse KL divergence.
        coefficient: f64,
    },
}

/// Largest exponent; e to a larger number comes close to infinity in f32.
const LARGEST_EXPONENT: f64 = 80.0;

impl Divergence {
    pub(crate) fn check(self, loss: &'static str) -> Result<(), LossError> {
        match self {
            Self::Alpha { coefficient } => check(
                loss,
                &[("divergence.alpha.coefficient", coefficient, Range::Finite)],
            ),
            _ => Ok(()),
        }
    }

    /// Computes f′(π/ρ) from the log-ratio, `[batch]`.
    pub(crate) fn score(self, log_ratio: Tensor<1>) -> Tensor<1> {
        match self {
            Self::ReverseKl => log_ratio,
            Self::ForwardKl => expm1(log_ratio.neg().clamp_max(LARGEST_EXPONENT)).neg(),
            Self::JensenShannon => log_sigmoid(log_ratio).add_scalar(std::f64::consts::LN_2),
            Self::Alpha { coefficient } => {
                let a = coefficient - 1.0;
                // The limit is the logarithm; near the limit the difference would cancel.
                if a.abs() < 1e-6 {
                    log_ratio
                } else {
                    expm1(log_ratio.mul_scalar(a).clamp_max(LARGEST_EXPONENT)).div_scalar(a)
                }
            }
        }
    }
}
