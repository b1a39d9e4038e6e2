//! Rows that a store can hold.

use crate::tokenize::{TokenizedExample, TokenizedPair};

/// Numbers of a row that are not token ids.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RowNumbers {
    /// Margin by which the chosen answer should win. `None` if the row has none.
    pub margin: Option<f32>,
    /// Weight of the row. `None` if the row has none.
    pub weight: Option<f32>,
}

impl RowNumbers {
    /// Returns true if the row has a margin or a weight.
    pub fn has_any(&self) -> bool {
        self.margin.is_some() || self.weight.is_some()
    }
}

/// Numbers of token ids in the parts of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lengths {
    /// Number of ids of the prompt, including BOS.
    pub prompt: u32,
    /// Numbers of ids of the answers. A pair has the chosen answer first. An example has one
    /// answer, and its second number is 0.
    pub answers: [u32; 2],
}

impl Lengths {
    /// Returns the number of ids of the row. The prompt of a pair counts once.
    pub fn total(&self) -> u64 {
        let [first, second] = self.answers.map(u64::from);
        u64::from(self.prompt) + first + second
    }

    /// Returns the length of the longer sequence of prompt and answer.
    pub fn longest(&self) -> u64 {
        let [first, second] = self.answers;
        u64::from(self.prompt) + u64::from(first.max(second))
    }
}

/// A row that a [`TokenStore`](super::TokenStore) can hold: [`TokenizedPair`] and
/// [`TokenizedExample`]. No other type can implement this trait.
pub trait StoredRow: sealed::Parts + Clone {}

impl StoredRow for TokenizedPair {}
impl StoredRow for TokenizedExample {}

mod sealed {
    use super::RowNumbers;

    /// A row as lists of ids.
    pub trait Parts: Sized {
        /// Name of the kind of rows in `store.json`.
        const KIND: &'static str;
        /// Number of answers of a row.
        const ANSWERS: usize;

        /// Returns the prompt and the answers. An example has an empty second answer.
        fn parts(&self) -> [&[u32]; 3];

        /// Returns true if something was cut.
        fn truncated(&self) -> bool;

        /// Returns the margin and the weight. An example has neither.
        fn numbers(&self) -> RowNumbers;

        /// Makes a row. An example ignores the second answer and the numbers.
        fn of(parts: [Vec<u32>; 3], truncated: bool, numbers: RowNumbers) -> Self;
    }
}

pub(super) use sealed::Parts;

impl Parts for TokenizedPair {
    const KIND: &'static str = "pairs";
    const ANSWERS: usize = 2;

    fn parts(&self) -> [&[u32]; 3] {
        [&self.prompt, &self.chosen, &self.rejected]
    }

    fn truncated(&self) -> bool {
        self.truncated
    }

    fn numbers(&self) -> RowNumbers {
        RowNumbers {
            margin: self.margin,
            weight: self.weight,
        }
    }

    fn of(
        [prompt, chosen, rejected]: [Vec<u32>; 3],
        truncated: bool,
        RowNumbers { margin, weight }: RowNumbers,
    ) -> Self {
        Self {
            prompt,
            chosen,
            rejected,
            truncated,
            margin,
            weight,
        }
    }
}

impl Parts for TokenizedExample {
    const KIND: &'static str = "examples";
    const ANSWERS: usize = 1;

    fn parts(&self) -> [&[u32]; 3] {
        [&self.prompt, &self.completion, &[]]
    }

    fn truncated(&self) -> bool {
        self.truncated
    }

    fn numbers(&self) -> RowNumbers {
        RowNumbers::default()
    }

    fn of([prompt, completion, _]: [Vec<u32>; 3], truncated: bool, _: RowNumbers) -> Self {
        Self {
            prompt,
            completion,
            truncated,
        }
    }
}
