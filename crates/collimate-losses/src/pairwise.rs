//! The pairwise losses of reward models.

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use crate::LossError;
use crate::options::{Range, check};

/// A loss over the rewards of a chosen and a rejected answer.
///
/// ```text
/// Logistic   −log σ(r_w − r_l − m) + c·(r_w + r_l)²
/// Hinge      max(0, m − (r_w − r_l))
/// ```
///
/// `Logistic` with m = 0 and c = 0 is the Bradley–Terry likelihood: the chosen answer wins with
/// probability σ(r_w − r_l). Equation 5 of the SER paper (<https://arxiv.org/abs/2411.00418>)
/// mentions a desired margin and fits both forms. The paper's released code is `Logistic` with
/// m = 0, the default here.
///
/// | field | default | range |
/// |---|---|---|
/// | `Logistic::margin` (m) | 0 | finite, at least 0 |
/// | `Logistic::center_coefficient` (c) | 0 | finite, at least 0 |
/// | `Hinge::margin` (m) | 1 | finite, at least 0 |
///
/// # Numerics
/// Finite in value and gradient for rewards up to ±1e4 and beyond; ln 2 at r_w − r_l = m (logistic,
/// c = 0). No logarithm is taken of a number that could underflow.
///
/// # Differs from
/// TRL's `RewardTrainer` takes `center_rewards_coefficient` and a per-example `margin` column. Here
/// they are [`PairwiseLoss::Logistic::center_coefficient`] and
/// [`PairwiseLoss::forward_with_margins`]. TRL returns the mean, this loss the value of each pair.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum PairwiseLoss {
    /// Logistic loss.
    Logistic {
        /// Margin by which the chosen reward must be larger before the loss falls below ln 2, at
        /// least 0.
        #[serde(default)]
        margin: f64,
        /// Weight of the squared sum of both rewards, at least 0. It keeps rewards centred at 0;
        /// the first term leaves their offset free.
        #[serde(default)]
        center_coefficient: f64,
    },
    /// Hinge loss.
    Hinge {
        /// Smallest difference of rewards with a loss of 0, at least 0.
        #[serde(default = "one")]
        margin: f64,
    },
}

impl PairwiseLoss {
    /// Returns the formula of the loss for one pair as text: w is the chosen answer, l the rejected
    /// answer, s the score, m the margin, c the weight of the centring term.
    ///
    /// # Examples
    /// ```
    /// use collimate_losses::PairwiseLoss;
    /// assert_eq!(PairwiseLoss::default().formula(), "−log σ(s(w) − s(l))");
    /// ```
    pub fn formula(&self) -> &'static str {
        match self {
            Self::Logistic {
                margin: 0.0,
                center_coefficient: 0.0,
            } => "−log σ(s(w) − s(l))",
            Self::Logistic { .. } => "−log σ(s(w) − s(l) − m) + c (s(w) + s(l))²",
            Self::Hinge { .. } => "max(0, m − (s(w) − s(l)))",
        }
    }
}

/// Further numbers of each pair of a batch, `[batch]` each. No gradient flows into them.
#[derive(Debug, Clone, Default)]
pub struct PairTerms {
    /// Margins, added to the fixed margin ([`PairwiseLoss::forward_with_margins`]).
    pub margins: Option<Tensor<1>>,
    /// Probabilities that the chosen answer is the better one
    /// ([`PairwiseLoss::forward_with_targets`]).
    pub targets: Option<Tensor<1>>,
}

fn one() -> f64 {
    1.0
}

impl Default for PairwiseLoss {
    fn default() -> Self {
        Self::Logistic {
            margin: 0.0,
            center_coefficient: 0.0,
        }
    }
}

impl PairwiseLoss {
    /// Checks every option against its range.
    ///
    /// # Errors
    /// [`LossError::OutOfRange`] with name and value.
    pub fn check(&self) -> Result<(), LossError> {
        let (loss, options) = match *self {
            Self::Logistic {
                margin,
                center_coefficient,
            } => (
                "logistic",
                [
                    ("margin", margin),
                    ("center_coefficient", center_coefficient),
                ],
            ),
            Self::Hinge { margin } => ("hinge", [("margin", margin); 2]),
        };
        let options = options.map(|(name, value)| (name, value, Range::NotNegative));
        check(loss, &options)
    }

    /// Computes the loss of each pair.
    ///
    /// # Shapes
    /// Both rewards `[batch]`, raw (before any sigmoid); returns `[batch]`, unreduced.
    ///
    /// # Gradient
    /// ```text
    /// Logistic   ∂/∂r_w = −σ(m − (r_w − r_l)) + 2c(r_w + r_l),  ∂/∂r_l = σ(…) + 2c(r_w + r_l)
    /// Hinge      ∂/∂r_w = −1, ∂/∂r_l = 1 where r_w − r_l < m, else 0
    /// ```
    ///
    /// # Errors
    /// Returns [`LossError::OutOfRange`] as [`PairwiseLoss::check`], and [`LossError::Length`] if
    /// the rewards differ in length.
    ///
    /// # Examples
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use collimate_losses::PairwiseLoss;
    /// let rewards = |values: [f32; 2]| Tensor::<1>::from_data(values, &Device::flex());
    /// let loss = PairwiseLoss::default().forward(rewards([1.2, 0.3]), rewards([0.4, 0.9]))?;
    /// let loss = loss.into_data().try_to_vec::<f32>().unwrap();
    /// assert!((loss[0] - 0.371_100_7).abs() < 1e-6 && (loss[1] - 1.037_488).abs() < 1e-6);
    /// # Ok::<(), collimate_losses::LossError>(())
    /// ```
    pub fn forward(
        &self,
        chosen_rewards: Tensor<1>,
        rejected_rewards: Tensor<1>,
    ) -> Result<Tensor<1>, LossError> {
        self.forward_with(chosen_rewards, rejected_rewards, PairTerms::default())
    }

