//! A pool of pairs whose labels are hidden from the training code.

use std::collections::HashMap;
use std::fmt;

use collimate_core::{Completion, Key, PreferencePair, Prompt, Purpose, Selection};
use serde::{Deserialize, Serialize};

use crate::content::{answer_order, keyed, keyed_order, secret, unordered_hash};
use crate::error::DataError;
use crate::unlabelled::UnlabelledPair;

/// Two answers without a label, in an order that says nothing about which is better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HiddenPair {
    /// Id of the pair for the [`Auditor`]. An id is never reused after its pair leaves the pool.
    pub id: usize,
    /// The prompt of both answers.
    pub prompt: Prompt,
    /// The answer shown first.
    pub first: Completion,
    /// The answer shown second.
    pub second: Completion,
}

/// A pair that left the pool with the label that a selection gave it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelfLabelledPair {
    /// Id that the pair had in the pool.
    pub id: usize,
    /// If true, the answer shown first became `chosen`.
    pub chosen_is_first: bool,
    /// The pair to train on, without a score gap.
    pub pair: PreferencePair,
}

/// The pool of SER: pairs without labels.
///
/// Preference files list the better answer first, so a pool in file order would reveal the labels.
/// [`HiddenLabelPool::seal`] therefore moves the labels into [`SealedLabels`]. It sorts the two
/// answers canonically, then exchanges them by a coin flip keyed with (key, content). The order of
/// the pairs is keyed the same way. Reversing the rows of the file, or chosen and rejected in every
/// row, gives the same pool. Score gaps are dropped because their sign is the label.
///
/// # Examples
/// ```
/// use collimate_core::{Kept, Key, PreferencePair, Selection};
/// use collimate_data::{Auditor, HiddenLabelPool};
/// let pairs = vec![PreferencePair::new("2+2?", "4", "5"), PreferencePair::new("3+3?", "6", "7")];
/// let (mut pool, sealed) = HiddenLabelPool::seal(pairs, Key::new(0, "pool"));
/// let swapped = pool.pairs()[0].second.text < pool.pairs()[0].first.text; // prefer the smaller number
/// let selection = Selection { kept: vec![Kept { index: 0, swapped, score: 1.0 }], left: vec![] };
/// let taken = pool.take(&selection)?;
/// assert_eq!(pool.len(), 1);
/// let audit = Auditor::new(sealed).precision(&[(taken[0].id, taken[0].chosen_is_first)])?;
/// assert_eq!((audit.correct, audit.labelled), (1, 1));
/// # Ok::<(), collimate_data::DataError>(())
/// ```
/// The labels can leave the pool only as the counts of the auditor:
/// ```compile_fail
/// # use collimate_core::{Key, PreferencePair};
/// # let pairs = vec![PreferencePair::new("q", "a", "b")];
/// let (_, sealed) = collimate_data::HiddenLabelPool::seal(pairs, Key::new(0, "pool"));
/// let label = sealed.first_is_chosen[0]; // a private field
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct HiddenLabelPool {
    pairs: Vec<HiddenPair>,
    initial: usize,
}

impl HiddenLabelPool {
    /// Splits labelled pairs into a pool without labels and the sealed labels.
    pub fn seal(pairs: Vec<PreferencePair>, key: Key) -> (Self, SealedLabels) {
        let order = keyed_order(&pairs, key, Purpose::Order);
        let coin = secret(key, Purpose::AnswerOrder);
        let mut slots: Vec<Option<PreferencePair>> = pairs.into_iter().map(Some).collect();
        let mut first_is_chosen = Vec::with_capacity(slots.len());
        let pairs: Vec<HiddenPair> = order
            .into_iter()
            .filter_map(|slot| slots[slot].take())
            .enumerate()
            .map(|(id, pair)| {
                let content = unordered_hash(&pair.prompt, &pair.chosen, &pair.rejected);
                let heads = keyed(&content, &coin)[0] & 1 == 1;
                let chosen_sorts_first = answer_order(&pair.chosen) <= answer_order(&pair.rejected);
                let chosen_first = chosen_sorts_first != heads;
                first_is_chosen.push(chosen_first);
                let (first, second) = if chosen_first {
                    (pair.chosen, pair.rejected)
                } else {
                    (pair.rejected, pair.chosen)
                };
                HiddenPair {
                    id,
                    prompt: pair.prompt,
                    first,
                    second,
                }
            })
            .collect();
        let initial = pairs.len();
        (Self { pairs, initial }, SealedLabels { first_is_chosen })
    }

    /// Makes a pool of pairs without labels. It equals the pool that [`seal`](Self::seal) makes of
    /// the same pairs with any labels.
    pub fn unlabelled(pairs: Vec<UnlabelledPair>, key: Key) -> Self {
        let shown = pairs.into_iter().map(UnlabelledPair::shown);
        Self::seal(shown.collect(), key).0
    }

    /// Returns the remaining pairs, in the order that the indices of a [`Selection`] refer to.
    pub fn pairs(&self) -> &[HiddenPair] {
        &self.pairs
    }

