//! The step from hidden states to logits.

use burn::tensor::{Int, Tensor};

/// The last step of a language model.
///
/// ```text
/// y = h·Wᵀ / divisor
/// logits = y                        without a cap
/// logits = c · tanh(y / c)          with a cap of c
/// ```
#[derive(Debug, Clone)]
pub struct OutputHead {
    /// Output matrix, `[vocab, hidden_size]`.
    pub weight: Tensor<2>,
    /// Divisor of the products; 1 leaves them unchanged.
    pub divisor: f64,
    /// Bound c of the logits; `None` for no bound.
    pub softcap: Option<f64>,
}

impl OutputHead {
    /// Returns the head whose logits are the present logits divided by `temperature`.
    ///
    /// ```text
    /// (c / T) · tanh((y / T) / (c / T)) = c · tanh(y / c) / T
    /// ```
    #[must_use]
    pub fn at_temperature(self, temperature: f64) -> Self {
        Self {
            weight: self.weight,
            divisor: self.divisor * temperature,
            softcap: self.softcap.map(|cap| cap / temperature),
        }
    }

    /// Computes the logits of the given rows.
    ///
    /// # Shapes
    /// `hidden: [rows, hidden_size]`; result `[rows, vocab]`.
    ///
    /// # Examples
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use collimate_nn::OutputHead;
    ///
    /// let device = Device::flex();
    /// let weight = Tensor::from_floats([[1000.0], [-1000.0], [0.0]], &device);
    /// let head = OutputHead { weight, divisor: 1.0, softcap: Some(30.0) };
    /// let logits = head.at_temperature(2.0).logits(Tensor::from_floats([[1.0]], &device));
    /// assert_eq!(logits.into_data().to_vec::<f32>().unwrap(), [15.0, -15.0, 0.0]);
    /// ```
    pub fn logits(self, hidden: Tensor<2>) -> Tensor<2> {
        let hidden = self.divided(hidden);
        let logits = collimate_ops::linear(hidden, self.weight, None);
        match self.softcap {
            Some(cap) => logits.div_scalar(cap).tanh().mul_scalar(cap),
            None => logits,
        }
    }

    /// Applies [`collimate_ops::selected_logp_capped`] with this head.
    pub(crate) fn selected_logp(self, hidden: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let hidden = self.divided(hidden);
        collimate_ops::selected_logp_capped(hidden, self.weight, targets, self.softcap)
    }

    /// Applies [`collimate_ops::selected_logp_entropy_capped`] with this head.
    pub(crate) fn selected_logp_entropy(
        self,
        hidden: Tensor<2>,
        targets: Tensor<1, Int>,
    ) -> (Tensor<1>, Tensor<1>) {
        let hidden = self.divided(hidden);
        collimate_ops::selected_logp_entropy_capped(hidden, self.weight, targets, self.softcap)
    }

    /// Divides the hidden states, which is enough: logits are linear in them until they are
    /// bounded.
    fn divided(&self, hidden: Tensor<2>) -> Tensor<2> {
        match self.divisor == 1.0 {
            true => hidden,
            false => hidden.div_scalar(self.divisor),
        }
    }
}
