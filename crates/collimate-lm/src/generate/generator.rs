//! A decoder and its tokenizer as a [`Generator`].

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use burn::module::Module;
use collimate_core::{Completion, GenerateError, Generator, OptionError, Prompt, Sampling};
use collimate_data::TextTokenizer;
use collimate_nn::{Adapters, CausalLm, KvCache, LoadError};

use super::lanes::Work;
use super::watch::Watch;
use crate::hf::eos_token_ids;

/// Amount of work and memory at a time. It affects speed and memory. On flex it never changes a
/// completion; elsewhere it may change one by rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Number of completions that grow together.
    pub rows: usize,
    /// Number of tokens whose keys and values are stored at a time. It counts each prompt in
    /// progress once, and each of its completions at the largest possible length. A single
    /// completion may exceed it.
    pub tokens: usize,
    /// Maximum number of parallel batches, each on its own thread with a share of `rows` and
    /// `tokens`. There are at most as many batches as prompts, and each has room for the longest
    /// completion. `None`: one batch per thread if rows are computed independently (flex) and the
    /// model is too small for one batch to keep all threads busy, otherwise 1.
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

/// Number of parameters up to which a step is too little work to share among threads. With a larger
/// model, every lane would read all weights from memory.
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

/// Generates completions with a decoder.
///
/// Every prompt is processed once, whatever the number of samples. Completions grow together in one
/// batch or in several parallel batches. Finished completions leave a batch and waiting ones enter.
/// Random numbers depend only on (seed, the prompt's tokens, sample, position). On flex the logits
/// of a row do not depend on the other rows either, bit for bit. A completion is therefore the same
/// in any batch and any order. On other backends this holds up to rounding, which can change a
/// token. If a prompt occurs k times in one call, the copies together get the same k·n samples as
/// one prompt with `n` = k·n.
///
/// If a stop text is a single special token, which never appears in text, it ends a completion as a
/// token.
///
/// The first call copies the weights in the order in which a step reads them. Later calls, and those of
/// clones, use the same copies. They live as long as the generator, or until [`Self::forget`].
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
#[derive(Debug)]
pub struct TextGenerator<M: CausalLm> {
    model: M,
    tokenizer: TextTokenizer,
    eos: Vec<u32>,
    adapters: Adapters,
    limits: BatchLimits,
    /// A cache without rows, from the first call on.
    empty: Arc<Mutex<Option<M::Cache>>>,
}

/// Written by hand, because a cache need not implement `Clone`.
impl<M: CausalLm> Clone for TextGenerator<M> {
    fn clone(&self) -> Self {
        Self {
            model: self.model.clone(),
            tokenizer: self.tokenizer.clone(),
            eos: self.eos.clone(),
            adapters: self.adapters,
            limits: self.limits,
            empty: Arc::clone(&self.empty),
        }
    }
}

impl<M: CausalLm> TextGenerator<M> {
    /// Creates a generator whose completions end at the end tokens of the tokenizer. It keeps the
    /// model untracked.
    pub fn new(model: M, tokenizer: TextTokenizer) -> Self {
        let eos = tokenizer.end_tokens().to_vec();
        Self {
            model: model.valid(),
            tokenizer,
            eos,
            adapters: Adapters::On,
            limits: BatchLimits::default(),
            empty: Arc::default(),
        }
    }

    /// Replaces the tokens that end a completion, for example by [`eos_token_ids`]. Without end
    /// tokens, completions end at their length or at a stop text.
    #[must_use]
    pub fn with_eos(self, eos: Vec<u32>) -> Self {
        Self { eos, ..self }
    }

    /// Adds the end tokens that a model's folder names ([`eos_token_ids`]).
    ///
    /// # Errors
    /// A file cannot be read.
    ///
    /// # Differs from
    /// transformers, whose `generate` ignores the tokenizer's EOS if the folder names another. Here
    /// every sequence that a model was trained on ends with the tokenizer's EOS.
    pub fn with_eos_of(mut self, dir: &Path) -> Result<Self, LoadError> {
        self.eos.extend(eos_token_ids(dir)?);
        self.eos.sort_unstable();
        self.eos.dedup();
        Ok(self)
    }

    /// Switches adapters on or off; without adapters the model is the reference model.
    #[must_use]
    pub fn with_adapters(self, adapters: Adapters) -> Self {
        Self {
            adapters,
            empty: Arc::default(),
            ..self
        }
    }

    /// Sets other limits.
    ///
    /// # Errors
    /// A limit is 0.
    pub fn with_limits(self, limits: BatchLimits) -> Result<Self, OptionError> {
        limits.check()?;
        Ok(Self { limits, ..self })
    }

    /// Returns the tokens that end a completion.
    pub fn eos(&self) -> &[u32] {
        &self.eos
    }

    /// Returns the model, untracked.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// Returns the tokenizer.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// Works as [`Generator::generate`] and reports to a watcher.
    ///
    /// # Errors
    /// An option is out of range. The tokenizer or the model cannot take a prompt, or the prompt
    /// leaves no room for an answer. A logit is not finite. The watcher requested a stop.
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

    /// Completes prompts that are already ids, including BOS.
    ///
    /// # Errors
    /// Fails as [`Self::generate_watched`] does.
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
                    "has token id {id}, but the model knows ids below {vocab}: use the tokenizer \
                     that belongs to the model"
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
        work.run(self, self.empty_cache(), lanes, self.limits)
    }

    /// Frees the copies of the weights that calls share. The next call makes them again.
    pub fn forget(&self) {
        *self.empty.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Returns a cache without rows that shares its copies of the weights with other calls.
    fn empty_cache(&self) -> M::Cache {
        let kept = || self.empty.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(empty) = kept().as_ref() {
            return empty.fresh();
        }
        // Made without the lock: threads make it together, and one of them may call here while it
        // waits for the others.
        let new = self.model.new_cache(self.adapters);
        kept().get_or_insert(new).fresh()
    }

    /// Returns the number of parallel batches, each with room for the longest completion.
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
