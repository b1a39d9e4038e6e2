//! Calibration: a map from the score gap of a pair to a probability.

use collimate_core::OptionError;
use serde::{Deserialize, Serialize};

use crate::StatusError;

/// A map from the score gap of a pair to the probability that the first answer is better.
///
/// ```text
/// P(first is better) = σ(a · (r₁ − r₂))
/// ```
///
/// The single number `a` is fitted on pairs that the model has not learnt from. There is no offset,
/// because the order of the two answers means nothing. Reward models are over-confident on new
/// pairs, so `a` is mostly below 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairCalibration {
    /// Slope a, at least 0; at 0 every pair has probability ½.
    pub slope: f64,
}

/// Number of bisections of the slope: enough to narrow the interval to the last digit of an f64.
const BISECTIONS: usize = 200;

impl PairCalibration {
    /// Fits the slope to gaps r(chosen) − r(rejected) of labelled pairs. The gaps come from models
    /// that have not learnt from these pairs. The fit is maximum a posteriori. With m the mean size
    /// of the gaps, the weak prior is a·m ~ N(1, 1), a ≥ 0:
    ///
    /// ```text
    /// a = argmin Σ ln(1 + exp(−a·gapᵢ)) + (a·m − 1)²/2,    m = mean |gapᵢ|
    /// ```
    ///
    /// The probabilities do not depend on the scale of the scores: gaps that are ten times as large
    /// have a tenth of the slope. If all gaps are 0, or if there are none, the slope is 0.
    ///
    /// # Errors
    /// [`StatusError::PairNotFinite`] with the first gap that is not finite.
    ///
    /// # Examples
    /// ```
    /// use collimate_status::PairCalibration;
    /// // Gaps of 4 whose sign is right in three of four cases: the pairs are worth much less than σ(4).
    /// let gaps: Vec<f64> = (0..400).map(|i| if i % 4 == 0 { -4.0 } else { 4.0 }).collect();
    /// let calibration = PairCalibration::fit(&gaps)?;
    /// assert!((calibration.probability(4.0) - 0.75).abs() < 0.005);
    /// # Ok::<(), collimate_status::StatusError>(())
    /// ```
    pub fn fit(gaps: &[f64]) -> Result<Self, StatusError> {
        Self::fit_to(gaps, None)
    }

    /// Fits the slope of one model to the probabilities that another model gives the same pairs.
    /// `gaps` are r₁ − r₂; `targets` are probabilities that the first answer is better.
    ///
    /// # Errors
    /// Returns the errors of [`fit`](Self::fit), [`StatusError::Length`], and an error for a target
    /// outside [0, 1].
    pub fn fit_targets(gaps: &[f64], targets: &[f64]) -> Result<Self, StatusError> {
        if gaps.len() != targets.len() {
            return Err(StatusError::Length {
                what: "targets",
                given: targets.len(),
                wanted: gaps.len(),
            });
        }
        if let Some(index) = targets.iter().position(|t| !(0.0..=1.0).contains(t)) {
            let (path, value) = (format!("the target of pair {index}"), targets[index]);
            return Err(OptionError::new(&path, value, "a probability, from 0 to 1").into());
        }
        Self::fit_to(gaps, Some(targets))
    }

    fn fit_to(gaps: &[f64], targets: Option<&[f64]>) -> Result<Self, StatusError> {
        if let Some(index) = gaps.iter().position(|gap| !gap.is_finite()) {
            let (what, value) = ("the score gap", gaps[index]);
            return Err(StatusError::PairNotFinite { what, index, value });
        }
        let scale = gaps.iter().map(|gap| gap.abs()).sum::<f64>() / gaps.len().max(1) as f64;
        if scale == 0.0 {
            return Ok(Self { slope: 0.0 });
        }
        // The derivative by b = a·m grows with b, so bisection finds its only root.
        let derivative = |b: f64| {
            let pairs = gaps.iter().enumerate();
            let pull: f64 = pairs
                .map(|(index, &gap)| {
                    let target = targets.map_or(1.0, |targets| targets[index]);
                    let gap = gap / scale;
                    gap * (sigmoid(b * gap) - target)
                })
                .sum();
            pull + b - 1.0
        };
        if derivative(0.0) >= 0.0 {
            return Ok(Self { slope: 0.0 });
        }
        let (mut low, mut high) = (0.0, 1.0);
        while derivative(high) < 0.0 && high < f64::MAX / 4.0 {
            high *= 2.0;
        }
        for _ in 0..BISECTIONS {
            let middle = 0.5 * (low + high);
            if derivative(middle) < 0.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(Self {
            slope: 0.5 * (low + high) / scale,
        })
    }

    /// Returns the probability that the first answer is better, from the gap r₁ − r₂.
    pub fn probability(&self, gap: f64) -> f64 {
        sigmoid(self.slope * gap)
    }

    /// Returns −ln of the probability of the true label, in nats, from the gap r(better) − r(worse).
    pub fn log_loss(&self, gap: f64) -> f64 {
        let x = self.slope * gap;
        (-x.abs()).exp().ln_1p() + (-x).max(0.0)
    }
}

/// Computes σ(x); finite for every x, NaN for NaN.
pub(crate) fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}
