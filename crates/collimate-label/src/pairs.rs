//! The pairs to label, without any trace of the labels, or of the order of two answers, in their file.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use collimate_core::{Completion, Prompt};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A hash of a pair's content: the prompt and both answers, in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PairKey([u8; 16]);

impl PairKey {
    fn of(prompt: &Prompt, answers: &[String; 2]) -> Self {
        let mut hasher = blake3::Hasher::new();
        let turns = serde_json::to_vec(prompt).unwrap_or_default();
        for part in [&turns[..], answers[0].as_bytes(), answers[1].as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(key)
    }

    /// Returns a number that depends on all of the content, for keyed randomness.
    pub(crate) fn number(self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(bytes)
    }
}

impl fmt::Display for PairKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for PairKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a pair key: a key has 32 hexadecimal digits");
        if text.len() != 32 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut key = [0; 16];
        for (index, byte) in key.iter_mut().enumerate() {
            let digits = &text[2 * index..2 * index + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Self(key))
    }
}

impl Serialize for PairKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PairKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Two answers to one prompt, sorted by their text so that the order has no meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelPair {
    prompt: Prompt,
    answers: [String; 2],
    key: PairKey,
}

impl LabelPair {
    /// Returns the prompt.
    pub fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    /// Returns the two answers, sorted.
    pub fn answers(&self) -> [&str; 2] {
        [&self.answers[0], &self.answers[1]]
    }

    /// Returns the hash of the content.
    pub fn key(&self) -> PairKey {
        self.key
    }
}

/// Returns the short hash by which the journal names an answer.
pub(crate) fn answer_name(answer: &str) -> String {
    blake3::hash(answer.as_bytes()).to_hex()[..16].to_owned()
}

/// The pairs of a session, in the order of their rows. Each pair occurs once, and pairs with equal
/// answers are left out.
///
/// # Examples
/// ```
/// use collimate_label::PairSet;
/// let rows = [("2+2?", "4", "5"), ("2+2?", "5", "4"), ("3+3?", "6", "6")];
/// let pairs = PairSet::new(rows.map(|(p, a, b)| (p.into(), a.into(), b.into())));
/// assert_eq!((pairs.len(), pairs.again(), pairs.equal()), (1, 1, 1));
/// ```
#[derive(Debug, Clone, Default)]
pub struct PairSet {
    pairs: Vec<LabelPair>,
    by_key: HashMap<PairKey, usize>,
    again: usize,
    equal: usize,
}

impl PairSet {
    /// Collects the pairs of rows, each with a prompt and two answers in any order.
    pub fn new(rows: impl IntoIterator<Item = (Prompt, Completion, Completion)>) -> Self {
        let mut set = Self::default();
        for (prompt, one, other) in rows {
            let mut answers = [one.text, other.text];
            if answers[0] == answers[1] {
                set.equal += 1;
                continue;
            }
            answers.sort();
            let key = PairKey::of(&prompt, &answers);
            if set.by_key.contains_key(&key) {
                set.again += 1;
                continue;
            }
            set.by_key.insert(key, set.pairs.len());
            set.pairs.push(LabelPair {
                prompt,
                answers,
                key,
            });
        }
        set
    }

    /// Returns the number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Returns true if there is no pair.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Returns the number of rows that were left out because their pair occurred before.
    pub fn again(&self) -> usize {
        self.again
    }

    /// Returns the number of rows that were left out because both answers are the same text.
    pub fn equal(&self) -> usize {
        self.equal
    }

    /// Returns the pair at an index.
    pub fn get(&self, index: usize) -> Option<&LabelPair> {
        self.pairs.get(index)
    }

    /// Returns the index of the pair with a key.
    pub fn find(&self, key: PairKey) -> Option<usize> {
        self.by_key.get(&key).copied()
    }

    pub(crate) fn at(&self, index: usize) -> &LabelPair {
        &self.pairs[index]
    }
}
