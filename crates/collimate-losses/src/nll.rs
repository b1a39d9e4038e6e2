//! Negative log-likelihood, the loss of supervised fine-tuning.

use burn::tensor::Tensor;

/// Computes the negative log-likelihood of each token.
///
/// ```text
/// −log π(y_t | x, y_<t)
/// ```
///
/// # Shapes
/// `completion_logps` `[tokens]`, in nats, of the completion's tokens only, without those of the
/// prompt. Returns `[tokens]`, unreduced. The usual loss is [`mean_over`](crate::mean_over) the
/// completion tokens of the whole global batch.
///
/// # Gradient
/// −1 for each token.
pub fn token_nll(completion_logps: Tensor<1>) -> Tensor<1> {
    completion_logps.neg()
}
