//! Memory of a decoder between forward passes.

use std::fmt::Debug;

use collimate_ops::KvPages;

/// Keys and values that a decoder keeps for the tokens of each row.
pub trait KvCache: Debug + Send {
    /// Returns a cache of the same model without rows. The two caches share everything that depends
    /// on the weights alone.
    #[must_use]
    fn fresh(&self) -> Self
    where
        Self: Sized;

    /// Returns the number of rows.
    fn rows(&self) -> usize;

    /// Returns the number of tokens that a row has seen.
    fn tokens(&self, row: usize) -> usize;

    /// Adds a row that has seen no tokens. Returns its index.
    fn push(&mut self) -> usize;

    /// Replaces the rows by the given rows, in this order. A row that is named several times is
    /// forked; a row that is not named is dropped.
    fn keep(&mut self, rows: &[usize]);

    /// Turns a row into `n` equal rows: the row itself and `n - 1` copies at the end. With `n = 0`
    /// the row is dropped.
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
