//! The AdamW update.

use burn::tensor::{Device, Tensor, Transaction};

use crate::naive;

/// Hyperparameters of AdamW, with PyTorch's meaning and defaults.
///
/// | field | default |
/// |---|---|
/// | `beta1` | 0.9 |
/// | `beta2` | 0.999 |
/// | `eps` | 1e-8 |
/// | `weight_decay` | 0.01 |
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Decay of the first moment, in `[0, 1)`.
    pub beta1: f64,
    /// Decay of the second moment, in `[0, 1)`.
    pub beta2: f64,
    /// Value added to the root of the second moment, above 0.
    pub eps: f64,
    /// Decoupled weight decay. The parameter shrinks by the factor `1 − lr · weight_decay` before
    /// the step.
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.01,
        }
    }
}

/// Computes the norm of a whole gradient given in parts: the root of the sum of their
/// [`sum_of_squares`], added in order. Sums that are computed on a device are read together.
pub fn gradient_norm<const D: usize>(grads: impl IntoIterator<Item = Tensor<D>>) -> f64 {
    let mut parts = Vec::new();
    let mut reads = Transaction::default();
    let mut device = None;
    for grad in grads {
        #[cfg(feature = "flex")]
        if crate::fused::fits(&grad) {
            parts.push(sum_of_squares(grad));
            continue;
        }
        let sum = grad.without_autodiff().square().sum();
        // One transaction can read from one device only.
        let device = device.get_or_insert_with(|| sum.device());
        reads = reads.register(sum.to_device(device));
    }
    let read = reads.execute();
    parts.extend(read.iter().flat_map(|data| data.iter::<f64>()));
    parts.into_iter().sum::<f64>().sqrt()
}

/// Moments of one parameter.
#[derive(Debug, Clone)]
pub struct AdamWState<const D: usize> {
    /// Running mean of the gradient.
    pub first: Tensor<D>,
    /// Running mean of the squared gradient.
    pub second: Tensor<D>,
}

impl<const D: usize> AdamWState<D> {
    /// Creates zero moments for a parameter of `shape`, on the untracked side of `device`.
    pub fn zeros(shape: [usize; D], device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        Self {
            first: Tensor::zeros(shape, &device),
            second: Tensor::zeros(shape, &device),
        }
    }
}

/// Makes one AdamW step: returns the updated parameter and updates the moments in `state`.
///
/// ```text
/// m ← β₁·m + (1 − β₁)·g          v ← β₂·v + (1 − β₂)·g²
/// θ ← θ·(1 − lr·λ) − lr · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)
/// ```
///
/// This is algorithm 2 of <https://arxiv.org/abs/1711.05101>.
///
/// `step` counts from 1. All tensors are untracked; a tracked tensor is detached. A parameter whose
/// buffer has no other owner is updated in place.
///
/// # Panics
/// Panics if shapes differ.
pub fn adamw_step<const D: usize>(
    param: Tensor<D>,
    grad: Tensor<D>,
    state: &mut AdamWState<D>,
    step: u64,
    lr: f64,
    cfg: &AdamW,
) -> Tensor<D> {
    adamw_step_scaled(param, grad, 1.0, state, step, lr, cfg)
}

/// Makes an [`adamw_step`] with the gradient multiplied by `grad_scale`. This clips by the global
/// norm without a separate pass over every gradient.
///
/// # Panics
/// Panics if shapes differ.
pub fn adamw_step_scaled<const D: usize>(
    param: Tensor<D>,
    grad: Tensor<D>,
    grad_scale: f64,
    state: &mut AdamWState<D>,
    step: u64,
    lr: f64,
    cfg: &AdamW,
) -> Tensor<D> {
    #[cfg(feature = "flex")]
    {
        use crate::fused::fits;
        if [&param, &grad, &state.first, &state.second]
            .into_iter()
            .all(fits)
        {
            return fused_step(param, grad, grad_scale, state, step, lr, cfg);
        }
    }
    let grad = if grad_scale == 1.0 {
        grad
    } else {
        grad * grad_scale
    };
    naive::adamw_step(param, grad, state, step, lr, cfg)
}

/// Computes `Σ t²`, for the global gradient norm.
///
/// On flex, fixed chunks give partial sums in f64, so the result does not depend on the number of
/// threads.
pub fn sum_of_squares<const D: usize>(t: Tensor<D>) -> f64 {
    #[cfg(feature = "flex")]
    if crate::fused::fits(&t) {
        let t = crate::fused::plain(t);
        return crate::kernels::optim::sum_of_squares(crate::fused::slice(&t));
    }
    naive::sum_of_squares(t)
}

#[cfg(feature = "flex")]
fn fused_step<const D: usize>(
    param: Tensor<D>,
    grad: Tensor<D>,
    grad_scale: f64,
    state: &mut AdamWState<D>,
    step: u64,
    lr: f64,
    cfg: &AdamW,
) -> Tensor<D> {
    use crate::fused::{plain, slice};
    use crate::kernels::optim;
    use burn::backend::Flex;

    let shape = param.dims();
    for other in [grad.dims(), state.first.dims(), state.second.dims()] {
        assert_eq!(
            shape, other,
            "adamw_step: shapes of parameter, gradient and moments"
        );
    }
    // The moments are taken out of the state while they change, because only a buffer with one
    // owner is updated in place.
    let take = |moment: &mut Tensor<D>| {
        let device = moment.device().without_autodiff();
        plain(std::mem::replace(moment, Tensor::empty([0; D], &device)))
    };
    let (mut first, mut second) = (take(&mut state.first), take(&mut state.second));
    let (mut param, grad) = (plain(param), plain(grad));
    let correction = |beta: f64| 1.0 - beta.powf(step as f64);
    let numbers = optim::Step {
        beta1: cfg.beta1 as f32,
        beta2: cfg.beta2 as f32,
        rest1: (1.0 - cfg.beta1) as f32,
        rest2: (1.0 - cfg.beta2) as f32,
        eps: cfg.eps as f32,
        scale: grad_scale as f32,
        keep: (1.0 - lr * cfg.weight_decay) as f32,
        rate: (lr / correction(cfg.beta1)) as f32,
        root: (1.0 / correction(cfg.beta2).sqrt()) as f32,
    };
    let moments = (first.storage_mut(), second.storage_mut());
    optim::adamw(
        param.storage_mut(),
        slice(&grad),
        moments.0,
        moments.1,
        numbers,
    );
    state.first = Tensor::from_primitive::<Flex>(first);
    state.second = Tensor::from_primitive::<Flex>(second);
    Tensor::from_primitive::<Flex>(param)
}
