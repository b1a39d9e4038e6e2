//! ROUGE-L between two texts.

use std::collections::HashMap;

/// Returns the words of a text for ROUGE: runs of letters and digits, in lower case.
///
/// # Differs from
/// The `rouge-score` package, which keeps only ASCII letters and digits. On ASCII texts both agree,
/// but `für` is one word here and two there. A script without blanks gives one word per run.
///
/// # Examples
/// ```
/// assert_eq!(collimate_judge::tokens("Don't -- STOP 2day!"), ["don", "t", "stop", "2day"]);
/// ```
pub fn tokens(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Returns the ROUGE-L of two texts: the F-measure on the longest common subsequence of their
/// [`tokens`] (Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004, with β = 1).
///
/// ```text
/// P = LCS/n,  R = LCS/m,  F = 2PR/(P + R) = 2·LCS/(m + n);  0 if a text has no words
/// ```
///
/// Self-Instruct's novelty filter uses this measure
/// ([arXiv:2212.10560](https://arxiv.org/abs/2212.10560)), without stemming.
///
/// # Examples
/// ```
/// let f = collimate_judge::rouge_l("the cat sat on the mat", "the cat lay on a mat");
/// assert_eq!(f, 4.0 / 6.0);
/// ```
pub fn rouge_l(a: &str, b: &str) -> f64 {
    let mut vocabulary = Vocabulary::default();
    let (a, b) = (vocabulary.ids(a), vocabulary.ids(b));
    similarity(&Pattern::new(&a, vocabulary.len()), &b)
}

/// Returns the F-measure of a pattern's text and another text, 0 without words.
pub(crate) fn similarity(pattern: &Pattern, other: &[u32]) -> f64 {
    if pattern.len == 0 || other.is_empty() {
        return 0.0;
    }
    2.0 * pattern.common(other) as f64 / (pattern.len + other.len()) as f64
}

/// Numbers of words.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vocabulary(HashMap<String, u32>);

impl Vocabulary {
    pub(crate) fn ids(&mut self, text: &str) -> Vec<u32> {
        let id = |word: String| {
            let next = self.0.len() as u32;
            *self.0.entry(word).or_insert(next)
        };
        tokens(text).into_iter().map(id).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A text prepared for comparison with many others. Bits mark the positions of each word.
pub(crate) struct Pattern {
    pub(crate) len: usize,
    /// Number of 64-bit blocks.
    blocks: usize,
    /// For each word of the vocabulary, 1 + the row of the word in `places`, or 0.
    rows: Vec<u32>,
    places: Vec<u64>,
}

impl Pattern {
    pub(crate) fn new(words: &[u32], vocabulary: usize) -> Self {
        let blocks = words.len().div_ceil(64);
        let mut rows = vec![0_u32; vocabulary];
        let (mut places, mut used) = (Vec::new(), 0_u32);
        for (at, &word) in words.iter().enumerate() {
            let row = &mut rows[word as usize];
            if *row == 0 {
                used += 1;
                *row = used;
                places.resize(used as usize * blocks, 0);
            }
            places[(*row as usize - 1) * blocks + at / 64] |= 1 << (at % 64);
        }
        Self {
            len: words.len(),
            blocks,
            rows,
            places,
        }
    }

    /// Returns the length of the longest common subsequence.
    ///
    /// The table of the algorithm is processed 64 columns at a time. A bit of `free` is 0 where the
    /// table rises from one column to the next (Hyyrö, "Bit-parallel LCS-length computation
    /// revisited", 2004).
    pub(crate) fn common(&self, other: &[u32]) -> usize {
        let mut free = vec![u64::MAX; self.blocks];
        for &word in other {
            let row = self.rows[word as usize] as usize;
            if row == 0 {
                continue;
            }
            let places = &self.places[(row - 1) * self.blocks..row * self.blocks];
            let mut carry = false;
            for (free, &places) in free.iter_mut().zip(places) {
                let (sum, over) = free.overflowing_add(*free & places);
                let (sum, over_carry) = sum.overflowing_add(u64::from(carry));
                carry = over || over_carry;
                *free = sum | (*free & !places);
            }
        }
        // Bits beyond the end of the pattern stay 1, since no word has a place there.
        free.iter().map(|free| free.count_zeros() as usize).sum()
    }
}
