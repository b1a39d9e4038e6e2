//! Operations for callers: fused if the device has a fused kernel, plain elsewhere.

use burn::tensor::{Int, Tensor};

#[cfg(feature = "flex")]
use crate::fused::{self, fused};
#[cfg(feature = "flex")]
use crate::fused_kernels as kernels;
use crate::{AttentionPlan, Heads, naive};

/// Returns true if the fused kernels take this tensor: f32, bf16 or f16 on flex, not empty. Kernels
/// take a tensor of 16 bits only as a frozen matrix. [`PackedLinear`](crate::PackedLinear) and [`cached_attention`](crate::cached_attention) then
/// compute each row independently of the others, bit for bit.
pub fn is_fused<const D: usize>(tensor: &Tensor<D>) -> bool {
    #[cfg(feature = "flex")]
    {
        fused::fits(tensor) || fused::is_half(tensor)
    }
    #[cfg(not(feature = "flex"))]
    {
        let _ = tensor;
        false
    }
}

/// Computes `x·Wᵀ + b`, with the weight in Hugging Face's layout.
///
/// # Shapes
/// `x`: `[tokens, in]`; `weight`: `[out, in]`; `bias`: `[out]`; result `[tokens, out]`.
///
/// # Gradient
/// The weight's gradient has the weight's layout; a frozen weight costs nothing.
///
/// # Numerics
/// A weight of bf16 or f16 is widened to the number type of `x`: the result is that of a weight
/// with the same values in f32. On flex, a frozen weight is widened in parts, so that its f32 values
/// never exist all at once.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if let Some(y) = fused_linear([&x, &weight], &bias, false) {
        return y;
    }
    naive::linear(x, weight, bias)
}

/// Computes [`linear`] with both factors of every product rounded to bf16, in the backward pass too.
/// Sums, bias, result and gradients are those of the inputs' number type.
///
/// On flex, the products run on the processor's unit for bf16: tile registers (AMX) or AVX-512 BF16.
/// Without such a unit, the rounded factors are multiplied as f32, which is as slow as [`linear`].
/// The environment variable `COLLIMATE_BF16` hides units: `avx512` hides tiles, and `f32` hides both.
///
/// # Shapes
/// As [`linear`].
pub fn linear_bf16(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if let Some(y) = fused_linear([&x, &weight], &bias, true) {
        return y;
    }
    naive::linear_bf16(x, weight, bias)
}

/// Computes a linear layer with a fused kernel, or returns `None` if no kernel takes the tensors.
#[cfg(feature = "flex")]
fn fused_linear(
    [x, weight]: [&Tensor<2>; 2],
    bias: &Option<Tensor<1>>,
    bf16: bool,
) -> Option<Tensor<2>> {
    let ([rows, input], [output, width]) = (x.dims(), weight.dims());
    assert_eq!(
        input, width,
        "linear: x has width {input}, the weight takes {width}"
    );
    if !fused::fits(x) || bias.as_ref().is_some_and(|bias| !fused::fits(bias)) {
        return None;
    }
    let shape = [rows, output];
    let x = || fused::input(x.clone());
    if let Some(weight) = fused::frozen_half(weight) {
        let kernel = kernels::HalfLinear { weight, rows, bf16 };
        return Some(match bias {
            None => fused::run(kernel, [x()], shape),
            Some(bias) => fused::run(kernel, [x(), fused::input(bias.clone())], shape),
        });
    }
    if !fused::fits(weight) {
        return None;
    }
    let kernel = kernels::Linear {
        rows,
        input,
        output,
        bf16,
    };
    let weight = fused::input(weight.clone());
    Some(match bias {
        None => fused::run(kernel, [x(), weight], shape),
        Some(bias) => fused::run(kernel, [x(), weight, fused::input(bias.clone())], shape),
    })
}

/// Computes the root-mean-square norm of each row.
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

/// Computes the layer norm of each row, with the biased variance.
///
/// ```text
/// y = (x − mean) / √(var + eps) · weight [+ bias]
/// ```
///
/// <https://arxiv.org/abs/1607.06450>, equation 4.
///
/// # Shapes
/// `x`: `[tokens, width]`; `weight`, `bias`: `[width]`.
pub fn layer_norm(x: Tensor<2>, weight: Tensor<1>, bias: Option<Tensor<1>>, eps: f64) -> Tensor<2> {
    #[cfg(feature = "flex")]
    {
        check_width("layer_norm", &x, &weight);
        let kernel = kernels::LayerNorm { eps };
        match &bias {
            None => fused!([x, weight], x.dims(), kernel),
            Some(bias) => {
                check_width("layer_norm", &x, bias);
                fused!([x, weight, bias.clone()], x.dims(), kernel);
            }
        }
    }
    naive::layer_norm(x, weight, bias, eps)
}

