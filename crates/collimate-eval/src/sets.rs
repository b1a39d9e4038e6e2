//! Overlap of selected sets.

use std::collections::HashSet;
use std::hash::Hash;

/// Returns the Jaccard similarity of two selections: shared elements over all elements. Repeated
/// elements count once. Two empty selections are equal, so they give 1.
///
/// # Examples
/// ```
/// assert_eq!(collimate_eval::jaccard(&[1, 2, 3], &[2, 3, 4]), 0.5);
/// ```
pub fn jaccard<T: Eq + Hash>(a: &[T], b: &[T]) -> f64 {
    let a: HashSet<&T> = a.iter().collect();
    let b: HashSet<&T> = b.iter().collect();
    let union = a.union(&b).count();
    if union == 0 {
        return 1.0;
    }
    a.intersection(&b).count() as f64 / union as f64
}
