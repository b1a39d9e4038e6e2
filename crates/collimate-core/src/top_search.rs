//! The search for a cut, pass by pass.

use crate::TopCut;
use crate::top_cut::place;

/// Largest number of scores that a search collects before it counts scores by their leading bits.
const COLLECTED: usize = 1 << 16;

/// Number of bits of a score's place that one pass counts by. At first these are sign, exponent and
/// the first two bits of the fraction.
const BITS: u32 = 14;

/// The search for a [`TopCut`] in steps. It serves where one pass feeds several searches, or where
/// threads share a pass ([`TopSearch::part`]).
///
/// Every pass narrows the range in which the smallest kept score lies. A pass collects the scores in
/// the range. If there are more than 65,536, the pass counts them by their next 14 bits instead. The
/// next pass then has only the scores of one count in range. The search ends when the scores in range
/// are collected, are all equal, or have no further bits.
///
/// # Examples
/// ```
/// use collimate_core::TopSearch;
/// let mut search = TopSearch::new(2);
/// let cut = loop {
///     search.extend(&[0.5, 2.0]);
///     search.add(1.0);
///     if let Some(cut) = search.end_pass() {
///         break cut;
///     }
/// };
/// assert_eq!((cut.count(), cut.smallest()), (2, Some(1.0)));
/// ```
#[derive(Debug, Clone)]
pub struct TopSearch {
    /// Number of scores to keep in all.
    count: usize,
    /// Number of scores in range that are still to be kept.
    rank: usize,
    /// False until the first pass has ended: `count` may exceed the number of finite scores.
    counted: bool,
    /// Smallest place in range. Place 0, of scores that are not finite, is never in range.
    low: u64,
    /// Largest place in range minus the smallest.
    span: u64,
    /// Number of low bits of a place that the bins of this pass do not tell apart.
    shift: u32,
    /// Smallest and largest place that was in range in this pass.
    smallest: u64,
    largest: u64,
    /// Places in range minus `low`, until there are too many.
    found: Vec<u64>,
    /// Number of places in each bin; empty as long as places are collected.
    bins: Vec<usize>,
}

impl TopSearch {
    /// Starts a search for the cut that keeps the `k` largest scores.
    pub fn new(k: usize) -> Self {
        Self {
            count: k,
            rank: k,
            counted: false,
            low: 1,
            span: u64::MAX - 1,
            shift: u64::BITS - BITS,
            smallest: u64::MAX,
            largest: 0,
            found: Vec::new(),
            bins: Vec::new(),
        }
    }

    /// Takes one score of the pass. The order of the scores has no effect.
    #[inline]
    pub fn add(&mut self, score: f64) {
        let place = place(score);
        let above = place.wrapping_sub(self.low);
        if above > self.span {
            return;
        }
        self.smallest = self.smallest.min(place);
        self.largest = self.largest.max(place);
        match self.bins.get_mut((above >> self.shift) as usize) {
            Some(count) => *count += 1,
            None => self.collect(above),
        }
    }

    /// Takes some scores of the pass.
    pub fn extend(&mut self, scores: &[f64]) {
        scores.iter().for_each(|&score| self.add(score));
    }

    /// Returns a search that takes some scores of the pass in place of this search, for example in
    /// another thread. [`TopSearch::merge`] brings them back.
    #[must_use]
    pub fn part(&self) -> Self {
        Self {
            smallest: u64::MAX,
            largest: 0,
            found: Vec::new(),
            bins: Vec::new(),
            ..*self
        }
    }

    /// Takes the scores of a part of this pass. The order of the parts has no effect.
    pub fn merge(&mut self, part: Self) {
        self.smallest = self.smallest.min(part.smallest);
        self.largest = self.largest.max(part.largest);
        part.found.into_iter().for_each(|above| self.collect(above));
        if part.bins.is_empty() {
            return;
        }
        self.count_by_bits();
        let bins = self.bins.iter_mut().zip(part.bins);
        bins.for_each(|(count, more)| *count += more);
    }

    /// Ends a pass. Returns the cut, or `None` if the search needs one more pass.
    pub fn end_pass(&mut self) -> Option<TopCut> {
        if !self.counted {
            let finite = self.found.len() + self.bins.iter().sum::<usize>();
            self.counted = true;
            self.count = self.count.min(finite);
            self.rank = self.count;
            if self.count == finite && finite > 0 {
                return Some(self.cut(self.smallest, usize::MAX));
            }
        }
        if self.rank == 0 {
            return Some(self.cut(u64::MAX, 0));
        }
        if self.bins.is_empty() {
            return Some(self.select());
        }
        if self.smallest == self.largest {
            return Some(self.cut(self.smallest, self.rank));
        }
        self.narrow()
    }

    fn cut(&self, place: u64, ties: usize) -> TopCut {
        TopCut {
            count: self.count,
            place,
            ties,
        }
    }

    #[cold]
    fn collect(&mut self, above: u64) {
        if self.found.len() == COLLECTED {
            self.count_by_bits();
        }
        match self.bins.get_mut((above >> self.shift) as usize) {
            Some(count) => *count += 1,
            None => self.found.push(above),
        }
    }

    /// Counts what was collected, and from now on counts instead of collecting.
    fn count_by_bits(&mut self) {
        self.bins.resize(1 << BITS, 0);
        for above in self.found.drain(..) {
            self.bins[(above >> self.shift) as usize] += 1;
        }
    }

    /// Finds the cut among the places collected.
    fn select(&mut self) -> TopCut {
        // A source whose passes differ may have left too few places.
        let rank = self.rank.min(self.found.len());
        if rank == 0 {
            return self.cut(self.low, 0);
        }
        let (before, &mut above, _) = self.found.select_nth_unstable_by(rank - 1, |a, b| b.cmp(a));
        let larger = before.iter().filter(|&&other| other > above).count();
        self.cut(self.low + above, rank - larger)
    }

    /// Narrows the range to the bin that holds the smallest kept score.
    fn narrow(&mut self) -> Option<TopCut> {
        let mut rank = self.rank;
        let bin = self.bins.iter().rposition(|&count| {
            let holds = count >= rank;
            if !holds {
                rank -= count;
            }
            holds
        });
        self.low += (bin.unwrap_or(0) as u64) << self.shift;
        self.span = (1 << self.shift) - 1;
        self.rank = rank;
        if self.shift == 0 {
            return Some(self.cut(self.low, rank));
        }
        self.shift = self.shift.saturating_sub(BITS);
        (self.smallest, self.largest) = (u64::MAX, 0);
        self.bins.clear();
        None
    }
}
