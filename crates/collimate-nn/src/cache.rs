//! What a decoder remembers between passes.

use std::fmt::Debug;

use collimate_ops::KvPages;

/// What a decoder remembers of the tokens of some rows.
pub trait KvCache: Debug + Send {
    /// A cache of the same model without rows. It shares what depends on the weights alone.
    #[must_use]
    fn fresh(&self) -> Self
    where
        Self: Sized;

    /// Number of rows.
    fn rows(&self) -> usize;

    /// Tokens that a row has seen.
    fn tokens(&self, row: usize) -> usize;

    /// Adds a row that has seen nothing; returns its index.
    fn push(&mut self) -> usize;

    /// The rows become these, in this order: one that is named several times is forked, one that
    /// is not named is dropped.
    fn keep(&mut self, rows: &[usize]);

    /// A row becomes `n` equal rows, itself and `n - 1` at the end; with 0 it is dropped.
    fn fork(&mut self, row: usize, n: usize) {
        let others = (0..self.rows()).filter(|&other| n > 0 || other != row);
        let more = std::iter::repeat_n(row, n.saturating_sub(1));
        self.keep(&others.chain(more).collect::<Vec<_>>());
    }
}

impl KvCache for KvPages {
    fn fresh(&self) -> Self {
        Self::fresh(self)
    }

    fn rows(&self) -> usize {
        Self::rows(self)
    }

    fn tokens(&self, row: usize) -> usize {
        Self::tokens(self, row)
    }

    fn push(&mut self) -> usize {
        Self::push(self)
    }

    fn keep(&mut self, rows: &[usize]) {
        Self::keep(self, rows);
    }
}

#[cfg(test)]
mod tests {
    use collimate_ops::Heads;

    use super::*;

    fn rows(cache: &KvPages) -> Vec<usize> {
        (0..cache.rows()).map(|row| cache.tokens(row)).collect()
    }

    #[test]
    fn a_fork_appends_and_a_fork_into_none_drops() {
        let heads = Heads::new(1, 1, 2).unwrap();
        let mut cache = KvPages::new(1, heads);
        for tokens in [3, 5] {
            let row = cache.push();
            cache.append(&[(row, tokens)]);
        }
        cache.fork(0, 3);
        assert_eq!(rows(&cache), [3, 5, 3, 3]);
        cache.fork(0, 1);
        assert_eq!(rows(&cache), [3, 5, 3, 3]);
        cache.fork(1, 0);
        assert_eq!(rows(&cache), [3, 3, 3]);
    }
}
