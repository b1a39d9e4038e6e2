//! Packed batches: sequences laid end to end without padding, shared prompts stored once.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use collimate_core::Segment;
use collimate_ops::{AttentionPlan, Visibility};

use crate::error::PackError;

/// Rows of a pack at which one sequence reads its hidden states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceRows {
    /// Row of the sequence's last token. In a decoder its hidden state summarises the sequence.
    pub last: usize,
    /// All rows of the sequence, shared prompt included, in reading order.
    pub rows: Vec<usize>,
    /// For each completion token, the row whose hidden state predicts it.
    pub sources: Vec<usize>,
    /// Token ids of the completion, aligned with `sources`.
    pub targets: Vec<u32>,
}

/// Sequences packed on the host, ready to move to a device.
///
/// # Examples
/// ```
/// use collimate_nn::Pack;
/// let mut pack = Pack::new();
/// let pair = pack.push_shared(&[1, 5, 6], &[&[7, 2], &[8, 9, 2]]);
/// assert_eq!(pack.tokens(), 8); // the prompt is there once
/// assert_eq!(pack.sequences()[pair.start].sources, vec![2, 3]);
/// assert_eq!(pack.sequences()[pair.start + 1].sources, vec![2, 5, 6]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Pack {
    ids: Vec<u32>,
    positions: Vec<u32>,
    segments: Vec<Segment>,
    sequences: Vec<SequenceRows>,
}

impl Pack {
    /// Creates an empty pack.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `completions` that continue one prompt. The prompt is stored and processed once.
    /// Returns the range of their indices in [`Self::sequences`].
    ///
    /// An empty prompt gives independent sequences. No row predicts the first token of such a
    /// sequence, so that token is not among the targets. A completion without tokens is the prompt
    /// alone. Only causal models may share a prompt; see [`Self::push_row`].
    pub fn push_shared(
        &mut self,
        prompt: &[u32],
        completions: &[&[u32]],
    ) -> std::ops::Range<usize> {
        let first = self.sequences.len();
        let start = self.ids.len();
        let parent = (!prompt.is_empty()).then(|| self.push_segment(prompt, 0, None));
        for completion in completions {
            let begin = self.ids.len();
            if !completion.is_empty() {
                self.push_segment(completion, prompt.len() as u32, parent);
            }
            let rows: Vec<usize> = (start..start + prompt.len())
                .chain(begin..begin + completion.len())
                .collect();
            let skip = usize::from(prompt.is_empty()).min(completion.len());
            let sources = (skip..completion.len())
                .map(|t| rows[prompt.len() + t - 1])
                .collect();
            self.sequences.push(SequenceRows {
                last: rows.last().copied().unwrap_or(0),
                sources,
                targets: completion[skip..].to_vec(),
                rows,
            });
        }
        first..self.sequences.len()
    }

    /// Appends one sequence as its own segment, as a bidirectional model needs. Returns its index
    /// in [`Self::sequences`].
    pub fn push_row(&mut self, ids: &[u32]) -> usize {
        self.push_shared(&[], &[ids]).start
    }

    fn push_segment(&mut self, ids: &[u32], position: u32, parent: Option<usize>) -> usize {
        self.segments.push(Segment {
            start: self.ids.len(),
            len: ids.len(),
            parent,
        });
        self.ids.extend_from_slice(ids);
        self.positions
            .extend((0..ids.len() as u32).map(|offset| position + offset));
        self.segments.len() - 1
    }

    /// Returns the number of tokens processed.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// Returns true if the pack holds no tokens.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Returns the sequences in the order in which they were pushed.
    pub fn sequences(&self) -> &[SequenceRows] {
        &self.sequences
    }

    /// Returns the segment table.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns the context length that the pack needs: the largest position plus one.
    pub fn context(&self) -> usize {
        self.positions.iter().max().map_or(0, |&p| p as usize + 1)
    }

    /// Checks that a model with `vocab` token ids and a context of `context` tokens can take the
    /// pack. A forward pass does not check this: on a device, a lookup outside a table panics at
    /// best.
    ///
    /// # Errors
    /// Names the first sequence that is empty, is too long, or has an id that the model does not
    /// know.
    ///
    /// # Examples
    /// ```
    /// use collimate_nn::{Pack, PackError};
    /// let mut pack = Pack::new();
    /// pack.push_shared(&[1, 5], &[&[7, 2], &[99, 2]]);
    /// assert_eq!(pack.check(100, 4), Ok(()));
    /// assert_eq!(pack.check(99, 4), Err(PackError::Token { sequence: 1, id: 99, vocab: 99 }));
    /// assert_eq!(pack.check(100, 3), Err(PackError::Length { sequence: 0, length: 4, context: 3 }));
    /// ```
    pub fn check(&self, vocab: usize, context: usize) -> Result<(), PackError> {
        for (sequence, s) in self.sequences.iter().enumerate() {
            let length = s.rows.len();
            if length == 0 {
                return Err(PackError::Empty { sequence });
            }
            if length > context {
                return Err(PackError::Length {
                    sequence,
                    length,
                    context,
                });
            }
            let mut ids = s.rows.iter().map(|&row| self.ids[row]);
            if let Some(id) = ids.find(|&id| id as usize >= vocab) {
                return Err(PackError::Token {
                    sequence,
                    id,
                    vocab,
                });
            }
        }
        Ok(())
    }

