//! The cut between the largest scores and the rest, found in passes over the scores.

use crate::{Passes, TopSearch};

/// The cut that keeps the `k` largest of a sequence of scores. Of equal scores the cut keeps those
/// with the smaller index.
///
/// Passes over the scores find the cut ([`TopCut::find`], or [`TopSearch`] in steps). One more
/// reading then asks [`TopCut::keeps`] about every score. Search and cut take less than 1 MiB of
/// memory, however many scores there are.
///
/// # Numerics
/// −0 and 0 are equal. A score that is not finite is never kept.
///
/// # Examples
/// ```
/// use collimate_core::TopCut;
/// let scores = [0.5, 2.0, f64::NAN, 0.5];
/// let Ok(mut cut) = TopCut::find(2, &scores[..]);
/// let kept: Vec<bool> = scores.iter().map(|&score| cut.keeps(score)).collect();
/// assert_eq!(kept, [true, true, false, false]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopCut {
    /// Number of scores to keep in all.
    pub(crate) count: usize,
    /// Place of the smallest score that is kept; `u64::MAX` if no score is.
    pub(crate) place: u64,
    /// Number of scores at that place that are still to be kept.
    pub(crate) ties: usize,
}

impl TopCut {
    /// Finds the cut that keeps the `k` largest scores, or all finite scores if there are fewer.
    ///
    /// The search takes one pass for up to 65,536 finite scores. For more scores it takes up to five
    /// passes, mostly two or three.
    ///
    /// # Errors
    /// Returns the error of a pass.
    pub fn find<P: Passes<Item = f64>>(k: usize, mut scores: P) -> Result<Self, P::Error> {
        let mut search = TopSearch::new(k);
        loop {
            scores.pass(&mut |scores| search.extend(scores))?;
            if let Some(cut) = search.end_pass() {
                return Ok(cut);
            }
        }
    }

    /// Returns true if the score is kept. Every score must be given once, in the order of the
    /// passes that found the cut, because the first of equal scores are kept. A copy of the cut
    /// starts where the original stands.
    #[inline]
    pub fn keeps(&mut self, score: f64) -> bool {
        let place = place(score);
        if place == self.place && self.ties > 0 {
            self.ties -= 1;
            return true;
        }
        place > self.place
    }

    /// Returns the number of scores that are kept in all.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the smallest score that is kept, `None` if no score is kept. The smallest score is 0
    /// if it is −0.
    pub fn smallest(&self) -> Option<f64> {
        let bits = match self.place >> 63 {
            1 => self.place ^ 1 << 63,
            _ => !self.place,
        };
        (self.count > 0).then_some(f64::from_bits(bits))
    }
}

/// Maps a score to a number that orders it among all scores; 0 if the score is not finite. There is
/// no branch, because the sign of a score is unpredictable.
#[inline]
pub(crate) fn place(score: f64) -> u64 {
    // Adding 0 turns −0 into 0, so both are equal.
    let bits = (score + 0.0).to_bits();
    // Negative numbers have the sign bit set and grow downwards: all their bits are inverted.
    let negative = (bits.cast_signed() >> 63).cast_unsigned();
    let place = bits ^ (negative | 1 << 63);
    if score.is_finite() { place } else { 0 }
}
