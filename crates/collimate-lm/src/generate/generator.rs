//! A decoder and its tokenizer as a [`Generator`].

use std::path::Path;

use burn::module::Module;
use collimate_core::{Completion, GenerateError, Generator, OptionError, Prompt, Sampling};
use collimate_data::TextTokenizer;
use collimate_nn::{Adapters, CausalLm, LoadError};

use super::lanes::Work;
use super::watch::Watch;
use crate::hf::eos_token_ids;

/// How much is computed and remembered at a time. Changes speed and memory; a completion never on
/// flex, and elsewhere only by rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Completions that grow at a time.
    pub rows: usize,
    /// Tokens whose keys and values are remembered at a time: each prompt in work once, and the
    /// longest that its completions can become. A single completion may need more.
    pub tokens: usize,
    /// Most batches that grow side by side, each on a thread of its own with its part of `rows` and
    /// `tokens`; not more than there are prompts, or than the longest completion fits in so many
    /// parts. Without a number: where a row is computed alone (flex), and the model is so small that
    /// one batch does not keep all threads busy, as many as there are threads; else 1.
    pub lanes: Option<usize>,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            rows: 32,
            tokens: 16_384,
            lanes: None,
        }
    }
}

/// Parameters up to which a step is too little work to be shared by threads. Of a larger model
/// every lane would read all weights from memory.
const LANES_UP_TO: usize = 4_000_000;

impl BatchLimits {
    /// Checks the values.
    ///
    /// # Errors
    /// Names the first value that is out of range.
    pub fn check(&self) -> Result<(), OptionError> {
        let lanes = self.lanes.unwrap_or(1);
        for (name, value) in [
            ("rows", self.rows),
            ("tokens", self.tokens),
            ("lanes", lanes),
        ] {
            OptionError::check(name, value, "at least 1", value >= 1)?;
        }
        Ok(())
    }
}

/// Writes completions with a decoder.
///
/// Every prompt is processed once, whatever the number of samples. Completions grow together in a
/// batch, or in several side by side, that the finished ones leave and waiting ones enter. Random
/// numbers depend on (seed, the prompt's tokens, sample, position) only. On flex the logits of a row do not depend, bit by bit, on
/// the other rows either, so a completion is the same in any batch and any order; elsewhere that
/// holds up to rounding, which can tip a token. A prompt that is given again in one call goes on with
/// further samples: k times get the k·n that `n` = k·n would have given it.
///
/// A stop text that is one special token, which no text shows, ends a completion as a token.
///
/// # Examples
/// ```
/// use burn::tensor::Device;
/// use collimate_core::{Generator, Key, Prompt, Sampling};
/// use collimate_data::{SpecialTokenIds, TextTokenizer};
/// use collimate_lm::{Llama, LlamaConfig, TextGenerator};
/// use tokenizers::{Tokenizer, models::wordlevel::WordLevel};
///
/// let words = ["<s>", "</s>", "yes", "no"].iter().zip(0..).map(|(w, i)| (w.to_string(), i));
/// let words = WordLevel::builder().vocab(words.collect()).unk_token("no".into()).build()?;
/// let special = SpecialTokenIds { bos: Some(0), eos: 1, pad: None };
/// let tokenizer = TextTokenizer::new(Tokenizer::new(words), special, None)?;
/// let config = LlamaConfig { vocab_size: 4, hidden_size: 8, intermediate_size: 8,
///     num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1, ..Default::default() };
/// let model = Llama::new(&config, Key::new(0, "init"), &Device::flex())?;
///
/// let generator = TextGenerator::new(model, tokenizer);
/// let sampling = Sampling { n: 2, max_new_tokens: 3, ..Sampling::default() };
/// let answers = generator.generate(&[Prompt::from("yes"), Prompt::from("no")], &sampling)?;
/// assert_eq!((answers.len(), answers[0].len()), (2, 2));
/// assert!(answers.iter().flatten().all(|a| (1..=3).contains(&a.tokens.as_ref().unwrap().len())));
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
#[derive(Debug, Clone)]
pub struct TextGenerator<M> {
    model: M,
    tokenizer: TextTokenizer,
    eos: Vec<u32>,
    adapters: Adapters,
    limits: BatchLimits,
}

impl<M: CausalLm> TextGenerator<M> {
    /// A generator whose completions end at the end tokens of the tokenizer. It keeps the model
    /// untracked.
    pub fn new(model: M, tokenizer: TextTokenizer) -> Self {
        let eos = tokenizer.end_tokens().to_vec();
        Self {
            model: model.valid(),
            tokenizer,
            eos,
            adapters: Adapters::On,
            limits: BatchLimits::default(),
        }
    }

