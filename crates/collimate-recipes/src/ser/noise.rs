//! Token noise: tokens that may be replaced, and their replacements.

use std::collections::BTreeSet;

use collimate_data::{TextTokenizer, TokenizedPair};
use collimate_reward::TokenNoise;

use crate::RecipeError;

/// Names of tokens that stand for a missing or unknown word.
const BLANKS: [&str; 6] = ["[MASK]", "<mask>", "[UNK]", "<unk>", "<|unk|>", "<|mask|>"];

/// Tokens of a run's texts, sorted for noise.
pub(crate) struct NoiseTokens {
    spared: BTreeSet<u32>,
    replacements: Vec<u32>,
}

impl NoiseTokens {
    /// Spares special tokens and tokens without a letter or digit. All other tokens are replaced by
    /// the tokenizer's mask or unknown token. Without such a token, they are replaced by words
    /// drawn from the texts.
    pub(crate) fn of<'a>(
        tokenizer: &TextTokenizer,
        pairs: impl Iterator<Item = &'a TokenizedPair>,
    ) -> Result<Self, RecipeError> {
        let mut ids = BTreeSet::new();
        for pair in pairs {
            ids.extend(pair.prompt.iter().chain(&pair.chosen).chain(&pair.rejected));
        }
        let special = tokenizer.special();
        let ends = [special.bos, Some(special.eos), special.pad];
        let added = tokenizer.inner().get_added_tokens_decoder();
        let is_special =
            |id: u32| ends.contains(&Some(id)) || added.get(&id).is_some_and(|token| token.special);
        let mut spared = BTreeSet::new();
        for id in ids.iter().copied() {
            let text = tokenizer.decode(&[id])?;
            if is_special(id) || !text.chars().any(char::is_alphanumeric) {
                spared.insert(id);
            }
        }
        let blank = BLANKS
            .iter()
            .filter_map(|name| tokenizer.inner().token_to_id(name))
            .find(|id| !ends.contains(&Some(*id)));
        let mut replacements: Vec<u32> = match blank {
            Some(blank) => vec![blank],
            None => ids.difference(&spared).copied().collect(),
        };
        if replacements.is_empty() {
            // The texts have no word, so noise changes nothing.
            replacements.push(special.eos);
        }
        Ok(Self {
            spared,
            replacements,
        })
    }

    /// Returns noise that replaces this share of the tokens; `None` for a share of 0.
    pub(crate) fn noise(&self, share: f64) -> Result<Option<TokenNoise>, RecipeError> {
        if share == 0.0 {
            return Ok(None);
        }
        let (spared, replacements) = (self.spared.clone(), self.replacements.clone());
        Ok(Some(TokenNoise::new(share, spared, replacements)?))
    }
}
