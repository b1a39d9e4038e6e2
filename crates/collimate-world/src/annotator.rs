//! The annotator, who labels the training pairs.

use collimate_core::{Key, Purpose, outcome};
use rand::RngExt;

use crate::config::AnnotatorConfig;

/// One answer as the annotator sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) gold: f64,
    pub(crate) words: usize,
}

impl AnnotatorConfig {
    /// Returns the probability that an answer with gold reward `gold` and `words` words is
    /// preferred to the `other` answer, given as the same two numbers. The probability includes flips.
    pub fn preference(&self, (gold, words): (f64, usize), other: (f64, usize)) -> f64 {
        let longer = (words as f64 - other.1 as f64) / 10.0;
        let utility = gold - other.0 + self.length_bias * longer;
        let p = if self.temperature > 0.0 {
            1.0 / (1.0 + (-utility / self.temperature).exp())
        } else {
            outcome(utility.partial_cmp(&0.0))
        };
        (1.0 - self.flip_rate) * p + self.flip_rate * (1.0 - p)
    }

    /// Returns true if the first answer is preferred, drawn from the key's stream.
    pub(crate) fn prefers_first(&self, first: Seen, second: Seen, key: Key) -> bool {
        let p = self.preference((first.gold, first.words), (second.gold, second.words));
        key.rng(Purpose::Noise).random::<f64>() < p
    }
}