    /// Moves the pack to a device. `device` must be the device that the model lives on, including
    /// its autodiff context.
    ///
    /// # Panics
    /// Panics if sequences share a prompt and `visibility` is bidirectional. The prompt's states
    /// would not depend on the tokens after it, although an encoder's states do.
    pub fn to_device(self, visibility: Visibility, device: &Device) -> DeviceBatch {
        let shared = self.segments.iter().any(|segment| segment.parent.is_some());
        assert!(
            !shared || visibility == Visibility::Causal,
            "a bidirectional model needs whole sequences: push_row instead of push_shared"
        );
        let n = self.ids.len();
        let ids: Vec<i64> = self.ids.iter().map(|&id| i64::from(id)).collect();
        let plan = AttentionPlan::new(&self.segments, visibility)
            .expect("a pack lays its segments end to end, parents first");
        DeviceBatch {
            ids: Tensor::from_data(TensorData::new(ids, [n]), device),
            positions: self.positions.into(),
            plan,
            sequences: self.sequences.into(),
            examples: None,
            device: device.clone(),
        }
    }
}

/// A pack on a device.
#[derive(Debug, Clone)]
pub struct DeviceBatch {
    /// Token ids, `[tokens]`.
    pub ids: Tensor<1, Int>,
    /// Position of each token in its sequence.
    pub positions: Arc<[u32]>,
    /// Attention plan: which tokens each token sees.
    pub plan: AttentionPlan,
    /// Rows of each sequence.
    pub sequences: Arc<[SequenceRows]>,
    /// Example that each row belongs to, `[tokens]`. Dropout masks are drawn per example. Without
    /// examples, the masks of all rows come from one stream.
    pub examples: Option<Arc<[u64]>>,
    /// Device that the batch lives on.
    pub device: Device,
}

impl DeviceBatch {
    /// Assigns the sequences to examples, in order and with the same number of sequences each. The
    /// dropout masks of an example then do not depend on the rest of the batch.
    ///
    /// # Panics
    /// Panics if the number of sequences is not a multiple of the number of examples.
    #[must_use]
    pub fn of_examples(self, examples: &[usize]) -> Self {
        let each = self.sequences.len() / examples.len().max(1);
        assert_eq!(
            each * examples.len(),
            self.sequences.len(),
            "equally many sequences for each example"
        );
        let mut owners = vec![0; self.tokens()];
        // The first sequence that reads a row owns it: a shared prompt belongs to its example.
        for (index, sequence) in self.sequences.iter().enumerate().rev() {
            for &row in &sequence.rows {
                owners[row] = examples[index / each] as u64;
            }
        }
        Self {
            examples: Some(owners.into()),
            ..self
        }
    }

    /// Returns the example of each sequence, or `None` if the batch has no examples.
    pub fn sequence_examples(&self) -> Option<Vec<u64>> {
        let examples = self.examples.as_ref()?;
        Some(self.sequences.iter().map(|s| examples[s.last]).collect())
    }

    /// Returns the number of tokens.
    pub fn tokens(&self) -> usize {
        self.positions.len()
    }

    /// Returns, for each completion token, the row whose hidden state predicts it. Tokens are
    /// ordered sequence after sequence.
    pub fn sources(&self) -> Vec<usize> {
        let sources = self.sequences.iter().flat_map(|s| &s.sources);
        sources.copied().collect()
    }

    /// Returns the completion tokens, in the order of [`Self::sources`].
    ///
    /// # Shapes
    /// Result `[completion tokens]`.
    pub fn targets(&self) -> Tensor<1, Int> {
        let targets = self.sequences.iter().flat_map(|s| s.targets.iter());
        self.indices(targets.map(|&id| id as usize))
    }

    /// Creates a rank-1 integer tensor on the batch's device.
    pub fn indices(&self, values: impl IntoIterator<Item = usize>) -> Tensor<1, Int> {
        let values: Vec<i64> = values.into_iter().map(|v| v as i64).collect();
        let n = values.len();
        Tensor::from_data(TensorData::new(values, [n]), &self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use collimate_core::check_segments;

    #[test]
    fn a_pair_shares_its_prompt() {
        let mut pack = Pack::new();
        pack.push_shared(&[1, 2], &[&[3], &[4, 5]]);
        pack.push_row(&[6, 7, 8]);
        assert_eq!(check_segments(pack.segments(), pack.tokens()), Ok(()));
        assert_eq!(pack.ids, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(pack.positions, [0, 1, 2, 2, 3, 0, 1, 2]);
        let rejected = &pack.sequences()[1];
        assert_eq!(rejected.rows, [0, 1, 3, 4]);
        assert_eq!(rejected.last, 4);
        assert_eq!(rejected.sources, [1, 3]);
        let row = &pack.sequences()[2];
        assert_eq!(
            (row.sources.as_slice(), row.targets.as_slice()),
            (&[5, 6][..], &[7, 8][..])
        );
        assert_eq!(pack.context(), 4);
    }
}
