//! The operations that callers use: fused where the device has a fused kernel, plain elsewhere.

use burn::tensor::{Int, Tensor};

use crate::{AttentionPlan, Heads, naive};
#[cfg(feature = "flex")]
use crate::{fused, fused_kernels as kernels};

/// Runs the fused kernel and returns when every tensor fits it.
#[cfg(feature = "flex")]
macro_rules! fused {
    ([$($tensor:expr),+], $shape:expr, $kernel:expr) => {
        if $(fused::fits(&$tensor))&&+ {
            let (kernel, shape) = ($kernel, $shape);
            return fused::run(kernel, [$(fused::input($tensor)),+], shape);
        }
    };
}

/// Whether the fused kernels take this tensor: f32 on flex, not empty.
/// [`PackedLinear`](crate::PackedLinear) and [`cached_attention`](crate::cached_attention) then compute
/// each row alone, bit by bit.
pub fn is_fused<const D: usize>(tensor: &Tensor<D>) -> bool {
    #[cfg(feature = "flex")]
    {
        fused::fits(tensor)
    }
    #[cfg(not(feature = "flex"))]
    {
        let _ = tensor;
        false
    }
}

/// `x·Wᵀ + b`, with the weight as Hugging Face stores it.
///
/// # Shapes
/// `x`: `[tokens, in]`; `weight`: `[out, in]`; `bias`: `[out]`; result `[tokens, out]`.
///
/// # Gradient
/// The weight's gradient comes in the weight's layout; a frozen weight costs nothing.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    {
        let ([rows, input], [output, width]) = (x.dims(), weight.dims());
        assert_eq!(
            input, width,
            "linear: x has width {input}, the weight takes {width}"
        );
        let kernel = kernels::Linear {
            rows,
            input,
            output,
        };
        match &bias {
            None => fused!([x, weight], [rows, output], kernel),
            Some(bias) => fused!([x, weight, bias.clone()], [rows, output], kernel),
        }
    }
    naive::linear(x, weight, bias)
}

/// Root-mean-square norm of each row.
///
/// ```text
/// y = x / √(mean(x²) + eps) · weight
/// ```
///
/// <https://arxiv.org/abs/1910.07467>, equation 4.
///
/// # Shapes
/// `x`: `[tokens, width]`; `weight`: `[width]`.
pub fn rms_norm(x: Tensor<2>, weight: Tensor<1>, eps: f64) -> Tensor<2> {
    #[cfg(feature = "flex")]
    {
        check_width("rms_norm", &x, &weight);
        fused!([x, weight], x.dims(), kernels::RmsNorm { eps });
    }
    naive::rms_norm(x, weight, eps)
}

/// Layer norm of each row, with the biased variance.
///
/// ```text
/// y = (x − mean) / √(var + eps) · weight + bias
/// ```
///
/// <https://arxiv.org/abs/1607.06450>, equation 4.
///
/// # Shapes
/// `x`: `[tokens, width]`; `weight`, `bias`: `[width]`.
pub fn layer_norm(x: Tensor<2>, weight: Tensor<1>, bias: Tensor<1>, eps: f64) -> Tensor<2> {
    #[cfg(feature = "flex")]
    {
        check_width("layer_norm", &x, &weight);
        check_width("layer_norm", &x, &bias);
        fused!([x, weight, bias], x.dims(), kernels::LayerNorm { eps });
    }
    naive::layer_norm(x, weight, bias, eps)
}

/// GELU with the exact normal distribution function, as BERT uses it.
///
/// ```text
/// y = x · (1 + erf(x / √2)) / 2
/// ```
///
/// <https://arxiv.org/abs/1606.08415>.
///
/// # Shapes
/// `x`: `[tokens, width]`.
pub fn gelu(x: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    {
        fused!([x], x.dims(), kernels::Gelu);
    }
    naive::gelu(x)
}

/// `gate · σ(gate) · up`, the gated activation of Llama.
///
/// <https://arxiv.org/abs/2002.05202>.
///
/// # Shapes
/// Both `[tokens, width]`.
pub fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    {
        assert_eq!(
            gate.dims(),
            up.dims(),
            "swiglu: gate and up differ in shape"
        );
        fused!([gate, up], gate.dims(), kernels::SwiGlu);
    }
    naive::swiglu(gate, up)
}

