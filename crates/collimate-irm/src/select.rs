//! Selection of the pairs with the largest scores.

use collimate_core::{Kept, Key, LeaveReason, Left, Purpose, Selection};
use rand::RngExt;
use rayon::prelude::*;

use crate::reward::PIECE;

/// Number of leading bits of a score's place by which scores are counted before any are sorted:
/// sign, exponent and the first two bits of the fraction.
const BITS: u32 = 14;

/// Keeps the `k` largest scores; of equal scores the smaller index comes first.
///
/// With margins as scores this is the selection of <https://arxiv.org/abs/2410.09362> (section
/// 3.2), for offline and for bootstrapped pairs. The baselines apply the same function to other
/// numbers: the score gap of an external scorer, or the reference model's log-probability.
///
/// A score that is not finite is left as [`LeaveReason::NotFinite`], the rest as
/// [`LeaveReason::OverLimit`]. If there are fewer than `k` finite scores, all are kept. No pair is
/// swapped: a pair with a negative margin is left behind better ones, never relabelled.
///
/// # Numerics
/// −0 and 0 are equal. Time is O(n) on average. Memory beside the result is needed for the scores
/// that share sign, exponent and two bits with the k-th. The result does not depend on the number
/// of threads.
///
/// # Examples
/// ```
/// use collimate_irm::top_k;
/// let selection = top_k(&[0.5, 2.0, f64::NAN, 0.5], 2);
/// let kept: Vec<usize> = selection.kept.iter().map(|kept| kept.index).collect();
/// assert_eq!(kept, [0, 1]);
/// ```
pub fn top_k(scores: &[f64], k: usize) -> Selection {
    let cut = Cut::new(scores, k);
    let (mut keep, mut leave) = (cut, cut);
    let all = || scores.iter().copied().enumerate();
    let (kept, left) = rayon::join(
        || {
            let kept = all().map(|(index, score)| {
                let swapped = false;
                let kept = Kept {
                    index,
                    swapped,
                    score,
                };
                (keep.holds(score), kept)
            });
            compact(cut.keep, kept)
        },
        || {
            let left = all().map(|(index, score)| {
                let reason = if score.is_finite() {
                    LeaveReason::OverLimit
                } else {
                    LeaveReason::NotFinite
                };
                (!leave.holds(score), Left { index, reason })
            });
            compact(scores.len() - cut.keep, left)
        },
    );
    Selection { kept, left }
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

/// Maps a score to a number that orders it among all scores; 0 if the score is not finite. There is
/// no branch, because the sign of a margin is unpredictable.
fn place(score: f64) -> u64 {
    // Adding 0 turns −0 into 0, so both are equal.
    let bits = (score + 0.0).to_bits();
    // Negative numbers have the sign bit set and grow downwards: all their bits are inverted.
    let negative = (bits.cast_signed() >> 63).cast_unsigned();
    let place = bits ^ (negative | 1 << 63);
    if score.is_finite() { place } else { 0 }
}

fn bin(place: u64) -> usize {
    (place >> (64 - BITS)) as usize
}

/// Threshold that decides which scores are kept. Scores must be given in the order of their indices.
#[derive(Clone, Copy)]
struct Cut {
    /// Number of scores to keep in all.
    keep: usize,
    /// Place of the smallest score that is kept.
    place: u64,
    /// Number of scores at that place that are still to be kept.
    ties: usize,
}

impl Cut {
    fn new(scores: &[f64], k: usize) -> Self {
        let counts = counts(scores);
        // No finite score has a place in bin 0.
        let keep = k.min(counts[1..].iter().sum());
        let mut rank = keep;
        let mut last = counts.len() - 1;
        while counts[last] < rank {
            rank -= counts[last];
            last -= 1;
        }
        if rank == 0 {
            return Self {
                keep: 0,
                place: u64::MAX,
                ties: 0,
            };
        }
        let mut places: Vec<u64> = scores
            .par_chunks(PIECE)
            .flat_map_iter(|piece| {
                let places = piece.iter().map(|&score| place(score));
                places.filter(|&place| bin(place) == last)
            })
            .collect();
        let (before, &mut place, _) = places.select_nth_unstable_by(rank - 1, |a, b| b.cmp(a));
        let larger = before.iter().filter(|&&other| other > place).count();
        Self {
            keep,
            place,
            ties: rank - larger,
        }
    }

    fn holds(&mut self, score: f64) -> bool {
        let place = place(score);
        if place == self.place && self.ties > 0 {
            self.ties -= 1;
            return true;
        }
        place > self.place
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

/// Returns the number of scores in each bin.
fn counts(scores: &[f64]) -> Vec<usize> {
    let none = || vec![0; 1 << BITS];
    scores
        .par_chunks(PIECE)
        .fold(none, |mut counts, piece| {
            for &score in piece {
                counts[bin(place(score))] += 1;
            }
            counts
        })
        .reduce_with(|mut a, b| {
            a.iter_mut().zip(&b).for_each(|(a, b)| *a += b);
            a
        })
        .unwrap_or_else(none)
}
