//! A model with everything that belongs to it, in one folder.

use std::path::Path;

use burn::tensor::Device;
use collimate_core::PreferencePair;
use collimate_data::{
    DataError, SftExample, TextTokenizer, TokenizeReport, TokenizedExample, TokenizedPair,
    Truncation,
};
use collimate_nn::{CausalLm, HfFolder, LoadError, SaveError, SaveOptions};
use thiserror::Error;

use crate::TextGenerator;
use crate::hf::eos_token_ids;

/// Error for a folder of model and tokenizer that cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PretrainedError {
    /// The tokenizer's files cannot be read or written.
    #[error(transparent)]
    Tokenizer(#[from] DataError),
    /// The model's files cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file of the model cannot be written.
    #[error(transparent)]
    Save(#[from] SaveError),
}

/// A model with its tokenizer, its end tokens and the length of its longest sequence, read from and
/// saved into one Hugging Face folder.
///
/// # Examples
/// ```
/// use burn::tensor::Device;
/// use collimate_core::{Generator, Prompt, Sampling};
/// use collimate_lm::{Llama, Pretrained};
///
/// // A tiny random model; any folder of Hugging Face with a model and a tokenizer will do.
/// let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/hf/llama-untied");
/// let policy = Pretrained::<Llama>::from_folder(dir.as_ref(), &Device::flex())?;
/// let prompts = [Prompt::from("Once upon a time")];
/// let sampling = Sampling { max_new_tokens: 4, ..Sampling::default() };
/// let answers = policy.generator().generate(&prompts, &sampling)?;
/// let written = answers[0][0].tokens.as_ref().expect("a local model names its tokens");
/// assert!((1..=4).contains(&written.len()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Pretrained<M> {
    /// The model.
    pub model: M,
    /// The tokenizer of the model.
    pub tokenizer: TextTokenizer,
    /// Tokens that end an answer, besides the tokenizer's EOS.
    pub eos: Vec<u32>,
    /// Length of the longest sequence in tokens, prompt and answer together.
    pub max_length: usize,
}

impl<M: HfFolder> Pretrained<M> {
    /// Default of the longest sequence, in tokens; a folder can only name a shorter one.
    pub const DEFAULT_MAX_LENGTH: usize = 1024;

    /// Reads a folder.
    ///
    /// The longest sequence is the smallest of three numbers: the longest that the model takes, the
    /// length the tokenizer was trained with, and [`DEFAULT_MAX_LENGTH`](Self::DEFAULT_MAX_LENGTH).
    ///
    /// # Errors
    /// Fails as [`HfFolder::load`] and [`TextTokenizer::from_folder`] do.
    pub fn from_folder(dir: &Path, device: &Device) -> Result<Self, PretrainedError> {
        Self::from_folder_with(dir, |dir| M::load(dir, device))
    }

    /// Reads a folder and lets `load` read the model. `load` may, for example, give a reward model
    /// without a head a fresh head.
    ///
    /// # Errors
    /// Fails as [`from_folder`](Self::from_folder) does.
    pub fn from_folder_with(
        dir: &Path,
        load: impl FnOnce(&Path) -> Result<M, LoadError>,
    ) -> Result<Self, PretrainedError> {
        // The tokenizer is read first: this is quick and detects a folder without one.
        let tokenizer = TextTokenizer::from_folder(dir)?;
        let eos = eos_token_ids(dir)?;
        let model = load(dir)?;
        let longest = [model.context_length(), Self::DEFAULT_MAX_LENGTH];
        let max_length = longest.into_iter().chain(tokenizer.max_length()).min();
        Ok(Self {
            max_length: max_length.unwrap_or(Self::DEFAULT_MAX_LENGTH),
            model,
            tokenizer,
            eos,
        })
    }

    /// Writes model and tokenizer into a folder that [`from_folder`](Self::from_folder) and
    /// transformers can open.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), PretrainedError> {
        self.save_with(&SaveOptions::default(), dir)
    }

    /// Writes model and tokenizer with a number type and a size of files. The padding token and the
    /// longest sequence are taken from here unless the options name them.
    ///
    /// # Errors
    /// A file cannot be written, or the number type cannot hold a weight.
    pub fn save_with(&self, options: &SaveOptions, dir: &Path) -> Result<(), PretrainedError> {
        let options = SaveOptions {
            pad_token_id: options.pad_token_id.or(self.tokenizer.special().pad),
            max_length: options.max_length.or(Some(self.max_length)),
            ..*options
        };
        self.model.save_with(&options, dir)?;
        let tokenizer = self.tokenizer.clone().with_max_length(self.max_length);
        Ok(tokenizer.save(dir)?)
    }
}

impl<M> Pretrained<M> {
    /// Sets the length of the longest sequence, in tokens.
    #[must_use]
    pub fn with_max_length(self, max_length: usize) -> Self {
        Self { max_length, ..self }
    }

    /// Applies a function to the model and keeps everything else.
    pub fn map<N>(self, change: impl FnOnce(M) -> N) -> Pretrained<N> {
        Pretrained {
            model: change(self.model),
            tokenizer: self.tokenizer,
            eos: self.eos,
            max_length: self.max_length,
        }
    }

    /// Returns another model with the same tokenizer, end tokens and longest sequence: one that was trained from
    /// this one.
    pub fn with_model<N>(&self, model: N) -> Pretrained<N> {
        Pretrained {
            model,
            tokenizer: self.tokenizer.clone(),
            eos: self.eos.clone(),
            max_length: self.max_length,
        }
    }

    /// Applies a function that can fail to the model, such as training, and keeps everything else.
    ///
    /// # Errors
    /// Returns the error of the function.
    pub fn try_map<N, E>(self, change: impl FnOnce(M) -> Result<N, E>) -> Result<Pretrained<N>, E> {
        Ok(Pretrained {
            model: change(self.model)?,
            tokenizer: self.tokenizer,
            eos: self.eos,
            max_length: self.max_length,
        })
    }

    /// Encodes preference pairs, cut to the longest sequence ([`Truncation::KeepEnd`]).
    ///
    /// # Errors
    /// Fails as [`TextTokenizer::encode_pairs`] does.
    pub fn encode_pairs(
        &self,
        pairs: &[PreferencePair],
    ) -> Result<(Vec<TokenizedPair>, TokenizeReport), DataError> {
        self.tokenizer
            .encode_pairs(pairs, self.max_length, Truncation::KeepEnd)
    }

    /// Encodes prompts with one answer each, cut to the longest sequence
    /// ([`Truncation::KeepEnd`]).
    ///
    /// # Errors
    /// Fails as [`TextTokenizer::encode_examples`] does.
    pub fn encode_examples(
        &self,
        examples: &[SftExample],
    ) -> Result<(Vec<TokenizedExample>, TokenizeReport), DataError> {
        self.tokenizer
            .encode_examples(examples, self.max_length, Truncation::KeepEnd)
    }
}

impl<M: CausalLm + Clone> Pretrained<M> {
    /// Returns a generator with a copy of the model. Completions end at the end tokens of tokenizer
    /// and folder.
    pub fn generator(&self) -> TextGenerator<M> {
        let mut eos = self.tokenizer.end_tokens().to_vec();
        eos.extend(&self.eos);
        eos.sort_unstable();
        eos.dedup();
        TextGenerator::new(self.model.clone(), self.tokenizer.clone()).with_eos(eos)
    }
}
