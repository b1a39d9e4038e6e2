//! The rule for values that the backward pass needs.

/// Number type of the activations that operations save for the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SavedType {
    /// 32-bit floats: gradients are exact.
    #[default]
    F32,
    /// bf16: half of the memory. The forward pass is that of [`F32`](Self::F32); gradients are those
    /// of activations with about three digits.
    Bf16,
}

/// Runs `forward`, whose operations save their activations in the type `saved`. An activation that
/// several operations read is saved once, and the results of norms, activation functions and gates
/// are not saved at all: the backward pass computes them again from the inputs of these operations,
/// which are saved anyway.
///
/// The rule holds for the fused operations of flex on the calling thread. Weights of linear layers, of
/// norms and of tables, inputs of [`layer_norm`](crate::layer_norm), and queries and keys of an
/// attention are never rounded: in rows with a large mean the rounding would be larger than the
/// deviations, and scores of some models are so large that the rounded keys would give other weights.
/// Other devices save what their own operations need.
///
/// PyTorch has the same concept as `torch.autograd.graph.saved_tensors_hooks`.
///
/// # Examples
/// ```
/// use burn::tensor::{Device, Tensor};
/// use collimate_ops::{SavedType, saving, swiglu};
///
/// let device = Device::flex().autodiff();
/// let gate = Tensor::<2>::from_floats([[0.123_456_7]], &device).require_grad();
/// let gradient = |saved| {
///     let y = saving(saved, || swiglu(gate.clone(), gate.clone()));
///     let found = gate.grad(&y.sum().backward()).unwrap();
///     found.into_data().to_vec::<f32>().unwrap()[0]
/// };
/// let (exact, rounded) = (gradient(SavedType::F32), gradient(SavedType::Bf16));
/// assert!(exact != rounded && (exact - rounded).abs() < 1e-2 * exact);
/// ```
pub fn saving<R>(saved: SavedType, forward: impl FnOnce() -> R) -> R {
    scoped(Some(saved), forward)
}

#[cfg(feature = "flex")]
pub(crate) use crate::fused::saved::{current, scoped};

/// Returns no rule: only flex has one.
#[cfg(not(feature = "flex"))]
pub(crate) fn current() -> Option<SavedType> {
    None
}

/// Runs `work`.
#[cfg(not(feature = "flex"))]
pub(crate) fn scoped<R>(_: Option<SavedType>, work: impl FnOnce() -> R) -> R {
    work()
}
