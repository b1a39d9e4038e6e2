//! Frozen linear layers with a low-rank update, and dropout.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::fused;
#[cfg(feature = "flex")]
use crate::fused_kernels as kernels;
use crate::{DropMask, linear, linear_bf16, naive};

/// A low-rank update of a linear layer's weight, `scale · B·A`.
///
/// # Shapes
/// `a: [rank, in]`; `b: [out, rank]`; the mask `[tokens, in]`.
#[derive(Debug, Clone)]
pub struct LowRankUpdate {
    /// Down projection A.
    pub a: Tensor<2>,
    /// Up projection B.
    pub b: Tensor<2>,
    /// Factor of the update.
    pub scale: f64,
    /// Dropout of the update's input.
    pub mask: Option<DropMask>,
}

/// Computes `x·Wᵀ + b + scale · mask(x)·Aᵀ·Bᵀ`.
///
/// LoRA, [arXiv:2106.09685](https://arxiv.org/abs/2106.09685), eq. 3.
///
/// # Shapes
/// `x`: `[tokens, in]`; `weight`: `[out, in]`; `bias`: `[out]`; result `[tokens, out]`.
///
/// # Gradient
/// On flex, a frozen layer saves `x` and the result of the down projection: neither the masked input
/// nor the mask's factors exist outside their products.
///
/// # Panics
/// Panics if the shapes do not fit together.
pub fn adapted_linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    update: LowRankUpdate,
) -> Tensor<2> {
    adapted(x, weight, bias, update, false)
}

/// Computes [`adapted_linear`] with both factors of every product rounded to bf16, as
/// [`linear_bf16`] does.
///
/// # Panics
/// Panics if the shapes do not fit together.
pub fn adapted_linear_bf16(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    update: LowRankUpdate,
) -> Tensor<2> {
    adapted(x, weight, bias, update, true)
}

fn adapted(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    update: LowRankUpdate,
    bf16: bool,
) -> Tensor<2> {
    let ([rows, input], [output, width]) = (x.dims(), weight.dims());
    let [rank, _] = update.a.dims();
    assert_eq!(
        (update.a.dims(), update.b.dims()),
        ([rank, input], [output, rank]),
        "adapted_linear: shapes of A and B for a weight [{output}, {width}]"
    );
    if let Some(mask) = &update.mask {
        assert_eq!(mask.dims(), x.dims(), "adapted_linear: shape of the mask");
    }
    #[cfg(feature = "flex")]
    {
        let fit = [&x, &update.a, &update.b].into_iter().all(fused::fits);
        let bias_fits = bias.as_ref().is_none_or(fused::is_frozen);
        let frozen = (fit && bias_fits && input == width)
            .then(|| frozen(&weight, rows, bf16))
            .flatten();
        if let Some(weight) = frozen {
            let kernel = kernels::Adapted {
                weight,
                bias: bias.map(fused::plain),
                rows,
                input,
                output,
                rank,
                scale: update.scale as f32,
                mask: update.mask,
                bf16,
            };
            let inputs = [x, update.a, update.b].map(fused::input);
            return fused::run(kernel, inputs, [rows, output]);
        }
    }
    let _ = rows;
    let product = if bf16 { linear_bf16 } else { linear };
    naive::adapted_linear_by(product, x, weight, bias, update)
}

/// Returns a weight that no gradient reaches, or `None` for other weights.
#[cfg(feature = "flex")]
fn frozen(weight: &Tensor<2>, rows: usize, bf16: bool) -> Option<kernels::Frozen> {
    if let Some(weight) = fused::frozen_half(weight) {
        let linear = kernels::HalfLinear { weight, rows, bf16 };
        return Some(kernels::Frozen::Half(linear));
    }
    let [output, input] = weight.dims();
    let linear = kernels::Linear {
        rows,
        input,
        output,
        bf16,
    };
    fused::is_frozen(weight).then(|| kernels::Frozen::F32(fused::plain(weight.clone()), linear))
}

/// Multiplies each number of `x` by a mask of inverted dropout.
///
/// # Shapes
/// `x`: `[tokens, width]`; result likewise.
///
/// # Gradient
/// The mask's; on flex, nothing but the mask is saved.
///
/// # Panics
/// Panics if the mask has another shape.
pub fn dropped(x: Tensor<2>, mask: &DropMask) -> Tensor<2> {
    assert_eq!(mask.dims(), x.dims(), "dropped: shape of the mask");
    #[cfg(feature = "flex")]
    {
        fused::fused!([x], x.dims(), kernels::Masked(mask.clone()));
    }
    naive::dropped(x, mask)
}