/// Computes GELU with the exact normal distribution function, as BERT does. [`gelu_tanh`] is the
/// approximation.
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
        fused!([x], x.dims(), kernels::Activation::Gelu);
    }
    naive::gelu(x)
}

/// Computes GELU approximated by a hyperbolic tangent: `gelu_new` and `gelu_pytorch_tanh` of
/// Hugging Face.
///
/// ```text
/// y = x · (1 + tanh(√(2/π) · (x + 0.044715·x³))) / 2
/// ```
///
/// <https://arxiv.org/abs/1606.08415>, section 2.
///
/// # Shapes
/// `x`: `[tokens, width]`.
pub fn gelu_tanh(x: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    {
        fused!([x], x.dims(), kernels::Activation::GeluTanh);
    }
    naive::gelu_tanh(x)
}

/// Computes `gate · σ(gate) · up`, the gated activation of Llama.
///
/// <https://arxiv.org/abs/2002.05202>.
///
/// # Shapes
/// Both `[tokens, width]`.
pub fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    {
        check_gate("swiglu", &gate, &up);
        fused!([gate, up], gate.dims(), kernels::Gated::SwiGlu);
    }
    naive::swiglu(gate, up)
}

/// Computes `gelu(gate) · up` with the exact [`gelu`]: the gated activation of ModernBERT.
///
/// <https://arxiv.org/abs/2002.05202>.
///
/// # Shapes
/// Both `[tokens, width]`.
pub fn geglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    {
        check_gate("geglu", &gate, &up);
        fused!([gate, up], gate.dims(), kernels::Gated::GeGlu);
    }
    naive::geglu(gate, up)
}

/// Computes `gelu_tanh(gate) · up` with the approximation [`gelu_tanh`]: the gated activation of
/// Gemma.
///
/// <https://arxiv.org/abs/2002.05202>.
///
/// # Shapes
/// Both `[tokens, width]`.
pub fn geglu_tanh(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    {
        check_gate("geglu_tanh", &gate, &up);
        fused!([gate, up], gate.dims(), kernels::Gated::GeGluTanh);
    }
    naive::geglu_tanh(gate, up)
}

/// Computes the attention of every token over the tokens that the plan lets it see. The scores have
/// the form of the plan's [`Scores`](crate::Scores); by default, products are scaled by
/// `1 / √head_dim`.
///
/// # Shapes
/// `q`: `[tokens, query · head_dim]`; `k`, `v`: `[tokens, key_value · head_dim]`; result as `q`.
///
/// # Gradient
/// Forward keeps one number per token and head (the log of the softmax denominator); backward
/// recomputes the scores. Neither builds a mask over the pack. With a window, the cost of both
/// depends on the tokens that are seen, not on the lengths of the sequences.
///
/// # Panics
/// Panics if the shapes do not fit the plan and the heads, or if [`Heads::new`] refuses the heads.
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

/// Returns the rows of `weight` chosen by `ids`.
///
/// # Shapes
/// `weight`: `[vocab, width]`; `ids`: `[tokens]`, each below `vocab`; result `[tokens, width]`. The
/// result of a table of bf16 or f16 is f32.
pub fn embedding(weight: Tensor<2>, ids: Tensor<1, Int>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    {
        let [vocab, width] = weight.dims();
        let tokens = ids.dims()[0];
        if tokens > 0 {
            if let Some(table) = fused::frozen_half(&weight) {
                let rows = table.gather(&fused::indices(ids, vocab));
                let rows = fused::made_tensor(rows, [tokens, width]);
                return fused::beside(rows, &weight);
            }
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
fn check_gate(name: &str, gate: &Tensor<2>, up: &Tensor<2>) {
    assert_eq!(
        gate.dims(),
        up.dims(),
        "{name}: gate and up differ in shape"
    );
}

#[cfg(feature = "flex")]
fn check_width(name: &str, x: &Tensor<2>, vector: &Tensor<1>) {
    let (width, len) = (x.dims()[1], vector.dims()[0]);
    assert_eq!(
        width, len,
        "{name}: x has width {width}, a parameter has {len}"
    );
}
