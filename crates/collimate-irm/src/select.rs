//! Selection of the pairs with the largest scores.

use collimate_core::{Kept, Key, LeaveReason, Left, Purpose, Selection, TopCut};
use rand::RngExt;

use crate::{KeepRule, keep_k};

/// Keeps the `k` largest scores; of equal scores the smaller index comes first.
///
/// With margins as scores this is the selection of <https://arxiv.org/abs/2410.09362> (section
/// 3.2), for offline and for bootstrapped pairs. The baselines apply the same function to other
/// numbers: the score gap of an external scorer, or the reference model's log-probability.
/// [`KeepPlan`](crate::KeepPlan) makes the same selection from more scores than memory holds.
///
/// A score that is not finite is left as [`LeaveReason::NotFinite`], the rest as
/// [`LeaveReason::OverLimit`]. If there are fewer than `k` finite scores, all are kept. No pair is
/// swapped: a pair with a negative margin is left behind better ones, never relabelled.
///
/// # Numerics
/// −0 and 0 are equal. Time is O(n), and memory beside the result is constant. The result does not
/// depend on the number of threads.
///
/// # Examples
/// ```
/// use collimate_irm::top_k;
/// let selection = top_k(&[0.5, 2.0, f64::NAN, 0.5], 2);
/// let kept: Vec<usize> = selection.kept.iter().map(|kept| kept.index).collect();
/// assert_eq!(kept, [0, 1]);
/// ```
pub fn top_k(scores: &[f64], k: usize) -> Selection {
    keep_k(scores, k, KeepRule::Largest, Key::new(0, "largest"))
}

/// Keeps `k` of `n` indices at random: the control for a selection by score.
///
/// The score of a kept index is its draw in [0, 1): the i-th number of the key's stream for
/// [`Purpose::Split`]. The indices kept for a smaller `k` are therefore among those for a larger `k`.
///
/// # Examples
/// ```
/// use collimate_core::Key;
/// use collimate_irm::random_k;
/// let selection = random_k(10, 7, Key::new(1, "sera2"));
/// assert_eq!((selection.kept.len(), selection.left.len()), (7, 3));
/// ```
pub fn random_k(n: usize, k: usize, key: Key) -> Selection {
    let mut rng = key.rng(Purpose::Split);
    let draws: Vec<f64> = (0..n).map(|_| rng.random()).collect();
    top_k(&draws, k)
}

/// Makes the selection of a cut. `place` gives the numbers that the cut was made from.
pub(crate) fn select(
    margins: &[f64],
    cut: TopCut,
    place: impl FnMut(f64) -> f64 + Clone + Send,
) -> Selection {
    let places = || {
        let mut place = place.clone();
        let all = margins.iter().enumerate();
        all.map(move |(index, &margin)| (index, margin, place(margin)))
    };
    let (mut keep, mut leave) = (cut, cut);
    let (to_keep, to_leave) = (places(), places());
    let (kept, left) = rayon::join(
        || {
            let kept = to_keep.map(|(index, score, place)| {
                let swapped = false;
                let kept = Kept {
                    index,
                    swapped,
                    score,
                };
                (keep.keeps(place), kept)
            });
            compact(cut.count(), kept)
        },
        || {
            let left = to_leave.map(|(index, _, place)| {
                let reason = reason_to_leave(place);
                (!leave.keeps(place), Left { index, reason })
            });
            compact(margins.len() - cut.count(), left)
        },
    );
    Selection { kept, left }
}

pub(crate) fn reason_to_leave(place: f64) -> LeaveReason {
    match place.is_finite() {
        true => LeaveReason::OverLimit,
        false => LeaveReason::NotFinite,
    }
}

/// Returns the wanted items, at most `limit` of them. There is no branch per item, because the
/// wanted items are unpredictable.
fn compact<T: Copy>(limit: usize, mut items: impl Iterator<Item = (bool, T)>) -> Vec<T> {
    let mut all = Vec::with_capacity(limit);
    let Some((wanted, first)) = items.next() else {
        return all;
    };
    let mut buffer = [first; 1024];
    let mut filled = usize::from(wanted);
    for (wanted, item) in items {
        buffer[filled] = item;
        filled += usize::from(wanted);
        if filled == buffer.len() {
            all.extend_from_slice(&buffer);
            filled = 0;
        }
    }
    all.extend_from_slice(&buffer[..filled]);
    all
}
