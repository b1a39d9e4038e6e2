//! The world's tokenizer: one token per word.

use serde::{Deserialize, Serialize};
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::{AddedToken, Tokenizer};

use crate::lexicon::SPECIAL;
use crate::world::World;

/// Ids of the special tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecialIds {
    /// Token that fills short rows; never part of a text.
    pub pad: u32,
    /// Token that begins a sequence.
    pub bos: u32,
    /// Token that ends a sequence.
    pub eos: u32,
    /// Token for every word outside the vocabulary.
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

    /// Makes a word-level tokenizer that splits at white space; once saved, it opens in Hugging Face.
    pub fn tokenizer(&self) -> Tokenizer {
        self.tokenizer_with(&[])
    }

    /// Makes a tokenizer with additional words, for formats such as that of a judge. The ids of the
    /// additional words follow those of [`World::vocabulary`]; a word already in the vocabulary
    /// changes nothing. A line break may be one of the words. It is then a token, with or without
    /// blanks around it.
    ///
    /// # Examples
    /// ```
    /// use collimate_world::{World, WorldConfig};
    /// let world = World::new(&WorldConfig::default())?;
    /// let tokenizer = world.tokenizer_with(&["\n", "Score:"]);
    /// let ids = tokenizer.encode("fine\nScore: 4", false).unwrap();
    /// assert_eq!(ids.get_tokens(), ["fine", "\n", "Score:", "4"]);
    /// # Ok::<(), collimate_world::WorldError>(())
    /// ```
    pub fn tokenizer_with(&self, words: &[&str]) -> Tokenizer {
        let mut all: Vec<&str> = self.vocabulary().to_vec();
        for word in words {
            if !all.contains(word) {
                all.push(word);
            }
        }
        let model = WordLevel::builder()
            .vocab(
                all.iter()
                    .zip(0u32..)
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
        // White space would be lost, because words are split at it.
        let blank = words.iter().filter(|word| word.trim().is_empty());
        tokenizer
            .add_tokens(blank.map(|word| AddedToken::from(*word, false)))
            .expect("the words are in the vocabulary");
        tokenizer
    }
}
