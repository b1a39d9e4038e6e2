//! Label noise with an exact share of exchanged labels.

use collimate_core::{Key, PreferencePair, Purpose};

use crate::content::keyed_order;
use crate::error::DataError;

/// Exchanges chosen and rejected in `round(share · n)` pairs, drawn without replacement.
///
/// The draw depends on the key and on the content of the pairs, not on their place in the file.
/// Returns the indices of the exchanged pairs in ascending order.
///
/// # Errors
/// [`DataError::Argument`] for a share outside `[0, 1]`.
///
/// # Examples
/// ```
/// use collimate_core::{Key, PreferencePair};
/// let mut pairs: Vec<_> = (0..10).map(|i| PreferencePair::new(format!("q{i}"), "a", "b")).collect();
/// let hit = collimate_data::swap_labels(&mut pairs, 0.2, Key::new(1, "noise"))?;
/// assert_eq!(hit.len(), 2);
/// assert!(hit.iter().all(|&i| pairs[i].chosen.text == "b"));
/// # Ok::<(), collimate_data::DataError>(())
/// ```
pub fn swap_labels(
    pairs: &mut [PreferencePair],
    share: f64,
    key: Key,
) -> Result<Vec<usize>, DataError> {
    if !(0.0..=1.0).contains(&share) {
        return Err(DataError::argument(
            "share",
            share,
            "the share of swapped labels must be in [0, 1]",
        ));
    }
    let count = (share * pairs.len() as f64).round() as usize;
    let mut hit = keyed_order(pairs, key, Purpose::Noise);
    hit.truncate(count);
    hit.sort_unstable();
    for &index in &hit {
        let pair = &mut pairs[index];
        std::mem::swap(&mut pair.chosen, &mut pair.rejected);
        pair.score_gap = pair.score_gap.map(|gap| -gap);
    }
    Ok(hit)
}