/// Attention of every token over the tokens that the plan lets it see, scaled by
/// `1 / √head_dim`.
///
/// # Shapes
/// `q`: `[tokens, query · head_dim]`; `k`, `v`: `[tokens, key_value · head_dim]`; result as `q`.
///
/// # Gradient
/// Forward keeps one number per token and head (the log of the softmax denominator); backward
/// recomputes the scores. No mask over the pack exists in either. With a window both cost what the
/// tokens that are seen cost, not what the sequences' lengths would.
///
/// # Panics
/// When the shapes do not fit the plan and the heads, and for heads that [`Heads::new`] refuses.
pub fn segment_attention(
    q: Tensor<2>,
    k: Tensor<2>,
    v: Tensor<2>,
    plan: &AttentionPlan,
    heads: Heads,
) -> Tensor<2> {
    heads.assert_valid();
    let tokens = plan.tokens();
    let keys = [tokens, heads.key_value * heads.head_dim];
    assert_eq!(
        q.dims(),
        [tokens, heads.query * heads.head_dim],
        "segment_attention: shape of q"
    );
    assert_eq!(k.dims(), keys, "segment_attention: shape of k");
    assert_eq!(v.dims(), keys, "segment_attention: shape of v");
    #[cfg(feature = "flex")]
    {
        fused!(
            [q, k, v],
            q.dims(),
            kernels::Attention {
                plan: plan.clone(),
                heads
            }
        );
    }
    naive::segment_attention(q, k, v, plan, heads)
}

/// The log-probability that each row's output distribution gives to its target.
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
/// Logits exist for a block of rows and vocabulary at a time. Those of the last rows are kept for
/// backward (48 MiB), which computes the others again.
///
/// # Numerics
/// Finite for logits of any finite size.
pub fn selected_logp(hidden: Tensor<2>, weight: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    #[cfg(feature = "flex")]
    {
        let rows = hidden.dims()[0];
        let sizes = selected_logp_sizes(&hidden, &weight, &targets, false);
        fused!(
            [hidden, weight],
            [rows],
            kernels::SelectedLogp {
                targets: fused::indices(targets, sizes.vocab).into(),
                sizes,
            }
        );
    }
    naive::selected_logp(hidden, weight, targets)
}

/// [`selected_logp`], and the entropy of each row's output distribution.
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
    let both = logp_and_entropy(hidden, weight, targets);
    let n = both.dims()[0];
    let column = |index| both.clone().narrow(1, index, 1).reshape([n]);
    (column(0), column(1))
}

/// `[n, 2]`: log-probability and entropy.
fn logp_and_entropy(hidden: Tensor<2>, weight: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    {
        let rows = hidden.dims()[0];
        let sizes = selected_logp_sizes(&hidden, &weight, &targets, true);
        fused!(
            [hidden, weight],
            [rows, 2],
            kernels::SelectedLogp {
                targets: fused::indices(targets, sizes.vocab).into(),
                sizes,
            }
        );
    }
    let (logp, entropy) = naive::selected_logp_entropy(hidden, weight, targets);
    Tensor::stack(vec![logp, entropy], 1)
}

#[cfg(feature = "flex")]
fn selected_logp_sizes(
    hidden: &Tensor<2>,
    weight: &Tensor<2>,
    targets: &Tensor<1, Int>,
    entropy: bool,
) -> crate::kernels::logp::Sizes {
    let ([rows, width], [vocab, columns]) = (hidden.dims(), weight.dims());
    assert_eq!(width, columns, "selected_logp: widths of hidden and weight");
    assert_eq!([rows], targets.dims(), "selected_logp: one target per row");
    crate::kernels::logp::Sizes {
        rows,
        width,
        vocab,
        entropy,
    }
}

/// Rows of `weight` chosen by `ids`.
///
/// # Shapes
/// `weight`: `[vocab, width]`; `ids`: `[tokens]`, each below `vocab`; result `[tokens, width]`.
pub fn embedding(weight: Tensor<2>, ids: Tensor<1, Int>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    {
        let [vocab, width] = weight.dims();
        let tokens = ids.dims()[0];
        if tokens > 0 {
            fused!(
                [weight],
                [tokens, width],
                kernels::Embedding {
                    ids: fused::indices(ids, vocab).into(),
                    width
                }
            );
        }
    }
    naive::embedding(weight, ids)
}

#[cfg(feature = "flex")]
fn check_width(name: &str, x: &Tensor<2>, vector: &Tensor<1>) {
    let (width, len) = (x.dims()[1], vector.dims()[0]);
    assert_eq!(
        width, len,
        "{name}: x has width {width}, a parameter has {len}"
    );
}
