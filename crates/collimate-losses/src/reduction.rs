//! Reductions of a loss per example to one number.

use burn::tensor::Tensor;

use crate::LossError;

/// Sums over the examples.
///
/// # Shapes
/// `loss` `[batch]`; returns `[1]`.
pub fn sum(loss: Tensor<1>) -> Tensor<1> {
    loss.sum()
}

/// Computes the contribution of one micro-batch to the mean over the global batch.
///
/// ```text
/// Σ loss / global_count
/// ```
///
/// The contributions of all micro-batches add up to the mean, however the batch was cut: one step
/// of eight examples equals eight accumulated ones.
///
/// # Shapes
/// `loss` `[batch]`; `global_count` is the number of examples (or tokens) of all micro-batches and
/// processes together; returns `[1]`.
///
/// # Errors
/// Returns [`LossError::EmptyCount`] for a count of 0.
///
/// # Examples
/// ```
/// use burn::tensor::{Device, Tensor};
/// use collimate_losses::mean_over;
/// let loss = |values: &[f32]| Tensor::<1>::from_data(values, &Device::flex());
/// let parts = mean_over(loss(&[1.0, 2.0]), 3)? + mean_over(loss(&[6.0]), 3)?;
/// assert_eq!(parts.into_scalar::<f32>(), 3.0);
/// # Ok::<(), collimate_losses::LossError>(())
/// ```
pub fn mean_over(loss: Tensor<1>, global_count: usize) -> Result<Tensor<1>, LossError> {
    if global_count == 0 {
        return Err(LossError::EmptyCount);
    }
    Ok(loss.sum().div_scalar(global_count as f64))
}