    /// The same with other tokens that end a completion, such as those of
    /// [`eos_token_ids`]; with none, completions end at their length or at a
    /// stop text.
    #[must_use]
    pub fn with_eos(self, eos: Vec<u32>) -> Self {
        Self { eos, ..self }
    }

    /// The same with the tokens that a model's folder names ([`eos_token_ids`]) as well.
    ///
    /// # Errors
    /// Files that cannot be read.
    ///
    /// # Differs from
    /// transformers, whose `generate` ignores the tokenizer's EOS where the folder names another:
    /// here every sequence that a model was trained on ends with the tokenizer's.
    pub fn with_eos_of(mut self, dir: &Path) -> Result<Self, LoadError> {
        self.eos.extend(eos_token_ids(dir)?);
        self.eos.sort_unstable();
        self.eos.dedup();
        Ok(self)
    }

    /// The same with adapters on or off: off is the reference policy.
    #[must_use]
    pub fn with_adapters(self, adapters: Adapters) -> Self {
        Self { adapters, ..self }
    }

    /// The same with other limits.
    ///
    /// # Errors
    /// A limit of 0.
    pub fn with_limits(self, limits: BatchLimits) -> Result<Self, OptionError> {
        limits.check()?;
        Ok(Self { limits, ..self })
    }

    /// The tokens that end a completion.
    pub fn eos(&self) -> &[u32] {
        &self.eos
    }

    /// The model, untracked.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// [`Generator::generate`], watched.
    ///
    /// # Errors
    /// Options out of range; a prompt that the tokenizer or the model cannot take, or that leaves
    /// no room for an answer; logits that are not finite; a watcher's wish to stop.
    pub fn generate_watched(
        &self,
        prompts: &[Prompt],
        sampling: &Sampling,
        watch: &mut dyn Watch,
    ) -> Result<Vec<Vec<Completion>>, GenerateError> {
        let encode = |(index, prompt)| {
            self.tokenizer
                .encode_prompt(prompt)
                .map_err(|error| GenerateError::Prompt {
                    index,
                    message: error.to_string(),
                })
        };
        let ids: Vec<_> = prompts
            .iter()
            .enumerate()
            .map(encode)
            .collect::<Result<_, _>>()?;
        self.continue_ids(&ids, sampling, watch)
    }

    /// Completions of prompts that are ids already, BOS included.
    ///
    /// # Errors
    /// As [`Self::generate_watched`].
    pub fn continue_ids(
        &self,
        prompts: &[Vec<u32>],
        sampling: &Sampling,
        watch: &mut dyn Watch,
    ) -> Result<Vec<Vec<Completion>>, GenerateError> {
        let (vocab, context) = (self.model.vocab_size(), self.model.max_positions());
        for (index, ids) in prompts.iter().enumerate() {
            let refuse = |message| Err(GenerateError::Prompt { index, message });
            if ids.is_empty() {
                return refuse(
                    "has no token: write a text, or use a tokenizer with BOS".to_owned(),
                );
            }
            if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab) {
                return refuse(format!(
                    "has token id {id}, the model knows ids below {vocab}: \
                     use the tokenizer that belongs to the model"
                ));
            }
            if ids.len() >= context {
                return Err(GenerateError::PromptTooLong {
                    index,
                    tokens: ids.len(),
                    context,
                });
            }
        }
        let work = Work::new(&self.tokenizer, prompts, sampling, watch)?;
        let room = |ids: &Vec<u32>| context.min(ids.len().saturating_add(sampling.max_new_tokens));
        let longest = prompts.iter().map(room).max().unwrap_or(1);
        let lanes = self.lanes(prompts.len(), longest);
        work.run(
            self,
            self.model.new_cache(self.adapters),
            lanes,
            self.limits,
        )
    }

    /// Batches side by side, each with room for the longest completion.
    fn lanes(&self, prompts: usize, longest: usize) -> usize {
        let several = || {
            let alone = collimate_ops::is_fused(&self.model.output_weight());
            alone && Module::num_params(&self.model) <= LANES_UP_TO
        };
        let wanted = match self.limits.lanes {
            Some(lanes) => lanes,
            None if several() => rayon::current_num_threads(),
            None => 1,
        };
        let most = prompts
            .min(self.limits.rows)
            .min(self.limits.tokens / longest.max(1));
        wanted.min(most).max(1)
    }
}

impl<M: CausalLm> Generator for TextGenerator<M> {
    fn generate(
        &self,
        prompts: &[Prompt],
        sampling: &Sampling,
    ) -> Result<Vec<Vec<Completion>>, GenerateError> {
        self.generate_watched(prompts, sampling, &mut ())
    }
}
