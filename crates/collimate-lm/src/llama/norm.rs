//! Normalisations of decoders.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use collimate_ops::{layer_norm, rms_norm};

use super::design::NormKind;

/// A normalisation of each row; field names as in Hugging Face files.
#[derive(Module, Debug)]
pub(crate) struct Norm {
    /// Scale, `[width]`; see [`NormKind`].
    pub(crate) weight: Param<Tensor<1>>,
    /// Offset, `[width]`, of a layer norm only.
    pub(crate) bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    eps: f64,
    #[module(skip)]
    kind: NormKind,
}

impl Norm {
    /// Creates a norm whose scale is 1.
    pub(crate) fn new(kind: NormKind, width: usize, eps: f64, device: &Device) -> Self {
        let zeros = || Param::from_tensor(Tensor::zeros([width], device));
        Self {
            weight: match kind {
                NormKind::RmsPlusOne => zeros(),
                NormKind::Rms | NormKind::Layer => {
                    Param::from_tensor(Tensor::ones([width], device))
                }
            },
            bias: (kind == NormKind::Layer).then(zeros),
            eps,
            kind,
        }
    }

    /// Normalises each row of `x: [tokens, width]`. The result has the same shape.
    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let weight = self.weight.val();
        match (&self.bias, self.kind) {
            (Some(bias), _) => layer_norm(x, weight, Some(bias.val()), self.eps),
            (None, NormKind::RmsPlusOne) => rms_norm(x, weight + 1.0, self.eps),
            (None, _) => rms_norm(x, weight, self.eps),
        }
    }

    /// Normalises each group of `width` values of a row, where `width` is the size of the weight:
    /// each head, or the whole row.
    pub(crate) fn groups(&self, x: Tensor<2>) -> Tensor<2> {
        let [tokens, width] = x.dims();
        let [size] = self.weight.dims();
        if size == width {
            return self.forward(x);
        }
        let groups: Tensor<2> = x.reshape([tokens * (width / size), size]);
        self.forward(groups).reshape([tokens, width])
    }
}