    /// Computes the loss of each pair with a margin for each pair, added to the fixed margin. A
    /// pair's margin can tell, for example, how much better an annotator found the chosen answer.
    ///
    /// # Shapes
    /// `margins` `[batch]`, otherwise as [`PairwiseLoss::forward`]. No gradient flows into the margins.
    ///
    /// # Errors
    /// Returns the errors of [`PairwiseLoss::forward`].
    pub fn forward_with_margins(
        &self,
        chosen_rewards: Tensor<1>,
        rejected_rewards: Tensor<1>,
        margins: Tensor<1>,
    ) -> Result<Tensor<1>, LossError> {
        let margins = Some(margins);
        let extra = PairTerms {
            margins,
            ..PairTerms::default()
        };
        self.forward_with(chosen_rewards, rejected_rewards, extra)
    }

    /// Computes the loss of each pair whose label is a probability: a self-label, or the share of
    /// annotators who chose the first answer.
    ///
    /// ```text
    /// t·ℓ(r_w, r_l) + (1 − t)·ℓ(r_l, r_w)
    /// ```
    ///
    /// ℓ is the loss with a hard label. With `Logistic`, m = 0 and c = 0 this is the cross-entropy
    /// between t and σ(r_w − r_l). The minimum over the gap lies at r_w − r_l = ln(t / (1 − t)).
    ///
    /// # Shapes
    /// `targets` `[batch]`, the probability in \[0, 1\] that the chosen answer is the better one;
    /// otherwise as [`PairwiseLoss::forward`]. No gradient flows into the targets.
    ///
    /// # Numerics
    /// At t = 1 it has the value of [`PairwiseLoss::forward`], at t = 0 the value with both answers
    /// exchanged.
    ///
    /// # Errors
    /// Returns the errors of [`PairwiseLoss::forward`].
    ///
    /// # Examples
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use collimate_losses::PairwiseLoss;
    /// let tensor = |values: [f32; 1]| Tensor::<1>::from_data(values, &Device::flex());
    /// let loss = PairwiseLoss::default().forward_with_targets(tensor([1.2]), tensor([0.4]), tensor([0.75]))?;
    /// // 0.75 · 0.3711006659 + 0.25 · 1.1711006659
    /// assert!((loss.into_scalar::<f32>() - 0.571_100_7).abs() < 1e-6);
    /// # Ok::<(), collimate_losses::LossError>(())
    /// ```
    pub fn forward_with_targets(
        &self,
        chosen_rewards: Tensor<1>,
        rejected_rewards: Tensor<1>,
        targets: Tensor<1>,
    ) -> Result<Tensor<1>, LossError> {
        let targets = Some(targets);
        let extra = PairTerms {
            targets,
            ..PairTerms::default()
        };
        self.forward_with(chosen_rewards, rejected_rewards, extra)
    }

    /// Computes the loss of each pair with margins, probabilities as labels, both or neither.
    ///
    /// With both, the margin applies to both orders of the answers: t·ℓ(r_w, r_l, m) + (1 − t)·ℓ(r_l, r_w, m).
    ///
    /// # Shapes
    /// As [`PairwiseLoss::forward`].
    ///
    /// # Errors
    /// Returns the errors of [`PairwiseLoss::forward`].
    pub fn forward_with(
        &self,
        chosen: Tensor<1>,
        rejected: Tensor<1>,
        extra: PairTerms,
    ) -> Result<Tensor<1>, LossError> {
        self.check()?;
        let loss = "pairwise loss";
        let [batch] = chosen.dims();
        let [given] = rejected.dims();
        if given != batch {
            let name = "rejected_rewards";
            return Err(LossError::Length {
                loss,
                name,
                given,
                batch,
            });
        }
        for (name, given) in [("margins", &extra.margins), ("targets", &extra.targets)] {
            let given = given.as_ref().map_or(batch, |tensor| tensor.dims()[0]);
            if given != batch {
                return Err(LossError::Length {
                    loss,
                    name,
                    given,
                    batch,
                });
            }
        }
        let gap = chosen.clone() - rejected.clone();
        let dtype = gap.dtype();
        let margins = extra.margins.map(|margins| margins.detach().cast(dtype));
        let hard = |mut gap: Tensor<1>| {
            if let Some(margins) = &margins {
                gap = gap - margins.clone();
            }
            match *self {
                Self::Logistic { margin, .. } => {
                    activation::log_sigmoid(gap.sub_scalar(margin)).neg()
                }
                Self::Hinge { margin } => activation::relu(gap.neg().add_scalar(margin)),
            }
        };
        let value = match extra.targets {
            None => hard(gap),
            Some(targets) => {
                let targets = targets.detach().cast(dtype);
                let other = targets.clone().neg().add_scalar(1.0);
                hard(gap.clone()) * targets + hard(gap.neg()) * other
            }
        };
        Ok(match *self {
            Self::Logistic {
                center_coefficient, ..
            } if center_coefficient != 0.0 => {
                let total = chosen + rejected;
                value + (total.clone() * total).mul_scalar(center_coefficient)
            }
            _ => value,
        })
    }
}
