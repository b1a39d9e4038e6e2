//! Rules that keep some of the bootstrapped pairs.

use collimate_core::{Key, Selection};
use serde::{Deserialize, Serialize};

use crate::KeepPlan;

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

/// Keeps `k` of the pairs with these margins. [`KeepPlan`] makes the same selection from more
/// margins than memory holds.
///
/// Among equal pairs the smaller index comes first. A margin that is not finite is left as
/// [`LeaveReason::NotFinite`](collimate_core::LeaveReason::NotFinite), the rest as
/// [`LeaveReason::OverLimit`](collimate_core::LeaveReason::OverLimit). The score of a kept pair is
/// the margin under every rule. `random` draws from the key's stream for
/// [`Purpose::Split`](collimate_core::Purpose::Split); the other rules ignore the key.
///
/// # Numerics
/// The median of an even number of margins is the mean of the two in the middle. `largest` is
/// [`top_k`](crate::top_k).
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
    let Ok(plan) = KeepPlan::new(margins, k, rule, key);
    plan.select(margins)
}
