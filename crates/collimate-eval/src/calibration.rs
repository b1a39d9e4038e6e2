//! Calibration of the preference probability σ(r_w − r_l).

use collimate_core::{OptionError, outcome};
use serde::{Deserialize, Serialize};

use crate::error::{EvalError, check_pairs};

/// Pairs whose confidence falls into one bin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Lower edge of the bin, inclusive.
    pub lower: f64,
    /// Upper edge of the bin, exclusive except in the last bin.
    pub upper: f64,
    /// Number of pairs in the bin.
    pub count: usize,
    /// Mean confidence of the pairs; 0 in an empty bin.
    pub confidence: f64,
    /// Accuracy of the pairs, with ties counting one half; 0 in an empty bin.
    pub accuracy: f64,
}

/// Reliability of a pairwise model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Bins of equal width over the confidences from ½ to 1.
    pub bins: Vec<ReliabilityBin>,
    /// Expected calibration error: Σ count/pairs · |accuracy − confidence|.
    pub ece: f64,
    /// Brier score: mean of (1 − σ(r_w − r_l))². A model without information has ¼.
    pub brier: f64,
    /// Mean of −ln σ(r_w − r_l), in nats.
    pub log_loss: f64,
}

/// Returns the calibration of the predicted preference probability q = σ(r_w − r_l) over pairs
/// (chosen, rejected). A calibrated model is right in 80 % of the pairs where its confidence is
/// 0.8.
///
/// ```text
/// confidence = max(q, 1 − q),  correct = [q > ½], ½ for a tie,  bin = ⌊(confidence − ½) · 2 · bins⌋
/// ```
///
/// The confidence is that of the answer that the model prefers. With q itself every pair would be a
/// success, because the chosen answer comes first.
///
/// # Errors
/// [`EvalError::OutOfRange`] without bins. [`EvalError::TooFew`] without pairs.
/// [`EvalError::NotFinite`] with the index of the pair.
///
/// # Examples
/// ```
/// // Four pairs at confidence ¾, three of them right: perfectly calibrated.
/// let x = 3.0_f32.ln();
/// let result = collimate_eval::calibration(&[(x, 0.0), (x, 0.0), (x, 0.0), (0.0, x)], 10)?;
/// assert!(result.ece < 1e-7);
/// # Ok::<(), collimate_eval::EvalError>(())
/// ```
pub fn calibration(pairs: &[(f32, f32)], bins: usize) -> Result<Calibration, EvalError> {
    OptionError::check("bins", bins, "at least 1", bins >= 1)?;
    check_pairs("calibration", pairs)?;
    let mut counts = vec![0_usize; bins];
    let mut sums = vec![(0.0, 0.0); bins];
    let (mut brier, mut log_loss) = (0.0, 0.0);
    for &(chosen, rejected) in pairs {
        let gap = f64::from(chosen) - f64::from(rejected);
        // σ(|gap|) is at least ½, and this exponential cannot overflow.
        let confidence = 1.0 / (1.0 + (-gap.abs()).exp());
        let correct = outcome(gap.partial_cmp(&0.0));
        let bin = (((confidence - 0.5) * 2.0 * bins as f64) as usize).min(bins - 1);
        counts[bin] += 1;
        sums[bin].0 += confidence;
        sums[bin].1 += correct;
        let doubt = (-gap.abs()).exp();
        let miss = if gap >= 0.0 {
            doubt / (1.0 + doubt)
        } else {
            confidence
        };
        brier += miss * miss;
        log_loss += doubt.ln_1p() + (-gap).max(0.0);
    }
    let n = pairs.len() as f64;
    let width = 0.5 / bins as f64;
    let bins: Vec<ReliabilityBin> = counts
        .iter()
        .zip(&sums)
        .enumerate()
        .map(|(index, (&count, &(confidence, accuracy)))| {
            let size = count.max(1) as f64;
            ReliabilityBin {
                lower: 0.5 + index as f64 * width,
                upper: 0.5 + (index + 1) as f64 * width,
                count,
                confidence: confidence / size,
                accuracy: accuracy / size,
            }
        })
        .collect();
    let ece = bins
        .iter()
        .map(|bin| bin.count as f64 / n * (bin.accuracy - bin.confidence).abs())
        .sum();
    Ok(Calibration {
        bins,
        ece,
        brier: brier / n,
        log_loss: log_loss / n,
    })
}