    /// Returns the number of remaining pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Returns true if no pair remains.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Returns the number of pairs when the pool was sealed.
    pub fn initial_len(&self) -> usize {
        self.initial
    }

    /// Removes the kept pairs and returns them, labelled as the selection says. The other pairs
    /// stay in order.
    ///
    /// Replaying the selections of earlier loops on a freshly sealed pool restores it.
    ///
    /// # Errors
    /// [`DataError::Selection`] if a kept index is out of range or occurs twice. The pool is then
    /// unchanged.
    pub fn take(&mut self, selection: &Selection) -> Result<Vec<SelfLabelledPair>, DataError> {
        let mut swapped: Vec<Option<bool>> = vec![None; self.pairs.len()];
        for kept in &selection.kept {
            let Some(slot) = swapped.get_mut(kept.index) else {
                return Err(DataError::Selection {
                    index: kept.index,
                    what: format!(
                        "the pool has {} pairs: select from the current `pairs()`",
                        self.pairs.len()
                    ),
                });
            };
            if slot.replace(kept.swapped).is_some() {
                return Err(DataError::Selection {
                    index: kept.index,
                    what: "kept twice: name each pair once".to_owned(),
                });
            }
        }
        let mut taken = Vec::with_capacity(selection.kept.len());
        let mut left = Vec::with_capacity(self.pairs.len() - selection.kept.len());
        for (pair, swapped) in std::mem::take(&mut self.pairs).into_iter().zip(swapped) {
            let Some(swapped) = swapped else {
                left.push(pair);
                continue;
            };
            let (chosen, rejected) = if swapped {
                (pair.second, pair.first)
            } else {
                (pair.first, pair.second)
            };
            taken.push(SelfLabelledPair {
                id: pair.id,
                chosen_is_first: !swapped,
                pair: PreferencePair::new(pair.prompt, chosen, rejected),
            });
        }
        self.pairs = left;
        Ok(taken)
    }
}

/// The labels of a pool. They cannot be read, only passed to an [`Auditor`].
pub struct SealedLabels {
    first_is_chosen: Vec<bool>,
}

impl fmt::Debug for SealedLabels {
    /// Shows the number of labels but not the labels.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedLabels({} labels)", self.first_is_chosen.len())
    }
}

/// Compares self-labels with the sealed labels and reports counts only.
#[derive(Debug)]
pub struct Auditor {
    sealed: SealedLabels,
}

/// Precision of self-labels: the share of them that is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelPrecision {
    /// Number of self-labels compared.
    pub labelled: usize,
    /// Number of compared self-labels that agree with the human label.
    pub correct: usize,
}

impl LabelPrecision {
    /// Returns `correct / labelled`, or `None` if no label was compared.
    pub fn value(&self) -> Option<f64> {
        (self.labelled > 0).then(|| self.correct as f64 / self.labelled as f64)
    }
}

impl Auditor {
    /// Makes an auditor that owns the sealed labels.
    pub fn new(sealed: SealedLabels) -> Self {
        Self { sealed }
    }

    /// Counts the self-labels `(id, chosen_is_first)` that agree with the sealed labels.
    ///
    /// # Errors
    /// [`DataError::Selection`] for an id that the pool never had.
    pub fn precision(&self, labels: &[(usize, bool)]) -> Result<LabelPrecision, DataError> {
        let mut correct = 0;
        for &(id, chosen_is_first) in labels {
            let truth =
                self.sealed
                    .first_is_chosen
                    .get(id)
                    .ok_or_else(|| DataError::Selection {
                        index: id,
                        what: format!("the pool had {} pairs", self.sealed.first_is_chosen.len()),
                    })?;
            correct += usize::from(*truth == chosen_is_first);
        }
        Ok(LabelPrecision {
            labelled: labels.len(),
            correct,
        })
    }
}

/// Returns the same pairs with their human labels, for the control "oracle labels for the pairs
/// that were kept".
///
/// The function needs the labelled pairs themselves. A run without this control no longer holds
/// them once they are sealed. If the same content has two contrary labels, each label is used once.
///
/// # Errors
/// [`DataError::Selection`] with the id of a kept pair that `labelled` does not contain.
pub fn oracle_labels(
    labelled: &[PreferencePair],
    kept: &[SelfLabelledPair],
) -> Result<Vec<PreferencePair>, DataError> {
    let mut by_content: HashMap<[u8; 32], Vec<&PreferencePair>> = HashMap::new();
    for pair in labelled.iter().rev() {
        let content = unordered_hash(&pair.prompt, &pair.chosen, &pair.rejected);
        by_content.entry(content).or_default().push(pair);
    }
    kept.iter()
        .map(|kept| {
            let pair = &kept.pair;
            let content = unordered_hash(&pair.prompt, &pair.chosen, &pair.rejected);
            by_content
                .get_mut(&content)
                .and_then(Vec::pop)
                .cloned()
                .ok_or_else(|| DataError::Selection {
                    index: kept.id,
                    what: "not among the labelled pairs: give the pairs that were sealed"
                        .to_owned(),
                })
        })
        .collect()
}
