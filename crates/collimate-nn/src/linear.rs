//! A linear layer in Hugging Face's layout, with an optional low-rank adapter.

use burn::module::{Module, Param};
use burn::tensor::{Device, FloatDType, Tensor};
use collimate_core::Key;
use collimate_ops::LowRankUpdate;

use crate::forward::{Adapters, RowForward};
use crate::init::normal;
use crate::precision::Precision;

/// A low-rank adapter: adds `scale · (x·Aᵀ)·Bᵀ` to a linear layer's output.
///
/// LoRA, [arXiv:2106.09685](https://arxiv.org/abs/2106.09685), eq. 3.
///
/// # Shapes
/// `a: [rank, in]` (PEFT's `lora_A.weight`), `b: [out, rank]` (`lora_B.weight`).
#[derive(Module, Debug)]
pub struct Lora {
    /// Down projection A.
    pub a: Param<Tensor<2>>,
    /// Up projection B, zero at the start.
    pub b: Param<Tensor<2>>,
    /// Factor of the update, such as α / rank.
    #[module(skip)]
    pub scale: f64,
    /// Dropout probability of the adapter's input in training.
    #[module(skip)]
    pub dropout: f64,
}

impl Lora {
    /// Creates a fresh adapter. A is uniform in ±1/√in (Kaiming with a = √5, as in PEFT); B is
    /// zero.
    pub fn new(
        [out, input]: [usize; 2],
        rank: usize,
        scale: f64,
        dropout: f64,
        key: Key,
        device: &Device,
    ) -> Self {
        let bound = 1.0 / (input as f64).sqrt();
        let mut rng = key.rng(collimate_core::Purpose::Init);
        let values: Vec<f32> = (0..rank * input)
            .map(|_| {
                let unit: f64 = rand::RngExt::random(&mut rng);
                ((2.0 * unit - 1.0) * bound) as f32
            })
            .collect();
        let a = Tensor::from_data(burn::tensor::TensorData::new(values, [rank, input]), device);
        Self {
            a: Param::from_tensor(a),
            b: Param::from_tensor(Tensor::zeros([out, rank], device)),
            scale,
            dropout,
        }
    }

    /// Returns the adapter's update of the weight: `scale · B·A`, `[out, in]`.
    fn delta(&self) -> Tensor<2> {
        self.b.val().matmul(self.a.val()).mul_scalar(self.scale)
    }
}

/// An update `scale · B·A` that was folded into a weight. The tensors are untracked.
///
/// # Shapes
/// `a: [rank, in]`, `b: [out, rank]`.
#[derive(Debug, Clone)]
pub struct LowRank {
    /// Down projection A.
    pub a: Tensor<2>,
    /// Up projection B.
    pub b: Tensor<2>,
    /// Factor of the update.
    pub scale: f64,
}

/// A linear layer `y = x·Wᵀ + b`, plus the output of an attached adapter that is switched on.
///
/// The weight keeps Hugging Face's layout `[out, in]`. Files are therefore read and written without
/// a transposition, and an output matrix can be shared with an embedding. Inputs are rank 2.
///
/// # Differs from
/// Burn's `Linear`, whose weight is `[in, out]`. Burn's PyTorch adapters (`PyTorchToBurnAdapter` of
/// burn-store) recognise modules by name and would transpose this weight: do not apply them.
#[derive(Module, Debug)]
pub struct Linear {
    /// Weight, `[out, in]`.
    pub weight: Param<Tensor<2>>,
    /// Bias, `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// The adapter, if one is attached.
    pub lora: Option<Lora>,
    /// Precision of the layer's products.
    #[module(skip)]
    pub precision: Precision,
    /// Adapters that were folded into the weight, in this order. The list is right as long as only
    /// adapters are trained.
    #[module(skip)]
    pub learned: Vec<LowRank>,
}

impl Linear {
    /// Creates a layer with weights from N(0, std²) and, if `bias` is true, a zero bias.
    pub fn new([out, input]: [usize; 2], bias: bool, std: f64, key: Key, device: &Device) -> Self {
        Self {
            weight: Param::from_tensor(normal([out, input], std, key, device)),
            bias: bias.then(|| Param::from_tensor(Tensor::zeros([out], device))),
            lora: None,
            precision: Precision::F32,
            learned: Vec::new(),
        }
    }

    /// Applies the layer: `[tokens, in]` → `[tokens, out]`. Given a [`Forward`](crate::Forward), it
    /// draws the dropout masks of all rows from one stream.
    pub fn forward<'a>(&self, x: Tensor<2>, f: impl Into<RowForward<'a>>) -> Tensor<2> {
        let f = f.into();
        let bias = self.bias.as_ref().map(Param::val);
        let Some(lora) = self
            .lora
            .as_ref()
            .filter(|_| f.options.adapters == Adapters::On)
        else {
            return self.precision.linear(x, self.weight.val(), bias);
        };
        let update = LowRankUpdate {
            a: lora.a.val(),
            b: lora.b.val(),
            scale: lora.scale,
            mask: f.mask(x.dims(), lora.dropout),
        };
        self.precision.adapted(x, self.weight.val(), bias, update)
    }

    /// Returns weight and bias of the same function without the adapter. If adapters are on, the
    /// adapter is folded into the weight, in the number type of the adapter. The tensors are
    /// untracked.
    pub fn folded(&self, adapters: Adapters) -> (Tensor<2>, Option<Tensor<1>>) {
        let weight = self.weight.val().without_autodiff();
        let weight = match self.lora.as_ref().filter(|_| adapters == Adapters::On) {
            Some(lora) => {
                let delta = lora.delta().without_autodiff();
                in_type_of(&delta, weight) + delta
            }
            None => weight,
        };
        let bias = self.bias.as_ref().map(|bias| bias.val().without_autodiff());
        (weight, bias)
    }

    /// Returns the same function without an adapter: the adapter is folded into the weight, and
    /// [`learned`](Self::learned) remembers it.
    #[must_use]
    pub fn merged(self) -> Self {
        let Some(lora) = self.lora else { return self };
        let delta = lora.delta();
        let mut learned = self.learned;
        learned.push(LowRank {
            a: lora.a.val().without_autodiff(),
            b: lora.b.val().without_autodiff(),
            scale: lora.scale,
        });
        Self {
            weight: self.weight.map(|weight| {
                let trains = weight.is_require_grad();
                (in_type_of(&delta, weight) + delta)
                    .detach()
                    .set_require_grad(trains)
            }),
            bias: self.bias,
            lora: None,
            precision: self.precision,
            learned,
        }
    }
}

/// Returns a weight in the number type of `like`. Sums with an adapter's update would lose it in 16
/// bits.
fn in_type_of(like: &Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    match weight.dtype() == like.dtype() {
        true => weight,
        false => weight.cast(FloatDType::from(like.dtype())),
    }
}
