//! Losses over single completions, each labelled as desirable or not.

use burn::tensor::{Tensor, TensorData};

use crate::LossError;
use crate::options::same_length;

/// Log-probabilities of single completions with their labels.
///
/// # Shapes
/// Tensors `[batch]`: log π(y|x) summed over the completion's tokens, in nats.
///
/// # Examples
/// ```
/// use burn::tensor::{Device, Tensor};
/// use collimate_losses::{Kto, UnpairedLogps, UnpairedLoss, kto_reference_point};
/// let list = |values: [f32; 2]| Tensor::<1>::from_data(values, &Device::flex());
/// // The same completions under other prompts say where the reference point lies.
/// let z = kto_reference_point(&[0.25, 0.25]);
/// let logps = UnpairedLogps::new(list([-12.0, -8.0]), list([-12.5, -7.0]), vec![true, true])
///     .with_shift(z);
/// let loss = Kto::default().forward(&logps)?.into_data().try_to_vec::<f32>().unwrap();
/// assert!((loss[0] - 0.493_750_3).abs() < 1e-6 && (loss[1] - 0.531_209_4).abs() < 1e-6);
/// # Ok::<(), collimate_losses::LossError>(())
/// ```
#[derive(Debug, Clone)]
pub struct UnpairedLogps {
    policy: Tensor<1>,
    reference: Tensor<1>,
    desirable: Vec<bool>,
    shift: f64,
}

impl UnpairedLogps {
    /// Takes one entry per completion. No gradient flows into the reference.
    pub fn new(policy_logps: Tensor<1>, reference_logps: Tensor<1>, desirable: Vec<bool>) -> Self {
        Self {
            policy: policy_logps,
            reference: reference_logps.detach(),
            desirable,
            shift: 0.0,
        }
    }

    /// Sets the number that rewards are compared with: z of [`Kto`](crate::Kto) in nats, δ of
    /// [`Bco`](crate::Bco) in rewards. The default is 0.
    #[must_use]
    pub fn with_shift(self, shift: f64) -> Self {
        Self { shift, ..self }
    }

    pub(crate) fn desirable(&self) -> &[bool] {
        &self.desirable
    }

    pub(crate) fn shift(&self) -> f64 {
        self.shift
    }

    pub(crate) fn log_ratios(&self, loss: &'static str) -> Result<Tensor<1>, LossError> {
        let batch = self.policy.dims()[0];
        same_length(loss, "reference_logps", self.reference.dims()[0], batch)?;
        same_length(loss, "desirable", self.desirable.len(), batch)?;
        Ok(self.policy.clone() - self.reference.clone())
    }
}

/// Kind of number that an unpaired loss compares rewards with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShiftNeed {
    /// The [`kto_reference_point`](crate::kto_reference_point) of completions under prompts of
    /// other completions.
    MismatchedLogRatio,
    /// The [`bco_shift`](crate::bco_shift) of the batch itself.
    RewardMean,
}

/// A loss over the log-probabilities of single, labelled completions.
pub trait UnpairedLoss: std::fmt::Debug + Send + Sync {
    /// Returns the name, as in configurations and messages.
    fn name(&self) -> &'static str;

    /// Checks every option against its range.
    ///
    /// # Errors
    /// Returns [`LossError::OutOfRange`].
    fn check(&self) -> Result<(), LossError>;

    /// Returns the kind of number that [`UnpairedLogps::with_shift`] needs, over the global batch.
    fn shift_need(&self) -> ShiftNeed;

    /// Returns β.
    fn beta(&self) -> f64;

    /// Computes the loss of each completion.
    ///
    /// # Shapes
    /// Returns `[batch]`, unreduced.
    ///
    /// # Errors
    /// Returns an error for an option out of range, or for arguments that differ in length.
    fn forward(&self, logps: &UnpairedLogps) -> Result<Tensor<1>, LossError>;

    /// Computes the implicit rewards β·(log π − log ρ), for metrics.
    ///
    /// # Shapes
    /// `[batch]`, detached.
    ///
    /// # Errors
    /// Returns the errors of [`UnpairedLoss::forward`].
    fn implicit_rewards(&self, logps: &UnpairedLogps) -> Result<Tensor<1>, LossError>;
}

/// Returns one number per completion, chosen by its label.
pub(crate) fn sides(desirable: &[bool], yes: f64, no: f64, like: &Tensor<1>) -> Tensor<1> {
    let values: Vec<f64> = desirable
        .iter()
        .map(|&side| if side { yes } else { no })
        .collect();
    let data = TensorData::new(values, [desirable.len()]).convert_dtype(like.dtype());
    Tensor::from_data(data, (&like.device(), like.dtype()))
}
