//! Packed batches: sequences laid end to end, shared prompts once, nothing padded.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use collimate_core::Segment;
use collimate_ops::{AttentionPlan, Visibility};

use crate::error::PackError;

/// Where one sequence of a pack reads its hidden states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceRows {
    /// The row that holds the sequence's last token: a decoder's summary of the whole.
    pub last: usize,
    /// All rows of the sequence, shared prompt included, in reading order.
    pub rows: Vec<usize>,
    /// For each completion token: the row whose hidden state predicts it.
    pub sources: Vec<usize>,
    /// The completion's token ids, aligned with `sources`.
    pub targets: Vec<u32>,
}

/// Sequences packed on the host, ready to be moved to a device.
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
    /// An empty pack.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `completions` that continue one prompt, which is stored and processed once.
    /// Returns the range of their indices in [`Self::sequences`].
    ///
    /// An empty prompt gives independent sequences, whose first token has no row that predicts
    /// it and is therefore not among the targets. A completion without tokens is the prompt alone.
    /// Sharing a prompt is for causal models; see [`Self::push_row`].
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

    /// Appends one sequence as a segment of its own: what a bidirectional model needs.
    /// Returns its index in [`Self::sequences`].
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

    /// Number of tokens processed.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// True if nothing was packed.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The sequences, in the order in which they were pushed.
    pub fn sequences(&self) -> &[SequenceRows] {
        &self.sequences
    }

    /// The segment table.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The largest position plus one: what must fit into the model's context.
    pub fn context(&self) -> usize {
        self.positions.iter().max().map_or(0, |&p| p as usize + 1)
    }

    /// Checks that a model with `vocab` token ids and a context of `context` tokens can take the
    /// pack. A forward pass does not check: on a device a lookup outside a table is a panic at
    /// best.
    ///
    /// # Errors
    /// The first sequence that is empty, too long, or has an id that the model does not know.
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

    /// Moves the pack to a device. `device` must be the one the model lives on, its autodiff
    /// context included.
    ///
    /// # Panics
    /// When sequences share a prompt and `visibility` is bidirectional: the prompt's states would
    /// not depend on what follows it, as an encoder's do.
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
    /// Which token sees which.
    pub plan: AttentionPlan,
    /// The sequences' rows.
    pub sequences: Arc<[SequenceRows]>,
    /// The example that each row belongs to, `[tokens]`: dropout masks are drawn by it. Without
    /// examples the masks of all rows come from one stream.
    pub examples: Option<Arc<[u64]>>,
    /// Where the batch lives.
    pub device: Device,
}

impl DeviceBatch {
    /// Names the examples that the sequences belong to, in order and with equally many sequences
    /// each, so that the dropout masks of an example do not depend on the rest of the batch.
    ///
    /// # Panics
    /// When the sequences are not a whole number per example.
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

    /// The example of each sequence, where the batch has examples.
    pub fn sequence_examples(&self) -> Option<Vec<u64>> {
        let examples = self.examples.as_ref()?;
        Some(self.sequences.iter().map(|s| examples[s.last]).collect())
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.positions.len()
    }

    /// For each completion token, sequence after sequence: the row whose hidden state predicts it.
    ///
    /// # Shapes
    /// Result `[completion tokens]`.
    pub fn sources(&self) -> Tensor<1, Int> {
        self.indices(
            self.sequences
                .iter()
                .flat_map(|s| s.sources.iter().copied()),
        )
    }

    /// The completion tokens, as [`Self::sources`] orders them.
    ///
    /// # Shapes
    /// Result `[completion tokens]`.
    pub fn targets(&self) -> Tensor<1, Int> {
        let targets = self.sequences.iter().flat_map(|s| s.targets.iter());
        self.indices(targets.map(|&id| id as usize))
    }

    /// A rank-1 integer tensor on the batch's device.
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
