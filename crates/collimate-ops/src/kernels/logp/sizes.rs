//! Division of the work into chunks of rows and blocks of the vocabulary.

use std::ops::Range;

use crate::kernels::scratch::KEPT;

/// Largest number of rows in a chunk.
const ROWS: usize = 512;
/// Number of elements in the logits of a block and its part of the weight, so that both fit into a
/// core's own cache.
const BLOCK: usize = 5 << 16;
/// Smallest number of blocks of a large vocabulary, so that every thread has one.
const BLOCKS: usize = 8;

/// Sizes of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) vocab: usize,
    /// If true, the entropy is computed too, and a row's output is `[logp, entropy]`.
    pub(crate) entropy: bool,
    /// Bound of the logits: `cap · tanh(logit / cap)` replaces each logit.
    pub(crate) softcap: Option<f32>,
}

impl Sizes {
    /// Returns the number of outputs per row.
    pub(super) fn outputs(self) -> usize {
        1 + usize::from(self.entropy)
    }

    /// Returns true if backward needs logits, not only their exponentials.
    pub(super) fn needs_logits(self) -> bool {
        self.entropy || self.softcap.is_some()
    }

    /// Returns the number of rows in a chunk. There are as few chunks as possible, of about equal
    /// size.
    pub(super) fn chunk(self) -> usize {
        self.rows.div_ceil(self.rows.div_ceil(ROWS).max(1)).max(1)
    }

    pub(super) fn chunks(
        self,
    ) -> impl DoubleEndedIterator<Item = Range<usize>> + ExactSizeIterator {
        let (rows, chunk) = (self.rows, self.chunk());
        let count = rows.div_ceil(chunk);
        (0..count).map(move |index| index * chunk..rows.min((index + 1) * chunk))
    }

    /// Returns the number of columns in a block. It is an odd number of cache lines, so that the
    /// elements of a column do not compete for the same cache sets.
    pub(super) fn block(self) -> usize {
        let fits = BLOCK / (self.chunk() + self.width);
        let most = self.vocab.div_ceil(BLOCKS).max(1);
        (fits.min(most) / 32 * 32 + 16).min(self.vocab.max(1))
    }

    pub(super) fn blocks(self) -> usize {
        self.vocab.div_ceil(self.block())
    }

    pub(super) fn columns(self, block: usize) -> Range<usize> {
        let size = self.block();
        block * size..self.vocab.min((block + 1) * size)
    }

    /// Returns the first row whose logits are kept from forward to backward. As many whole chunks
    /// are kept as fit; the logits of the other rows are computed again.
    pub(super) fn kept_from(self) -> usize {
        let mut kept = self.rows;
        for chunk in self.chunks().rev() {
            if (self.rows - chunk.start) * self.vocab > KEPT {
                break;
            }
            kept = chunk.start;
        }
        kept
    }

    /// Returns the start of a block of a chunk among the logits kept from row `first` onwards.
    pub(super) fn kept_at(self, chunk: &Range<usize>, first: usize, block: usize) -> usize {
        (chunk.start - first) * self.vocab + chunk.len() * self.columns(block).start
    }
}
