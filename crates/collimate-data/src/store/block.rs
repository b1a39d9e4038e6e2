//! Blocks of texts that are tokenised at once.

use collimate_core::{Completion, PreferencePair, Prompt};

use super::row::StoredRow;
use super::texts::StorePlan;
use crate::error::DataError;
use crate::example::SftExample;
use crate::tokenize::{TextTokenizer, TokenizeReport, TokenizedExample, TokenizedPair};

/// Rows that are tokenised at once.
pub(super) const BLOCK_ROWS: u64 = 4096;

/// Bytes of text that are tokenised at once. A block may exceed this limit by one row.
const BLOCK_BYTES: usize = 16 << 20;

/// A row of texts.
pub(super) trait Texts: Sized {
    type Ids: StoredRow;

    fn encode(
        tokenizer: &TextTokenizer,
        rows: &[Self],
        plan: &StorePlan,
    ) -> Result<(Vec<Self::Ids>, TokenizeReport), DataError>;

    /// Returns true if the row belongs into the store.
    fn is_kept(ids: &Self::Ids) -> bool;

    /// Returns the size of the texts in bytes.
    fn size(&self) -> usize;
}

impl Texts for PreferencePair {
    type Ids = TokenizedPair;

    fn encode(
        tokenizer: &TextTokenizer,
        rows: &[Self],
        plan: &StorePlan,
    ) -> Result<(Vec<TokenizedPair>, TokenizeReport), DataError> {
        tokenizer.encode_pairs(rows, plan.max_length, plan.truncation)
    }

    fn is_kept(ids: &TokenizedPair) -> bool {
        ids.chosen != ids.rejected && ids.weight != Some(0.0)
    }

    fn size(&self) -> usize {
        size(&self.prompt, [&self.chosen, &self.rejected])
    }
}

impl Texts for SftExample {
    type Ids = TokenizedExample;

    fn encode(
        tokenizer: &TextTokenizer,
        rows: &[Self],
        plan: &StorePlan,
    ) -> Result<(Vec<TokenizedExample>, TokenizeReport), DataError> {
        tokenizer.encode_examples(rows, plan.max_length, plan.truncation)
    }

    fn is_kept(_: &TokenizedExample) -> bool {
        true
    }

    fn size(&self) -> usize {
        size(&self.prompt, [&self.completion])
    }
}

fn size<const N: usize>(prompt: &Prompt, answers: [&Completion; N]) -> usize {
    let prompt = match prompt {
        Prompt::Text(text) => text.len(),
        Prompt::Chat(messages) => messages.iter().map(|message| message.content.len()).sum(),
    };
    prompt
        + answers
            .iter()
            .map(|answer| answer.text.len())
            .sum::<usize>()
}

/// Rows that are tokenised at once.
pub(super) struct Block<R> {
    pub(super) rows: Vec<R>,
    /// Number of input rows.
    pub(super) inputs: u64,
}

impl<R: Texts> Block<R> {
    /// Reads the next block. The block after the last row is empty.
    pub(super) fn read(
        input: &mut impl Iterator<Item = Result<Vec<R>, DataError>>,
    ) -> Result<Self, DataError> {
        let mut block = Self {
            rows: Vec::new(),
            inputs: 0,
        };
        let mut bytes = 0;
        while block.inputs.max(block.rows.len() as u64) < BLOCK_ROWS
            && bytes < BLOCK_BYTES
            && let Some(rows) = input.next()
        {
            for row in rows? {
                bytes += row.size();
                block.rows.push(row);
            }
            block.inputs += 1;
        }
        Ok(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes of the blocks: input rows and pairs.
    fn blocks(rows: impl Iterator<Item = (usize, usize)>) -> Vec<(u64, usize)> {
        let mut rows = rows.map(|(pairs, bytes)| {
            let pair = PreferencePair::new("p".repeat(bytes), "", "");
            Ok(vec![pair; pairs])
        });
        let blocks = std::iter::from_fn(|| {
            let block = Block::read(&mut rows).unwrap();
            (block.inputs > 0).then_some((block.inputs, block.rows.len()))
        });
        blocks.collect()
    }

    #[test]
    fn rows_pairs_and_bytes_bound_a_block() {
        assert_eq!(blocks(std::iter::empty()), []);
        let rows = |rows, pairs, bytes| blocks(std::iter::repeat_n((pairs, bytes), rows));
        assert_eq!(rows(4096, 1, 3), [(4096, 4096)]);
        assert_eq!(rows(4097, 1, 3), [(4096, 4096), (1, 1)]);
        assert_eq!(rows(5000, 0, 0), [(4096, 0), (904, 0)]);
        assert_eq!(rows(2049, 2, 3), [(2048, 4096), (1, 2)]);
        assert_eq!(rows(5, 1, 7 << 20), [(3, 3), (2, 2)]);
    }

    #[test]
    fn the_first_error_ends_a_block() {
        let mut rows = [Ok(Vec::new()), Err(DataError::Tokenize("bad".to_owned()))].into_iter();
        assert!(Block::<PreferencePair>::read(&mut rows).is_err());
    }
}
