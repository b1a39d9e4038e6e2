//! Rules that keep some of the bootstrapped pairs.

use collimate_core::{Kept, Key, Purpose, Selection};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::top_k;

/// Rule by which some of the bootstrapped pairs are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeepRule {
    /// The pairs with the largest margins, as in the paper.
    #[default]
    Largest,
    /// The pairs whose margins are nearest to the median. The best and the worst response of a
    /// prompt are already extremes, so the largest margins are extremes of extremes.
    Middle,
    /// A random choice of the pairs.
    Random,
}

/// Keeps `k` of the pairs with these margins.
///
/// Among equal pairs the smaller index comes first. A margin that is not finite is left as
/// [`LeaveReason::NotFinite`](collimate_core::LeaveReason::NotFinite), the rest as
/// [`LeaveReason::OverLimit`](collimate_core::LeaveReason::OverLimit). The score of a kept pair is
/// the margin under every rule. `random` draws from the key's stream for [`Purpose::Split`]; the
/// other rules ignore the key.
///
/// # Numerics
/// The median of an even number of margins is the mean of the two in the middle. `largest` is
/// [`top_k`].
///
/// # Examples
/// ```
/// use collimate_core::Key;
/// use collimate_irm::{KeepRule, keep_k};
/// let kept = |rule| -> Vec<usize> {
///     let selection = keep_k(&[0.1, 5.0, 1.0, 1.4], 2, rule, Key::new(0, "own pairs"));
///     selection.kept.iter().map(|kept| kept.index).collect()
/// };
/// assert_eq!(kept(KeepRule::Largest), [1, 3]);
/// assert_eq!(kept(KeepRule::Middle), [2, 3]); // the median is 1.2
/// ```
pub fn keep_k(margins: &[f64], k: usize, rule: KeepRule, key: Key) -> Selection {
    let finite = |margin: f64, place: f64| if margin.is_finite() { place } else { f64::NAN };
    let places: Vec<f64> = match rule {
        KeepRule::Largest => return top_k(margins, k),
        KeepRule::Middle => {
            let median = median(margins);
            let places = margins.iter();
            places
                .map(|&margin| finite(margin, -(margin - median).abs()))
                .collect()
        }
        KeepRule::Random => {
            let mut rng = key.rng(Purpose::Split);
            let places = margins.iter();
            places.map(|&margin| finite(margin, rng.random())).collect()
        }
    };
    let Selection { mut kept, left } = top_k(&places, k);
    for Kept { index, score, .. } in &mut kept {
        *score = margins[*index];
    }
    Selection { kept, left }
}

/// Returns the median of the finite values, 0 if there are none.
fn median(values: &[f64]) -> f64 {
    let mut finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    finite.sort_unstable_by(f64::total_cmp);
    let n = finite.len();
    match n {
        0 => 0.0,
        _ => finite[(n - 1) / 2] / 2.0 + finite[n / 2] / 2.0,
    }
}
