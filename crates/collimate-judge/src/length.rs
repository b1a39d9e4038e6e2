//! Win rate at equal length.

use collimate_core::{OptionError, Range};
use serde::{Deserialize, Serialize};

use crate::error::JudgeError;

/// Removes the effect of answer length from a win rate, following AlpacaEval 2
/// ([arXiv:2404.04475](https://arxiv.org/abs/2404.04475)). Judges tend to prefer longer answers, so
/// a model can win by length alone.
///
/// ```text
/// P(a wins) = σ(θ + φ · tanh(Δ / sd)),   Δ = length of a − length of b,  sd over the duels (n − 1)
/// minimise  Σ [ln(1 + e^z) − y·z] + ridge/2 · (θ² + φ²),   y = 1, ½, 0 for win, tie, loss
/// win rate at Δ = 0:  σ(θ)
/// ```
///
/// The minimum is found by Newton's method with step halving. The ridge makes the minimum unique
/// and finite even if one side wins everything.
///
/// | field | default | range |
/// |---|---|---|
/// | `ridge` | 0.01 | [1e-6, 1e3] |
///
/// # Differs from
/// AlpacaEval 2 in three points. There is no term for the difficulty of each instruction, because
/// it needs the results of many models on one fixed set. There are no weighted outcomes of models
/// that exploit length. The penalty is a fixed ridge instead of an L1 penalty chosen by
/// cross-validation. The numbers are therefore not comparable with the leaderboard.
///
/// # Examples
/// ```
/// use collimate_judge::LengthControl;
/// // The longer answer wins three times in four, whosever it is.
/// let duels = [(1.0, 80.0), (1.0, 90.0), (1.0, 70.0), (0.0, 60.0), (0.0, -80.0), (1.0, -90.0)];
/// let fit = LengthControl::default().fit(&duels)?;
/// assert!(fit.raw > 0.66 && fit.win_rate < fit.raw && fit.length_weight > 0.0);
/// # Ok::<(), collimate_judge::JudgeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LengthControl {
    /// Penalty on the squares of both coefficients, in units of the log-loss of one duel.
    pub ridge: f64,
}

impl Default for LengthControl {
    fn default() -> Self {
        Self { ridge: 0.01 }
    }
}

/// A win rate without the effect of length.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LengthControlled {
    /// σ(θ): the win rate of `a` between answers of equal length.
    pub win_rate: f64,
    /// The mean outcome without correction.
    pub raw: f64,
    /// θ, in nats.
    pub intercept: f64,
    /// φ, in nats. Positive if longer answers win more often.
    pub length_weight: f64,
    /// Standard deviation of the length differences, in characters.
    pub sd: f64,
    /// Number of duels.
    pub duels: usize,
}

impl LengthControl {
    /// Fits the model to duels, each given as (outcome 1, ½ or 0; length of a − length of b).
    ///
    /// If all differences are 0, length has no effect and the slope is 0.
    ///
    /// # Errors
    /// [`JudgeError::Option`] for an invalid ridge, for an outcome outside [0, 1], or for a length
    /// that is not finite. [`JudgeError::NoItems`] without duels. [`JudgeError::ConstantLength`] if
    /// all differences are the same and not 0.
    pub fn fit(&self, duels: &[(f64, f64)]) -> Result<LengthControlled, JudgeError> {
        let ridge = self.ridge;
        let holds = (1e-6..=1e3).contains(&ridge);
        OptionError::check("ridge", ridge, "in [1e-6, 1e3]", holds)?;
        for &(outcome, difference) in duels {
            Range::Share.check("outcome", outcome)?;
            Range::Finite.check("length difference", difference)?;
        }
        let Some(&(_, first)) = duels.first() else {
            return Err(JudgeError::NoItems);
        };
        if first != 0.0 && duels.iter().all(|&(_, difference)| difference == first) {
            return Err(JudgeError::ConstantLength { difference: first });
        }
        let sd = standard_deviation(duels);
        let feature = |difference: f64| {
            if sd > 0.0 {
                (difference / sd).tanh()
            } else {
                0.0
            }
        };
        let points: Vec<(f64, f64)> = duels
            .iter()
            .map(|&(outcome, difference)| (outcome, feature(difference)))
            .collect();
        let [intercept, length_weight] = minimum(&points, ridge);
        Ok(LengthControlled {
            win_rate: sigmoid(intercept),
            raw: duels.iter().map(|duel| duel.0).sum::<f64>() / duels.len() as f64,
            intercept,
            length_weight,
            sd,
            duels: duels.len(),
        })
    }
}

fn standard_deviation(duels: &[(f64, f64)]) -> f64 {
    if duels.len() < 2 {
        return 0.0;
    }
    let n = duels.len() as f64;
    let mean = duels.iter().map(|duel| duel.1).sum::<f64>() / n;
    let squares: f64 = duels.iter().map(|duel| (duel.1 - mean).powi(2)).sum();
    (squares / (n - 1.0)).sqrt()
}

/// Minimises a strictly convex function of two variables by Newton's method.
fn minimum(points: &[(f64, f64)], ridge: f64) -> [f64; 2] {
    let mut at = [0.0, 0.0];
    let mut value = objective(points, ridge, at);
    for _ in 0..200 {
        let [step_0, step_1] = newton_step(points, ridge, at);
        let mut scale = 1.0;
        let (next, next_value) = loop {
            let next = [at[0] - scale * step_0, at[1] - scale * step_1];
            let next_value = objective(points, ridge, next);
            // Near the minimum, rounding keeps the value from falling further.
            if next_value <= value + 1e-12 * value.abs() || scale < 1e-9 {
                break (next, next_value);
            }
            scale /= 2.0;
        };
        let moved = (next[0] - at[0]).abs().max((next[1] - at[1]).abs());
        (at, value) = (next, next_value);
        if moved <= 1e-14 * (1.0 + at[0].abs() + at[1].abs()) {
            break;
        }
    }
    at
}

fn objective(points: &[(f64, f64)], ridge: f64, [theta, phi]: [f64; 2]) -> f64 {
    let loss: f64 = points
        .iter()
        .map(|&(y, x)| {
            let z = theta + phi * x;
            z.max(0.0) + (-z.abs()).exp().ln_1p() - y * z
        })
        .sum();
    loss + ridge / 2.0 * (theta * theta + phi * phi)
}

/// Returns the inverse of the Hessian times the gradient.
fn newton_step(points: &[(f64, f64)], ridge: f64, [theta, phi]: [f64; 2]) -> [f64; 2] {
    let (mut g0, mut g1) = (ridge * theta, ridge * phi);
    let (mut h00, mut h01, mut h11) = (ridge, 0.0, ridge);
    for &(y, x) in points {
        let p = sigmoid(theta + phi * x);
        let weight = p * (1.0 - p);
        g0 += p - y;
        g1 += (p - y) * x;
        h00 += weight;
        h01 += weight * x;
        h11 += weight * x * x;
    }
    let determinant = h00 * h11 - h01 * h01;
    [
        (h11 * g0 - h01 * g1) / determinant,
        (h00 * g1 - h01 * g0) / determinant,
    ]
}

fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        z.exp() / (1.0 + z.exp())
    }
}
