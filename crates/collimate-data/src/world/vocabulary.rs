//! The world's tokenizer: one token per word.

use serde::{Deserialize, Serialize};
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::{AddedToken, Tokenizer};

use super::World;
use super::lexicon::SPECIAL;

/// Ids of the special tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecialIds {
    /// Fills short rows; never part of a text.
    pub pad: u32,
    /// Begins a sequence.
    pub bos: u32,
    /// Ends a sequence.
    pub eos: u32,
    /// Stands for every word outside the vocabulary.
    pub unk: u32,
}

impl World {
    /// Ids of the special tokens, the same in every world.
    pub const SPECIAL: SpecialIds = SpecialIds {
        pad: 0,
        bos: 1,
        eos: 2,
        unk: 3,
    };

    /// A word-level tokenizer that splits at white space; saved, it opens in Hugging Face.
    pub fn tokenizer(&self) -> Tokenizer {
        let vocabulary = self.vocabulary().iter().zip(0u32..);
        let model = WordLevel::builder()
            .vocab(
                vocabulary
                    .map(|(word, id)| ((*word).to_owned(), id))
                    .collect(),
            )
            .unk_token("[UNK]".to_owned())
            .build()
            .expect("the vocabulary holds the unknown token");
        let mut tokenizer = Tokenizer::new(model);
        tokenizer.with_pre_tokenizer(Some(WhitespaceSplit));
        tokenizer
            .add_special_tokens(SPECIAL.map(|token| AddedToken::from(token, true)))
            .expect("special tokens are in the vocabulary");
        tokenizer
    }
}
