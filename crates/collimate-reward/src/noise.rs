//! Noise on the tokens that a reward model learns from.

use std::collections::BTreeSet;

use collimate_core::{Key, OptionError, Purpose, Range};
use collimate_data::TokenizedPair;
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// Replaces tokens of prompt and answers at random, in training only.
///
/// A student that learns self-labels from clean texts only learns to repeat its teacher. Noise on
/// its input forces the student to find more of the features that the labels depend on (Noisy
/// Student, [arXiv:1911.04252](https://arxiv.org/abs/1911.04252)).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenNoise {
    share: f64,
    spared: BTreeSet<u32>,
    replacements: Vec<u32>,
}

impl TokenNoise {
    /// Returns noise that replaces each token with probability `share` by one of `replacements`.
    /// Tokens in `spared` (special tokens, punctuation) are never replaced. Use the unknown or mask
    /// token as the replacement; if the tokenizer has none, give many tokens, of which one is drawn
    /// each time.
    ///
    /// # Errors
    /// A share outside \[0, 1), or no replacement.
    ///
    /// # Examples
    /// ```
    /// use collimate_core::Key;
    /// use collimate_data::TokenizedPair;
    /// use collimate_reward::TokenNoise;
    /// let pair = TokenizedPair {
    ///     prompt: vec![1; 500], chosen: vec![5; 500], rejected: vec![6; 500],
    ///     ..TokenizedPair::default()
    /// };
    /// let noise = TokenNoise::new(0.3, [1].into(), vec![3])?;
    /// let noised = noise.apply(&pair, Key::new(0, "student"));
    /// assert_eq!(noised.prompt, pair.prompt);
    /// let replaced = noised.chosen.iter().filter(|id| **id == 3).count();
    /// assert!((110..190).contains(&replaced), "{replaced} of 500");
    /// # Ok::<(), collimate_core::OptionError>(())
    /// ```
    pub fn new(
        share: f64,
        spared: BTreeSet<u32>,
        replacements: Vec<u32>,
    ) -> Result<Self, OptionError> {
        Range::BelowOne.check("noise", share)?;
        let allowed = "at least one token that replaces others";
        OptionError::check("replacements", 0, allowed, !replacements.is_empty())?;
        Ok(Self {
            share,
            spared,
            replacements,
        })
    }

    /// Returns the pair with noise. The key alone decides which tokens are replaced.
    pub fn apply(&self, pair: &TokenizedPair, key: Key) -> TokenizedPair {
        let mut rng = key.rng(Purpose::Noise);
        let mut part = |ids: &[u32]| -> Vec<u32> {
            ids.iter()
                .map(|&id| {
                    let hit = rng.random::<f64>() < self.share;
                    if !hit || self.spared.contains(&id) {
                        return id;
                    }
                    match self.replacements.as_slice() {
                        [only] => *only,
                        many => many[rng.random_range(0..many.len())],
                    }
                })
                .collect()
        };
        TokenizedPair {
            prompt: part(&pair.prompt),
            chosen: part(&pair.chosen),
            rejected: part(&pair.rejected),
            truncated: pair.truncated,
            margin: pair.margin,
            weight: pair.weight,
        }
    }
}
