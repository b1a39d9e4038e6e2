//! Linear layers of a decoding step. Their weights are laid out once and read many times.

#[cfg(feature = "flex")]
use burn::tensor::DType;
use burn::tensor::Tensor;

use crate::naive;

/// Number type of the copies of weights that [`PackedLinear`] makes on flex. Results are f32 for
/// every type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PackedType {
    /// 32-bit floats: the weights as they are.
    #[default]
    F32,
    /// bf16: half of the memory, and 8 bits of precision. Weights of bf16 stay as they are.
    Bf16,
    /// 8 bits: a quarter of the memory. A weight is a multiple of a 127th of the largest weight of
    /// its output, and an input is a multiple of a 16383rd of the largest input of its row. The
    /// multiples are multiplied and summed as whole numbers, up to 1024 at a time. A row with an
    /// input that is not finite gives NaN.
    Int8,
}

/// Linear layers that read the same input, laid out for passes of few rows.
///
/// On flex, the weights are copied in the order in which a product reads them. Elsewhere they stay
/// unchanged.
///
/// # Examples
/// ```
/// use burn::tensor::{Device, Tensor};
/// use collimate_ops::PackedLinear;
///
/// let device = Device::flex();
/// let weight = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], &device);
/// let packed = PackedLinear::new(vec![(weight, None)]);
/// let [y] = packed.forward(Tensor::from_floats([[1.0, 1.0]], &device));
/// assert_eq!(y.into_data().to_vec::<f32>().unwrap(), [3.0, 7.0, 11.0]);
/// ```
#[derive(Debug)]
pub struct PackedLinear {
    layers: Vec<Layer>,
}

#[derive(Debug)]
enum Layer {
    Device(Box<(Tensor<2>, Option<Tensor<1>>)>),
    #[cfg(feature = "flex")]
    Host(crate::kernels::panels::Panels, Option<Vec<f32>>),
}

impl PackedLinear {
    /// Lays out the layers, given as pairs (weight, bias), without rounding: a weight of bf16 stays
    /// bf16, and a weight of f32 or f16 becomes f32.
    ///
    /// # Shapes
    /// weight: `[out, in]`, with the same `in` for all; bias: `[out]`.
    pub fn new(layers: Vec<(Tensor<2>, Option<Tensor<1>>)>) -> Self {
        Self::lay_out(layers, None)
    }

    /// Lays out the layers with weights of a number type. Devices other than flex keep the weights
    /// unchanged.
    ///
    /// # Shapes
    /// As [`Self::new`].
    pub fn with_type(layers: Vec<(Tensor<2>, Option<Tensor<1>>)>, packed: PackedType) -> Self {
        Self::lay_out(layers, Some(packed))
    }

    #[cfg_attr(not(feature = "flex"), expect(unused_variables))]
    fn lay_out(layers: Vec<(Tensor<2>, Option<Tensor<1>>)>, packed: Option<PackedType>) -> Self {
        let layers = layers.into_iter().map(|(weight, bias)| {
            let (weight, bias) = (
                weight.without_autodiff(),
                bias.map(Tensor::without_autodiff),
            );
            #[cfg(feature = "flex")]
            if let Some(panels) = panels(&weight, packed)
                && bias.as_ref().is_none_or(crate::fused::fits)
            {
                use crate::fused::{plain, slice};
                return Layer::Host(panels, bias.map(|bias| slice(&plain(bias)).to_vec()));
            }
            Layer::Device(Box::new((weight, bias)))
        });
        Self {
            layers: layers.collect(),
        }
    }

    /// Computes `x·Wᵀ + b` for each layer, in their order.
    ///
    /// # Shapes
    /// `x`: `[rows, in]`; results `[rows, out]`.
    ///
    /// # Gradient
    /// None: the results are untracked.
    ///
    /// # Numerics
    /// On flex, a row's result does not depend on the other rows, bit for bit.
    ///
    /// # Panics
    /// Panics if `N` is not the number of layers, or if the shapes do not fit.
    pub fn forward<const N: usize>(&self, x: Tensor<2>) -> [Tensor<2>; N] {
        assert_eq!(
            self.layers.len(),
            N,
            "PackedLinear::forward: results asked for"
        );
        let x = x.without_autodiff();
        #[cfg(feature = "flex")]
        if crate::fused::fits(&x) {
            use crate::fused::{made_tensor, plain, slice};
            let host: Option<Vec<_>> = self.layers.iter().map(Layer::host).collect();
            if let Some(parts) = host {
                let [rows, _] = x.dims();
                let x = plain(x);
                let mut results = crate::kernels::panels::products(slice(&x), rows, &parts)
                    .into_iter()
                    .zip(&parts)
                    .map(|(y, (panels, _))| made_tensor(y, [rows, panels.output()]));
                return std::array::from_fn(|_| results.next().expect("a result per layer"));
            }
        }
        std::array::from_fn(|index| match &self.layers[index] {
            Layer::Device(layer) => {
                let (weight, bias) = layer.as_ref().clone();
                naive::linear(x.clone(), weight, bias)
            }
            #[cfg(feature = "flex")]
            Layer::Host(..) => {
                panic!("PackedLinear::forward: x is empty, or of another device than the weights")
            }
        })
    }
}

/// Lays out a weight, or returns `None` if it does not lie on flex.
#[cfg(feature = "flex")]
fn panels(
    weight: &Tensor<2>,
    packed: Option<PackedType>,
) -> Option<crate::kernels::panels::Panels> {
    use crate::fused::{fits, frozen_half, plain, slice};
    use crate::kernels::half::Weight;
    use crate::kernels::panels::Panels;
    let shape = weight.dims();
    if fits(weight) {
        let weight = plain(weight.clone());
        let packed = packed.unwrap_or_default();
        return Some(Panels::new(Weight::F32(slice(&weight)), shape, packed));
    }
    let exact = match weight.dtype() == DType::BF16 {
        true => PackedType::Bf16,
        false => PackedType::F32,
    };
    let matrix = frozen_half(weight)?;
    let packed = packed.unwrap_or(exact);
    Some(Panels::new(Weight::Half(&matrix), shape, packed))
}

#[cfg(feature = "flex")]
impl Layer {
    fn host(&self) -> Option<(&crate::kernels::panels::Panels, Option<&[f32]>)> {
        match self {
            Self::Host(panels, bias) => Some((panels, bias.as_deref())),
            Self::Device(_) => None,
        }
    }
}
