//! The pairs with the largest scores.

use collimate_core::{Kept, Key, LeaveReason, Left, Purpose, Selection};
use rand::RngExt;
use rayon::prelude::*;

use crate::reward::PIECE;

/// Bits of a score's place that are counted before anything is sorted: sign, exponent and the
/// first two of the fraction.
const BITS: u32 = 14;

/// Keeps the `k` largest scores; equal scores: the smaller index first.
///
/// With margins as scores this is the selection of <https://arxiv.org/abs/2410.09362> (section
/// 3.2), for offline and for bootstrapped pairs. The baselines are the same function over other
/// numbers: an external scorer's gap of chosen and rejected, or the reference's log-probability.
///
/// A score that is not finite is left as [`LeaveReason::NotFinite`], the rest as
/// [`LeaveReason::OverLimit`]. Fewer than `k` finite scores are all kept. Nothing is swapped: a
/// pair whose margin is negative is left behind better ones, never relabelled.
///
/// # Numerics
/// −0 and 0 are equal. Time O(n) on average; beside the result, memory for the scores that share
/// sign, exponent and two bits with the k-th. The result is the same for every number of threads.
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

/// Keeps `k` of `n` indices at random: the control of a selection by score.
///
/// The score of a kept index is its draw in [0, 1), the i-th of the key's stream for
/// [`Purpose::Split`], so the indices kept for a smaller `k` are among those for a larger one.
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

/// The score's place among all scores as a number; 0 if it is not finite. Without a branch: the
/// sign of a margin is unpredictable.
fn place(score: f64) -> u64 {
    // Adding 0 makes −0 and 0 equal, as they are as numbers.
    let bits = (score + 0.0).to_bits();
    // Negative numbers have the sign bit set and grow downwards: all their bits are inverted.
    let negative = (bits.cast_signed() >> 63).cast_unsigned();
    let place = bits ^ (negative | 1 << 63);
    if score.is_finite() { place } else { 0 }
}

fn bin(place: u64) -> usize {
    (place >> (64 - BITS)) as usize
}

/// Which scores are kept, asked in order of their indices.
#[derive(Clone, Copy)]
struct Cut {
    /// How many in all.
    keep: usize,
    /// The place of the last one kept.
    place: u64,
    /// How many scores at that place are still to be kept.
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

/// The wanted ones of `items`, at most `limit`. Without a branch per item: what is wanted is
/// unpredictable.
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

/// How many scores each bin has.
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
