//! Inputs of the direct alignment losses on pairs.

use burn::tensor::{Tensor, TensorData};

use crate::LossError;
use crate::options::same_length;

/// Log-probabilities of both completions of each pair, under the policy and the reference model.
///
/// # Shapes
/// Every tensor `[batch]`: log π(y|x) **summed** over the completion's tokens, in nats. Token
/// counts are those of the completions, including EOS.
///
/// # Examples
/// ```
/// use burn::tensor::{Device, Tensor};
/// use collimate_losses::{DirectLoss, Dpo, PairLogps};
/// let list = |values: [f32; 2]| Tensor::<1>::from_data(values, &Device::flex());
/// let logps = PairLogps::new(list([-12.0, -8.0]), list([-14.0, -7.5]))
///     .with_reference(list([-12.5, -7.0]), list([-13.0, -8.0]));
/// let loss = Dpo::default().forward(&logps)?.into_data().try_to_vec::<f32>().unwrap();
/// assert!((loss[0] - 0.620_957_05).abs() < 1e-6);
/// # Ok::<(), collimate_losses::LossError>(())
/// ```
#[derive(Debug, Clone)]
pub struct PairLogps {
    pub(crate) policy_chosen: Tensor<1>,
    pub(crate) policy_rejected: Tensor<1>,
    reference: Option<(Tensor<1>, Tensor<1>)>,
    tokens: Option<(Vec<usize>, Vec<usize>)>,
    margins: Option<Tensor<1>>,
}

impl PairLogps {
    /// Takes the policy's log-probabilities.
    pub fn new(policy_chosen_logps: Tensor<1>, policy_rejected_logps: Tensor<1>) -> Self {
        Self {
            policy_chosen: policy_chosen_logps,
            policy_rejected: policy_rejected_logps,
            reference: None,
            tokens: None,
            margins: None,
        }
    }

    /// Adds the reference model's log-probabilities. No gradient flows into them.
    #[must_use]
    pub fn with_reference(
        self,
        reference_chosen_logps: Tensor<1>,
        reference_rejected_logps: Tensor<1>,
    ) -> Self {
        Self {
            reference: Some((
                reference_chosen_logps.detach(),
                reference_rejected_logps.detach(),
            )),
            ..self
        }
    }

    /// Adds the completions' lengths in tokens, for the losses that average over tokens.
    #[must_use]
    pub fn with_tokens(self, chosen: Vec<usize>, rejected: Vec<usize>) -> Self {
        Self {
            tokens: Some((chosen, rejected)),
            ..self
        }
    }

    /// Adds a margin for each pair, `[batch]`: the amount by which the reward of the chosen answer
    /// should exceed the reward of the rejected answer. Only losses that [take
    /// margins](crate::DirectLoss::takes_margins) use the margins. No gradient flows into them.
    #[must_use]
    pub fn with_margins(self, margins: Tensor<1>) -> Self {
        Self {
            margins: Some(margins.detach()),
            ..self
        }
    }

    /// Subtracts the margin of each pair, if there are margins.
    pub(crate) fn less_margins(
        &self,
        loss: &'static str,
        rewards: Tensor<1>,
    ) -> Result<Tensor<1>, LossError> {
        let Some(margins) = &self.margins else {
            return Ok(rewards);
        };
        same_length(loss, "margins", margins.dims()[0], self.len())?;
        Ok(rewards - margins.clone())
    }

    /// Returns the policy's log-probabilities: (chosen, rejected).
    pub fn policy(&self) -> (Tensor<1>, Tensor<1>) {
        (self.policy_chosen.clone(), self.policy_rejected.clone())
    }

    /// Returns the number of pairs.
    pub fn len(&self) -> usize {
        self.policy_chosen.dims()[0]
    }

    /// Returns true if there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn check(&self, loss: &'static str) -> Result<(), LossError> {
        let batch = self.len();
        let rejected = self.policy_rejected.dims()[0];
        same_length(loss, "policy_rejected_logps", rejected, batch)
    }

    /// Returns the reference's log-probabilities: (chosen, rejected).
    pub(crate) fn reference(
        &self,
        loss: &'static str,
    ) -> Result<(Tensor<1>, Tensor<1>), LossError> {
        let (chosen, rejected) = self
            .reference
            .clone()
            .ok_or(LossError::NoReference { loss })?;
        let batch = self.len();
        same_length(loss, "reference_chosen_logps", chosen.dims()[0], batch)?;
        same_length(loss, "reference_rejected_logps", rejected.dims()[0], batch)?;
        Ok((chosen, rejected))
    }

    /// Computes policy minus reference: (chosen, rejected). `loss` is the name in messages.
    ///
    /// # Shapes
    /// `[batch]` each, in nats, summed over the completion's tokens.
    ///
    /// # Errors
    /// No reference, or tensors that differ in length.
    pub fn log_ratios(&self, loss: &'static str) -> Result<(Tensor<1>, Tensor<1>), LossError> {
        self.check(loss)?;
        let (chosen, rejected) = self.reference(loss)?;
        Ok((
            self.policy_chosen.clone() - chosen,
            self.policy_rejected.clone() - rejected,
        ))
    }

    /// Computes the policy's mean log-probability per token: (chosen, rejected).
    pub(crate) fn mean_logps(
        &self,
        loss: &'static str,
    ) -> Result<(Tensor<1>, Tensor<1>), LossError> {
        self.check(loss)?;
        self.per_token(
            loss,
            self.policy_chosen.clone(),
            self.policy_rejected.clone(),
        )
    }

    /// Computes the policy's mean log-probability per token of the chosen completions, `[batch]`.
    pub(crate) fn mean_chosen(&self, loss: &'static str) -> Result<Tensor<1>, LossError> {
        self.check(loss)?;
        let (tokens, _) = self
            .tokens
            .as_ref()
            .ok_or(LossError::NoTokenCounts { loss })?;
        divide(loss, "chosen_tokens", self.policy_chosen.clone(), tokens)
    }

    /// Divides both tensors by the lengths of the completions.
    pub(crate) fn per_token(
        &self,
        loss: &'static str,
        chosen: Tensor<1>,
        rejected: Tensor<1>,
    ) -> Result<(Tensor<1>, Tensor<1>), LossError> {
        let (chosen_tokens, rejected_tokens) = self
            .tokens
            .as_ref()
            .ok_or(LossError::NoTokenCounts { loss })?;
        Ok((
            divide(loss, "chosen_tokens", chosen, chosen_tokens)?,
            divide(loss, "rejected_tokens", rejected, rejected_tokens)?,
        ))
    }
}

fn divide(
    loss: &'static str,
    name: &'static str,
    sums: Tensor<1>,
    tokens: &[usize],
) -> Result<Tensor<1>, LossError> {
    same_length(loss, name, tokens.len(), sums.dims()[0])?;
    if let Some(index) = tokens.iter().position(|&count| count == 0) {
        return Err(LossError::NoTokens { loss, name, index });
    }
    let counts: Vec<f64> = tokens.iter().map(|&count| count as f64).collect();
    let data = TensorData::new(counts, [tokens.len()]).convert_dtype(sums.dtype());
    let counts = Tensor::from_data(data, (&sums.device(), sums.dtype()));
    Ok(sums / counts)
}
