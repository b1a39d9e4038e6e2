//! A small language model of the synthetic world.

use burn::tensor::Device;
use collimate_core::{Key, OptionError};
use collimate_data::{DataError, SftExample, SpecialTokenIds, TextTokenizer, Truncation};
use collimate_lm::{Llama, LlamaConfig, Pretrained};
use collimate_nn::Backbone;
use collimate_train::{FitContext, Schedule, TrainConfig};
use collimate_world::World;
use serde::{Deserialize, Serialize};

use super::data::plain_texts;
use crate::{RecipeError, SftPlan, fine_tune};

/// Returns the tokenizer of the synthetic world: one token per word.
///
/// # Errors
/// None for a world of this crate's version.
pub fn world_tokenizer(world: &World) -> Result<TextTokenizer, DataError> {
    world_tokenizer_with(world, &[])
}

/// Returns the tokenizer of the synthetic world with more words.
///
/// # Errors
/// As [`world_tokenizer`].
pub fn world_tokenizer_with(world: &World, words: &[&str]) -> Result<TextTokenizer, DataError> {
    let special = World::SPECIAL;
    let special = SpecialTokenIds {
        bos: Some(special.bos),
        eos: special.eos,
        pad: Some(special.pad),
    };
    TextTokenizer::new(world.tokenizer_with(words), special, None)
}

/// A small language model of the synthetic world: a Llama decoder that starts from random weights, reads
/// plain texts, and is fine-tuned on demonstrations.
///
/// The default is the model of the program `collimate`: 96 wide, three layers, trained in half a minute
/// on two cores. [`small`](Self::small) is trained in ten seconds.
///
/// # Examples
/// ```
/// use burn::tensor::Device;
/// use collimate_core::{Generator, Sampling};
/// use collimate_recipes::world::{WorldData, WorldModel};
/// use collimate_train::FitContext;
/// use collimate_world::{World, WorldConfig};
///
/// let world = World::new(&WorldConfig { pairs: 200, ..WorldConfig::default() })?;
/// let data = WorldData::new(&world, 0)?;
/// // Far too few texts to learn from, so that this example takes no time.
/// let model = WorldModel { plain_texts: 64, ..WorldModel::small() };
/// let policy = model.train(&world, &data.demonstrations, &Device::flex(), &FitContext::silent())?;
/// let answers = policy.generator().generate(&data.test_prompts(2), &Sampling::default())?;
/// assert_eq!(answers.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorldModel {
    /// Seed of the weights, of the texts and of the order of the examples.
    pub seed: u64,
    /// Shape of the decoder; the tokenizer sets its vocabulary.
    pub llama: LlamaConfig,
    /// Longest sequence, in tokens.
    pub max_length: usize,
    /// Words of the tokenizer in addition to the words of the world.
    pub words: Vec<String>,
    /// Number of plain texts that the decoder is pretrained on; 0 leaves the stage out.
    pub plain_texts: usize,
    /// Training on the plain texts.
    pub pretrain: TrainConfig,
    /// Training on the demonstrations.
    pub sft: TrainConfig,
}

impl Default for WorldModel {
    fn default() -> Self {
        Self {
            seed: 0,
            llama: LlamaConfig {
                hidden_size: 96,
                intermediate_size: 256,
                num_hidden_layers: 3,
                num_attention_heads: 4,
                num_key_value_heads: 4,
                max_position_embeddings: 256,
                ..LlamaConfig::default()
            },
            max_length: 128,
            words: Vec::new(),
            plain_texts: 24_000,
            pretrain: stage("pretrain", 3e-3, 64, 2.0),
            sft: stage("sft", 1e-3, 32, 3.0),
        }
    }
}

fn stage(stage: &str, learning_rate: f64, batch_size: usize, epochs: f64) -> TrainConfig {
    TrainConfig {
        stage: stage.to_owned(),
        learning_rate,
        schedule: Schedule::Cosine,
        warmup_steps: 20,
        batch_size,
        epochs,
        // So that a killed run loses little.
        save_every: Some(200),
        keep_best: false,
        ..TrainConfig::default()
    }
}

impl WorldModel {
    /// Returns the options of a smaller decoder that reads half of the texts, for examples and tests.
    pub fn small() -> Self {
        let default = Self::default();
        Self {
            llama: LlamaConfig {
                hidden_size: 64,
                intermediate_size: 128,
                num_hidden_layers: 2,
                max_position_embeddings: 128,
                ..default.llama
            },
            plain_texts: 12_000,
            pretrain: TrainConfig {
                learning_rate: 6e-3,
                batch_size: 16,
                warmup_steps: 80,
                ..default.pretrain
            },
            sft: TrainConfig {
                learning_rate: 2e-3,
                ..default.sft
            },
            ..default
        }
    }

    /// Adds words to the tokenizer.
    #[must_use]
    pub fn with_words(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(|&word| word.to_owned()));
        self
    }

    /// Creates the decoder with random weights, and its tokenizer.
    ///
    /// # Errors
    /// If the shape is not possible, or takes fewer tokens than `max_length`.
    pub fn fresh(&self, world: &World, device: &Device) -> Result<Pretrained<Llama>, RecipeError> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let tokenizer = world_tokenizer_with(world, &words)?;
        let special = tokenizer.special();
        let config = LlamaConfig {
            vocab_size: tokenizer.vocab_size(),
            bos_token_id: special.bos,
            eos_token_id: Some(special.eos),
            pad_token_id: special.pad,
            ..self.llama.clone()
        };
        let model = Llama::new(&config, Key::new(self.seed, "init"), device)?;
        let most = model.max_positions();
        if self.max_length > most {
            let allowed = format!(
                "at most {most} tokens, the context length of the model: give --max-length {most}"
            );
            return Err(OptionError::new("max_length", self.max_length, &allowed).into());
        }
        Ok(Pretrained {
            model,
            tokenizer,
            eos: Vec::new(),
            max_length: self.max_length,
        })
    }

    /// Pretrains the decoder on plain texts of the world, then fine-tunes it on demonstrations. Without
    /// demonstrations it is only pretrained.
    ///
    /// # Errors
    /// As [`fresh`](Self::fresh), options out of range, an interrupt.
    pub fn train(
        &self,
        world: &World,
        demonstrations: &[SftExample],
        device: &Device,
        context: &FitContext<'_>,
    ) -> Result<Pretrained<Llama>, RecipeError> {
        let start = self.fresh(world, device)?;
        let tokenizer = start.tokenizer.clone();
        let learn = |model, texts: &[SftExample], train: &TrainConfig| {
            if texts.is_empty() {
                return Ok(model);
            }
            let train = &TrainConfig {
                seed: self.seed,
                ..train.clone()
            };
            let plan = SftPlan {
                tokenizer: &tokenizer,
                max_length: self.max_length,
                truncation: Truncation::default(),
                train,
            };
            fine_tune(model, texts, &[], &plan, context).map(|(model, _)| model)
        };
        let texts = plain_texts(world, self.plain_texts, self.seed);
        start.try_map(|model| {
            let model = learn(model, &texts, &self.pretrain)?;
            learn(model, demonstrations, &self.sft)
        })
    }
}
