//! Precision of the products of linear layers.

use burn::tensor::{DType, Device, FloatDType, Tensor};
use collimate_core::OptionError;
use collimate_ops::{
    LowRankUpdate, adapted_linear, adapted_linear_bf16, dropped, is_fused, linear, linear_bf16,
};
use serde::{Deserialize, Serialize};

/// Number type of the inputs and weights in the products of linear layers. Parameters, the sums of
/// the residual stream, norms, attention, log-probabilities and losses are f32 in both cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// bf16: inputs, weights and gradients are rounded to about three digits before they are
    /// multiplied. On flex, sums and results are f32
    /// (`linear_bf16`); on other devices, results are rounded too.
    /// This saves time on processors and devices with a unit for bf16, such as AMX. On other
    /// processors it is as slow as f32.
    Bf16,
}

impl Precision {
    /// Checks that a device multiplies numbers of this type.
    ///
    /// # Errors
    /// The device does not multiply numbers of this type.
    pub fn check(self, device: &Device) -> Result<(), OptionError> {
        if self == Self::Bf16 && !device.supports_dtype(DType::BF16) {
            let allowed = "f32 on this device, which does not multiply bf16";
            return Err(OptionError::new("precision", "bf16", allowed));
        }
        Ok(())
    }

    /// Computes `x·Wᵀ + b` and adds a low-rank update. The result has the number type of `x`.
    pub(crate) fn adapted(
        self,
        x: Tensor<2>,
        weight: Tensor<2>,
        bias: Option<Tensor<1>>,
        update: LowRankUpdate,
    ) -> Tensor<2> {
        match self {
            Self::F32 => adapted_linear(x, weight, bias, update),
            Self::Bf16 if is_fused(&x) => adapted_linear_bf16(x, weight, bias, update),
            Self::Bf16 => {
                let LowRankUpdate { a, b, scale, mask } = update;
                let input = match &mask {
                    Some(mask) => dropped(x.clone(), mask),
                    None => x.clone(),
                };
                let low = self.linear(input, a, None).mul_scalar(scale);
                self.linear(x, weight, bias) + self.linear(low, b, None)
            }
        }
    }

    /// Computes `x·Wᵀ + b`. The result has the number type of `x`.
    pub(crate) fn linear(
        self,
        x: Tensor<2>,
        weight: Tensor<2>,
        bias: Option<Tensor<1>>,
    ) -> Tensor<2> {
        match self {
            Self::F32 => linear(x, weight, bias),
            Self::Bf16 if is_fused(&x) => linear_bf16(x, weight, bias),
            Self::Bf16 => {
                let dtype = FloatDType::from(x.dtype());
                let [x, weight] = [x, weight].map(|factor| factor.cast(FloatDType::BF16));
                let y = linear(x, weight, None).cast(dtype);
                match bias {
                    Some(bias) => y + bias.unsqueeze::<2>(),
                    None => y,
                }
            }
        }
    }
}
