//! How the work is cut into chunks of rows and blocks of the vocabulary.

use std::ops::Range;

use crate::kernels::scratch::KEPT;

/// Most rows of a chunk.
const ROWS: usize = 512;
/// Elements of the logits of a block and of its part of the weight: what a core's own cache holds.
const BLOCK: usize = 5 << 16;
/// Blocks of the vocabulary where it is large enough, so that every thread has one.
const BLOCKS: usize = 8;

/// The sizes of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) vocab: usize,
    /// True if the entropy is computed too: a row's output is then `[logp, entropy]`.
    pub(crate) entropy: bool,
    /// Bound of the logits: `cap · tanh(logit / cap)` takes their place.
    pub(crate) softcap: Option<f32>,
}

impl Sizes {
    /// Numbers per row of the output.
    pub(super) fn outputs(self) -> usize {
        1 + usize::from(self.entropy)
    }

    /// True if backward needs logits, not only their exponentials.
    pub(super) fn needs_logits(self) -> bool {
        self.entropy || self.softcap.is_some()
    }

    /// Rows of a chunk: as few chunks as fit, of about the same size.
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

    /// Columns of a block: an odd number of cache lines, so that a column's elements do not compete
    /// for the same places of the cache.
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

    /// The first row whose logits are kept from forward to backward, as many whole chunks as fit;
    /// others are computed again.
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

    /// Where a block of a chunk begins among the logits that are kept from row `first` on.
    pub(super) fn kept_at(self, chunk: &Range<usize>, first: usize, block: usize) -> usize {
        (chunk.start - first) * self.vocab + chunk.len() * self.columns(block).start
    }
}
