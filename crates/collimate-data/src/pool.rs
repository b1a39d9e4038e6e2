//! A pool of pairs whose labels the training path cannot reach.

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
    /// Its name for the [`Auditor`]; never reused, whatever leaves the pool.
    pub id: usize,
    /// What both answers continue.
    pub prompt: Prompt,
    /// The answer shown first.
    pub first: Completion,
    /// The answer shown second.
    pub second: Completion,
}

/// A pair that left the pool with the label that a selection gave it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelfLabelledPair {
    /// The id that it had in the pool.
    pub id: usize,
    /// True if the answer shown first became `chosen`.
    pub chosen_is_first: bool,
    /// The pair to train on; it has no score gap.
    pub pair: PreferencePair,
}

/// The unlabelled pool of SER.
///
/// Preference files list the better answer first, so a pool that kept their order would give the
/// label away. [`HiddenLabelPool::seal`] therefore splits each label off into [`SealedLabels`],
/// sorts the two answers canonically and exchanges them by a coin keyed with (key, content). Pairs
/// stand in an order keyed the same way. Reversing the rows of the file, or chosen and rejected
/// inside every row, gives the same pool. Score gaps are dropped: their sign is the label.
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
/// The labels have no way out but the auditor's counts:
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

    /// Makes a pool of pairs that nobody has labelled: the pool that [`seal`](Self::seal) makes of the
    /// same pairs, whatever their labels.
    pub fn unlabelled(pairs: Vec<UnlabelledPair>, key: Key) -> Self {
        let shown = pairs.into_iter().map(UnlabelledPair::shown);
        Self::seal(shown.collect(), key).0
    }

    /// The pairs left, in the order that a [`Selection`]'s indices mean.
    pub fn pairs(&self) -> &[HiddenPair] {
        &self.pairs
    }

    /// How many pairs are left.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// True if no pair is left.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// How many pairs the pool had when it was sealed.
    pub fn initial_len(&self) -> usize {
        self.initial
    }

    /// Moves the kept pairs out, labelled as the selection says; the others stay, in order.
    ///
    /// Replaying the selections of earlier loops on a freshly sealed pool restores it.
    ///
    /// # Errors
    /// [`DataError::Selection`] if a kept index is out of range or named twice; the pool is then unchanged.
    pub fn take(&mut self, selection: &Selection) -> Result<Vec<SelfLabelledPair>, DataError> {
        let mut swapped: Vec<Option<bool>> = vec![None; self.pairs.len()];
        for kept in &selection.kept {
            let Some(slot) = swapped.get_mut(kept.index) else {
                return Err(DataError::Selection {
                    index: kept.index,
                    what: format!(
                        "the pool has {} pairs: select from `pairs()` as it is now",
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
                pair: PreferencePair {
                    prompt: pair.prompt,
                    chosen,
                    rejected,
                    score_gap: None,
                },
            });
        }
        self.pairs = left;
        Ok(taken)
    }
}

/// The labels of a pool. Nothing can be read from it; it can only be handed to an [`Auditor`].
pub struct SealedLabels {
    first_is_chosen: Vec<bool>,
}

impl fmt::Debug for SealedLabels {
    /// Says how many labels there are, not what they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedLabels({} labels)", self.first_is_chosen.len())
    }
}

/// Compares self-labels with the sealed truth and tells counts only.
#[derive(Debug)]
pub struct Auditor {
    sealed: SealedLabels,
}

/// How many self-labels are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelPrecision {
    /// Self-labels compared.
    pub labelled: usize,
    /// Of these, how many agree with the human label.
    pub correct: usize,
}

impl LabelPrecision {
    /// Correct over labelled; nothing labelled has no precision.
    pub fn value(&self) -> Option<f64> {
        (self.labelled > 0).then(|| self.correct as f64 / self.labelled as f64)
    }
}

impl Auditor {
    /// Takes the sealed labels over.
    pub fn new(sealed: SealedLabels) -> Self {
        Self { sealed }
    }

    /// How many of the self-labels `(id, chosen_is_first)` agree with the truth.
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

/// The same pairs with their human labels: the control "oracle labels for the pairs that were kept".
///
/// It needs the labelled pairs themselves, which a run without this control does not hold any
/// more once they are sealed. Where one content carries two contrary labels, each is used once.
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
