//! Log-probabilities of target tokens, and entropies.

use burn::tensor::{Int, Tensor};

#[cfg(feature = "flex")]
use crate::fused::{self, fused};
#[cfg(feature = "flex")]
use crate::fused_kernels as kernels;
#[cfg(feature = "flex")]
use crate::kernels::logp;
use crate::naive;

/// Computes the log-probability that each row's output distribution gives to its target.
///
/// ```text
/// logp[i] = (h[i]·Wᵀ)[target[i]] − log Σ_v exp (h[i]·Wᵀ)[v]
/// ```
///
/// # Shapes
/// `hidden`: `[n, width]`; `weight`: `[vocab, width]`; `targets`: `[n]`, each below `vocab`;
/// result `[n]`, in nats.
///
/// # Gradient
/// Logits exist for one block of rows and vocabulary at a time. The logits of the last rows are
/// kept for backward (48 MiB); backward computes the others again.
///
/// # Numerics
/// The result is finite for all finite logits. A weight of bf16 or f16 is widened to the number type
/// of `hidden`, block by block.
pub fn selected_logp(hidden: Tensor<2>, weight: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    selected_logp_capped(hidden, weight, targets, None)
}

/// Computes [`selected_logp`] of logits that are bounded softly, as in Gemma 2.
///
/// ```text
/// z[i, v] = c · tanh((h[i]·Wᵀ)[v] / c)
/// logp[i] = z[i, target[i]] − log Σ_v exp z[i, v]
/// ```
///
/// <https://arxiv.org/abs/2408.00118>, section 2.
///
/// # Shapes
/// As [`selected_logp`]; `softcap`: c, or `None` for no bound.
///
/// # Panics
/// Panics if the cap is not positive and finite.
pub fn selected_logp_capped(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    targets: Tensor<1, Int>,
    softcap: Option<f64>,
) -> Tensor<1> {
    check_cap(softcap);
    #[cfg(feature = "flex")]
    {
        let rows = hidden.dims()[0];
        let sizes = selected_logp_sizes(&hidden, &weight, &targets);
        let sizes = logp::Sizes {
            softcap: softcap.map(|cap| cap as f32),
            ..sizes
        };
        if let Some(weight) = fused::frozen_half(&weight)
            && fused::fits(&hidden)
        {
            let targets = fused::indices(targets, sizes.vocab).into();
            let kernel = kernels::HalfLogp {
                weight,
                targets,
                sizes,
            };
            return fused::run(kernel, [fused::input(hidden)], [rows]);
        }
        fused!(
            [hidden, weight],
            [rows],
            kernels::SelectedLogp {
                targets: fused::indices(targets, sizes.vocab).into(),
                sizes,
            }
        );
    }
    naive::selected_logp_capped(hidden, weight, targets, softcap)
}

/// Computes [`selected_logp`] and the entropy of each row's output distribution.
///
/// ```text
/// H[i] = −Σ_v p[i, v] log p[i, v],   p[i] = softmax(h[i]·Wᵀ)
/// ```
///
/// # Shapes
/// As [`selected_logp`]; both results `[n]`, in nats.
pub fn selected_logp_entropy(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    targets: Tensor<1, Int>,
) -> (Tensor<1>, Tensor<1>) {
    selected_logp_entropy_capped(hidden, weight, targets, None)
}

/// Computes [`selected_logp_entropy`] of the bounded logits of [`selected_logp_capped`].
///
/// # Shapes
/// As [`selected_logp_capped`]; both results `[n]`, in nats.
///
/// # Panics
/// Panics as [`selected_logp_capped`] does.
pub fn selected_logp_entropy_capped(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    targets: Tensor<1, Int>,
    softcap: Option<f64>,
) -> (Tensor<1>, Tensor<1>) {
    let both = logp_and_entropy(hidden, weight, targets, softcap);
    let n = both.dims()[0];
    let column = |index| both.clone().narrow(1, index, 1).reshape([n]);
    (column(0), column(1))
}

/// Computes `[n, 2]`: log-probability and entropy.
fn logp_and_entropy(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    targets: Tensor<1, Int>,
    softcap: Option<f64>,
) -> Tensor<2> {
    check_cap(softcap);
    #[cfg(feature = "flex")]
    {
        let rows = hidden.dims()[0];
        let sizes = selected_logp_sizes(&hidden, &weight, &targets);
        let sizes = logp::Sizes {
            entropy: true,
            softcap: softcap.map(|cap| cap as f32),
            ..sizes
        };
        if let Some(weight) = fused::frozen_half(&weight)
            && fused::fits(&hidden)
        {
            let targets = fused::indices(targets, sizes.vocab).into();
            let kernel = kernels::HalfLogp {
                weight,
                targets,
                sizes,
            };
            return fused::run(kernel, [fused::input(hidden)], [rows, 2]);
        }
        fused!(
            [hidden, weight],
            [rows, 2],
            kernels::SelectedLogp {
                targets: fused::indices(targets, sizes.vocab).into(),
                sizes,
            }
        );
    }
    let (logp, entropy) = naive::selected_logp_entropy_capped(hidden, weight, targets, softcap);
    Tensor::stack(vec![logp, entropy], 1)
}

fn check_cap(softcap: Option<f64>) {
    let cap = softcap.unwrap_or(1.0);
    assert!(
        cap.is_finite() && cap > 0.0,
        "selected_logp: softcap {cap} must be positive and finite"
    );
}

#[cfg(feature = "flex")]
fn selected_logp_sizes(
    hidden: &Tensor<2>,
    weight: &Tensor<2>,
    targets: &Tensor<1, Int>,
) -> logp::Sizes {
    let ([rows, width], [vocab, columns]) = (hidden.dims(), weight.dims());
    assert_eq!(width, columns, "selected_logp: widths of hidden and weight");
    assert_eq!([rows], targets.dims(), "selected_logp: one target per row");
    logp::Sizes {
        rows,
        width,
        vocab,
        entropy: false,
        softcap: None,
    }
}
