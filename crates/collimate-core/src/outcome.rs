//! Wins, ties and losses as numbers.

use std::cmp::Ordering;

/// Converts a comparison into a number: 1 for a win, ½ for a tie, 0 for a loss. A comparison
/// without an order, because one number is NaN, counts as a loss.
///
/// The mean over pairs is an accuracy or a win rate in which a tie counts one half.
///
/// # Examples
/// ```
/// use collimate_core::outcome;
/// let (chosen, rejected) = (1.5_f64, 0.5);
/// assert_eq!(outcome(chosen.partial_cmp(&rejected)), 1.0);
/// assert_eq!(outcome(rejected.partial_cmp(&rejected)), 0.5);
/// assert_eq!(outcome(rejected.total_cmp(&chosen)), 0.0);
/// assert_eq!(outcome(f64::NAN.partial_cmp(&rejected)), 0.0);
/// ```
pub fn outcome(order: impl Into<Option<Ordering>>) -> f64 {
    match order.into() {
        Some(Ordering::Greater) => 1.0,
        Some(Ordering::Equal) => 0.5,
        Some(Ordering::Less) | None => 0.0,
    }
}
