//! Pairs of answers without a label.

use std::collections::{HashMap, HashSet};

use collimate_core::{Completion, Key, PreferencePair, Prompt, Purpose};

use crate::content::{keyed, prompt_hash, secret, unordered_hash};
use crate::read::Candidates;

/// Two different answers to a prompt, in an order without meaning.
#[derive(Debug, Clone, PartialEq)]
pub struct UnlabelledPair {
    /// The prompt of both answers.
    pub prompt: Prompt,
    /// The answers.
    pub answers: [Completion; 2],
}

impl UnlabelledPair {
    /// Makes pairs of the answers of each prompt. Two answers make one pair. More answers make up
    /// to `per_prompt` pairs, drawn by the key. The draw depends on the content of the answers, not
    /// on their order.
    ///
    /// # Examples
    /// ```
    /// use collimate_core::Key;
    /// use collimate_data::{Candidates, UnlabelledPair};
    /// let four = Candidates {
    ///     prompt: "2 + 2 =".into(),
    ///     responses: vec!["1".into(), "2".into(), "3".into(), "4".into()],
    ///     line: 1,
    /// };
    /// let pairs = UnlabelledPair::of(&[four], 3, Key::new(0, "pool"));
    /// assert_eq!(pairs.len(), 3); // of six
    /// ```
    pub fn of(candidates: &[Candidates], per_prompt: usize, key: Key) -> Vec<Self> {
        let draw = secret(key, Purpose::Data);
        let mut all = Vec::new();
        for Candidates {
            prompt, responses, ..
        } in candidates
        {
            let mut pairs = Vec::new();
            for (index, first) in responses.iter().enumerate() {
                for second in &responses[index + 1..] {
                    let content = unordered_hash(prompt, first, second);
                    pairs.push((keyed(&content, &draw), [first, second]));
                }
            }
            pairs.sort_by_key(|(drawn, _)| *drawn);
            all.extend(pairs.into_iter().take(per_prompt).map(|(_, answers)| Self {
                prompt: prompt.clone(),
                answers: answers.map(Clone::clone),
            }));
        }
        all
    }

    /// Drops pairs that are among `known`, in either order of their answers, and drops repeated
    /// pairs. Returns the two counts of dropped pairs.
    pub fn retain_new(pairs: &mut Vec<Self>, known: &[PreferencePair]) -> (usize, usize) {
        let known: HashSet<[u8; 32]> = known
            .iter()
            .map(|pair| unordered_hash(&pair.prompt, &pair.chosen, &pair.rejected))
            .collect();
        let mut seen = HashSet::new();
        let (mut among, mut twice) = (0, 0);
        pairs.retain(|pair| {
            let content = pair.content();
            let is_known = known.contains(&content);
            let is_new = seen.insert(content);
            among += usize::from(is_known);
            twice += usize::from(!is_known && !is_new);
            !is_known && is_new
        });
        (among, twice)
    }

    /// Draws `count` pairs by the key, with as few pairs per prompt as possible. Returns all pairs
    /// if there are at most `count`. The draw depends on the content of the pairs, not on their
    /// order.
    pub fn drawn(pairs: Vec<Self>, count: usize, key: Key) -> Vec<Self> {
        let draw = secret(key, Purpose::Split);
        let mut all: Vec<([u8; 32], Self)> = pairs
            .into_iter()
            .map(|pair| (keyed(&pair.content(), &draw), pair))
            .collect();
        all.sort_by_key(|(drawn, _)| *drawn);
        let mut before: HashMap<[u8; 32], usize> = HashMap::new();
        let mut ranked: Vec<(usize, Self)> = all
            .into_iter()
            .map(|(_, pair)| {
                // Rows without a prompt do not share an empty one.
                let of_prompt = match pair.prompt.is_empty() {
                    true => 0,
                    false => {
                        let seen = before.entry(prompt_hash(&pair.prompt)).or_insert(0);
                        *seen += 1;
                        *seen - 1
                    }
                };
                (of_prompt, pair)
            })
            .collect();
        // The sort is stable, so pairs of equal rank stay in the order of the draw.
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.truncate(count);
        ranked.into_iter().map(|(_, pair)| pair).collect()
    }

    /// Returns the answers as a preference pair whose order is not a label, for code that only
    /// takes pairs.
    pub fn shown(self) -> PreferencePair {
        let [chosen, rejected] = self.answers;
        PreferencePair::new(self.prompt, chosen, rejected)
    }

    fn content(&self) -> [u8; 32] {
        let [first, second] = &self.answers;
        unordered_hash(&self.prompt, first, second)
    }
}

impl From<&PreferencePair> for UnlabelledPair {
    /// Drops the label of a pair.
    fn from(pair: &PreferencePair) -> Self {
        Self {
            prompt: pair.prompt.clone(),
            answers: [pair.chosen.clone(), pair.rejected.clone()],
        }
    }
}
