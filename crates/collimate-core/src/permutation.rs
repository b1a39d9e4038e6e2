//! Orders of `0..n` that need no table.

use crate::Key;

/// Largest number of rounds. With random round functions, the probability of any two places of two
/// items is then equal to within 0.4 %, for every length. Longer orders need fewer rounds for that.
const ROUNDS: usize = 12;

/// Returns the number of rounds for halves of so many bits.
fn rounds(half: u32) -> usize {
    if half < 4 { ROUNDS } else { 8 }
}

/// A keyed pseudo-random permutation of `0..n` in constant memory.
///
/// The place of any index is known without the places of the others, so billions of items can be
/// read in random order, and a resumed run continues in the middle of the order. Equal keys and lengths
/// give equal orders on every machine. Another key or another length gives an unrelated order.
///
/// The permutation is a Feistel network ([Luby and Rackoff 1988](https://doi.org/10.1137/0217022))
/// over the smallest power of 4 that is at least n, with the hash of [`Key`] as round function. A
/// place outside `0..n` goes through the network again until it is inside (cycle walking,
/// [Black and Rogaway 2001](https://eprint.iacr.org/2001/012)), which takes fewer than four turns on
/// average. The order serves to shuffle. It keeps nothing secret.
///
/// # Examples
/// ```
/// use collimate_core::{Key, Permutation};
/// let order = Permutation::new(Key::new(7, "train").step(1), 5);
/// let mut all: Vec<u64> = order.iter().collect();
/// assert_eq!(order.get(3), Some(all[3]));
/// assert_eq!(order.get(5), None);
/// all.sort_unstable();
/// assert_eq!(all, [0, 1, 2, 3, 4]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permutation {
    len: u64,
    /// Number of bits of each half of a place, 1 to 32.
    half: u32,
    /// One key for each round.
    keys: [Key; ROUNDS],
}

impl Permutation {
    /// Makes the permutation of `0..len` for a key.
    pub fn new(key: Key, len: u64) -> Self {
        let bits = u64::BITS - len.saturating_sub(1).leading_zeros();
        let key = key.with(0x0fe1_57e1).with(len);
        let mut round = 0;
        Self {
            len,
            half: bits.div_ceil(2).max(1),
            keys: [(); ROUNDS].map(|()| {
                round += 1;
                key.with(round)
            }),
        }
    }

    /// Returns the number of items.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns true if there are no items.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the item at position `index` of the order, `None` beyond the end.
    pub fn get(&self, index: u64) -> Option<u64> {
        (index < self.len).then(|| self.walk(index))
    }

    /// Returns the items in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + use<> {
        let order = *self;
        (0..order.len).map(move |index| order.walk(index))
    }

    /// The network permutes all places, so the cycle of a place inside `0..len` comes back inside.
    fn walk(&self, index: u64) -> u64 {
        let mut place = self.network(index);
        while place >= self.len {
            place = self.network(place);
        }
        place
    }

    fn network(&self, place: u64) -> u64 {
        let (mut left, mut right) = (place >> self.half, place & ((1 << self.half) - 1));
        for round in &self.keys[..rounds(self.half)] {
            let hash = round.hash(right) >> (u64::BITS - self.half);
            (left, right) = (right, left ^ hash);
        }
        left << self.half | right
    }
}
