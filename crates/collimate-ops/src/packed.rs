//! Linear layers of a decoding step. Their weights are laid out once and read many times.

use burn::tensor::Tensor;

use crate::naive;

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
    /// Lays out the layers, given as pairs (weight, bias).
    ///
    /// # Shapes
    /// weight: `[out, in]`, with the same `in` for all; bias: `[out]`.
    pub fn new(layers: Vec<(Tensor<2>, Option<Tensor<1>>)>) -> Self {
        let layers = layers.into_iter().map(|(weight, bias)| {
            let (weight, bias) = (
                weight.without_autodiff(),
                bias.map(Tensor::without_autodiff),
            );
            #[cfg(feature = "flex")]
            if crate::fused::fits(&weight) && bias.as_ref().is_none_or(crate::fused::fits) {
                use crate::fused::{plain, slice};
                let shape = weight.dims();
                let panels = crate::kernels::panels::Panels::new(slice(&plain(weight)), shape);
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

#[cfg(feature = "flex")]
impl Layer {
    fn host(&self) -> Option<(&crate::kernels::panels::Panels, Option<&[f32]>)> {
        match self {
            Self::Host(panels, bias) => Some((panels, bias.as_deref())),
            Self::Device(_) => None,
        }
    }
}
