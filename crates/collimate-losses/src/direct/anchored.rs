//! A likelihood term on the chosen answer, for any loss with a reference.

use burn::tensor::Tensor;

use super::{DirectLoss, ImplicitRewards, ReferenceNeed};
use crate::options::{Range, check};
use crate::{LossError, PairLogps};

/// A loss with a likelihood anchor: the chosen answers must stay likely, not only become more
/// likely than the rejected ones.
///
/// ```text
/// L(w, l) + α·(−log π_w/|w|)
/// ```
///
/// With DPO this is RPO (<https://arxiv.org/abs/2404.19733>, equation 1). A usual α is 0.1 to 1.
/// With α = 0 the loss stays as it is, bit by bit. The loss must have a reference and no likelihood
/// term of its own. SimPO, ORPO, SLiC-HF without a reference, and SLiC-HF with λ > 0 are refused.
///
/// # Gradient
/// The gradient of the loss, plus −α/|w| for log π_w.
///
/// # Differs from
/// TRL 1.16 (`loss_type` with `sft`, its weight in `loss_weights`; `rpo_alpha` before) averages the
/// likelihood over all tokens of a batch. Here every pair has the mean over its own tokens, so that
/// the cut into micro-batches changes nothing. With one pair in a batch both are equal.
///
/// # Examples
/// ```
/// use burn::tensor::{Device, Tensor};
/// use collimate_losses::{Anchored, DirectLoss, Dpo, PairLogps, SimPo};
/// let list = |value: f32| Tensor::<1>::from_data([value], &Device::flex());
/// let logps = PairLogps::new(list(-12.0), list(-14.0))
///     .with_reference(list(-12.5), list(-13.0))
///     .with_tokens(vec![6], vec![7]);
/// let loss = Anchored { loss: Dpo::default(), alpha: 1.0 };
/// let value = loss.forward(&logps)?.into_data().try_to_vec::<f32>().unwrap();
/// assert!((value[0] - 2.620_957).abs() < 1e-5); // 0.620957 + 12/6
/// assert!(Anchored { loss: SimPo::default(), alpha: 1.0 }.check().is_err());
/// # Ok::<(), collimate_losses::LossError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Anchored<L> {
    /// Loss that gets the anchor.
    pub loss: L,
    /// Weight α of the chosen answer's mean negative log-probability per token, at least 0.
    pub alpha: f64,
}

impl<L: DirectLoss> DirectLoss for Anchored<L> {
    fn name(&self) -> &'static str {
        self.loss.name()
    }

    fn check(&self) -> Result<(), LossError> {
        let loss = self.name();
        self.loss.check()?;
        check(loss, &[("nll_anchor", self.alpha, Range::NotNegative)])?;
        let message = if self.alpha == 0.0 {
            return Ok(());
        } else if self.loss.has_likelihood() {
            "nll_anchor needs a loss without a likelihood term, but this loss has one: give \
             nll_anchor = 0, or set the weight of the loss's term"
        } else if self.loss.reference_need() == ReferenceNeed::None {
            "nll_anchor needs a loss that compares with a reference: give nll_anchor = 0, or another \
             loss"
        } else {
            return Ok(());
        };
        Err(LossError::Conflict { loss, message })
    }

    fn reference_need(&self) -> ReferenceNeed {
        self.loss.reference_need()
    }

    fn across_pairs(&self) -> bool {
        self.loss.across_pairs()
    }

    fn takes_margins(&self) -> bool {
        self.loss.takes_margins()
    }

    fn takes_weights(&self) -> bool {
        self.loss.takes_weights()
    }

    fn has_likelihood(&self) -> bool {
        self.loss.has_likelihood() || self.alpha != 0.0
    }

    fn nll_anchor(&self) -> f64 {
        self.alpha
    }

    fn forward(&self, logps: &PairLogps) -> Result<Tensor<1>, LossError> {
        self.check()?;
        let loss = self.loss.forward(logps)?;
        if self.alpha == 0.0 {
            return Ok(loss);
        }
        Ok(loss - logps.mean_chosen(self.name())?.mul_scalar(self.alpha))
    }

    fn implicit_rewards(&self, logps: &PairLogps) -> Result<ImplicitRewards, LossError> {
        self.loss.implicit_rewards(logps)
    }
}
