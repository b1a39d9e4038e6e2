//! The losses of an update, per token.

use burn::tensor::{Bool, Tensor};

/// Returns the clipped surrogate loss of the policy, per token. The clip removes the incentive to
/// move the policy far from the rollout's policy in one update.
///
/// ```text
/// ratio = exp(log π − log π_old)
/// loss  = max(−A · ratio, −A · clip(ratio, 1 − ε, 1 + ε))
/// dual clip c, where A < 0: min(loss, −A · c)
/// ```
///
/// [arXiv:1707.06347](https://arxiv.org/abs/1707.06347), equation 7; dual clip
/// [arXiv:1912.09729](https://arxiv.org/abs/1912.09729), equation 5.
///
/// # Shapes
/// All `[tokens]`, log-probabilities in nats. `old_logps` and `advantages` carry no gradient.
///
/// # Gradient
/// −A · ratio if the unclipped term is the larger one, 0 if the clipped term is. At ratio 1, the
/// gradient with respect to log π is the policy gradient.
pub fn clipped_policy_loss(
    logps: Tensor<1>,
    old_logps: Tensor<1>,
    advantages: Tensor<1>,
    clip_range: f64,
    dual_clip: Option<f64>,
) -> Tensor<1> {
    let ratio = (logps - old_logps).exp();
    let gain = advantages.clone().neg();
    let free = gain.clone() * ratio.clone();
    let clipped = gain.clone() * ratio.clamp(1.0 - clip_range, 1.0 + clip_range);
    let loss = larger(free, clipped);
    match dual_clip {
        None => loss,
        Some(c) => {
            let ceiling = gain.mul_scalar(c);
            let above = loss.clone().greater(ceiling.clone());
            let bad = advantages.lower_elem(0.0);
            loss.mask_where(above.bool_and(bad), ceiling)
        }
    }
}

/// Returns the clipped loss of the critic, per token.
///
/// ```text
/// loss = ½ max((V − R)², (clip(V, V_old − ε, V_old + ε) − R)²)
/// ```
///
/// # Shapes
/// All `[tokens]`; `old_values` and `returns` carry no gradient.
///
/// # Gradient
/// V − R if the unclipped term is the larger one or V is within the clip, else 0.
pub fn clipped_value_loss(
    values: Tensor<1>,
    old_values: Tensor<1>,
    returns: Tensor<1>,
    clip_range: f64,
) -> Tensor<1> {
    let moved = (values.clone() - old_values.clone()).clamp(-clip_range, clip_range);
    let clipped = old_values + moved;
    let square = |x: Tensor<1>| x.clone() * x;
    let free = square(values - returns.clone());
    larger(free, square(clipped - returns)).mul_scalar(0.5)
}

/// Returns the larger value. If both are equal, returns the first, so that only the first gets a
/// gradient.
fn larger(first: Tensor<1>, second: Tensor<1>) -> Tensor<1> {
    let over: Tensor<1, Bool> = second.clone().greater(first.clone());
    first.mask_where(over, second)
}

/// Returns k3 of every token, tracked; β times this value is the KL term of a loss.
///
/// ```text
/// e^{−d} − 1 + d,   d = log π − log ρ
/// ```
///
/// # Shapes
/// All `[tokens]`.
///
/// # Gradient
/// 1 − e^{−d} with respect to log π.
pub fn kl_loss(logps: Tensor<1>, reference_logps: Tensor<1>) -> Tensor<1> {
    let d = logps - reference_logps;
    d.clone().neg().exp().sub_scalar(1.0) + d
}
