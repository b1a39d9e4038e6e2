//! Options of the command `reward`, and their short names.

use std::path::PathBuf;

use collimate::data::{ChatFallback, Format, HhTurns, OnBadRow};
use collimate::lm::LlamaConfig;
use collimate::nn::{LoraConfig, Pooling};
use collimate::prelude::Device;
use collimate::recipes::Adaptation;
use collimate::recipes::reward_model::RewardModelConfig;
use collimate::train::{Schedule, TrainConfig};
use collimate::world::WorldConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Failure, usage};
use crate::files;
use crate::lengths;
use crate::options::{Flag, Given, Layered, MOST_TEXTS, Options, RunArgs, check_count};
use crate::preview::{Preview, RowsOf, Training};
use crate::runs::changed;

/// Train a reward model from labelled preference pairs, using every label.
///
/// Without --data, a small language model is trained from scratch on an embedded synthetic world whose
/// true reward is known. With --data and --model, your pairs and your model folder are used; for few
/// labels and many pairs without labels, use the command ser.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options<Reward>,
}

/// Everything that decides a run's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Preference pairs: hh-rlhf or TRL jsonl (.gz too), UltraFeedback, tables, OASST trees; several
    /// files are read in turn. 10 % of the prompts are for validation.
    #[serde(deserialize_with = "files::one_or_many")]
    pub(crate) data: Vec<PathBuf>,
    /// Test pairs; without them 20 % of the data's prompts, chosen by hash.
    #[serde(deserialize_with = "files::one_or_many")]
    pub(crate) test: Vec<PathBuf>,
    /// Hugging Face folder (Llama or BERT) that the reward model starts from.
    pub(crate) model: Option<PathBuf>,
    /// Format of the files; without one it is recognised.
    pub(crate) format: Option<Format>,
    /// Treatment of a row that cannot be read: fail, or drop and count it.
    pub(crate) on_bad_row: OnBadRow,
    /// Prompt of an hh-rlhf dialogue: the last turn or the full dialogue.
    pub(crate) hh_turns: HhTurns,
    /// Treatment of messages where the model has no chat template: refuse them, or write plain text with
    /// their roles.
    pub(crate) chat_fallback: ChatFallback,
    /// Pooling of an encoder; without one the folder decides.
    pub(crate) pooling: Option<Pooling>,
    /// The training.
    pub(crate) reward: RewardModelConfig,
    /// Number of unlabelled texts of the synthetic world that its decoder reads first.
    pub(crate) pretrain_texts: usize,
    /// Training of the decoder from scratch on these texts.
    pub(crate) pretrain: TrainConfig,
    /// Fine-tuning of the decoder from scratch on chosen answers.
    pub(crate) sft: TrainConfig,
    /// The synthetic world, where no file is given.
    pub(crate) world: WorldConfig,
    /// The decoder that is trained from scratch on the synthetic world.
    pub(crate) llama: LlamaConfig,
}

impl Default for Config {
    fn default() -> Self {
        let stage = |stage: &str, learning_rate, batch_size, epochs| TrainConfig {
            stage: stage.to_owned(),
            learning_rate,
            schedule: Schedule::Cosine,
            warmup_steps: 20,
            batch_size,
            epochs,
            save_every: Some(200),
            keep_best: false,
            ..TrainConfig::default()
        };
        Self {
            data: Vec::new(),
            test: Vec::new(),
            model: None,
            format: None,
            on_bad_row: OnBadRow::Fail,
            hh_turns: HhTurns::LastTurnOnly,
            chat_fallback: ChatFallback::default(),
            pooling: None,
            reward: RewardModelConfig::default(),
            pretrain_texts: 0,
            pretrain: stage("pretrain", 3e-3, 64, 2.0),
            sft: stage("sft", 1e-3, 32, 3.0),
            world: WorldConfig::default(),
            llama: LlamaConfig::default(),
        }
    }
}

impl Config {
    /// Defaults for the synthetic world, with the decoder and the training of the command `ser`.
    fn for_world() -> Self {
        let default = Self::default();
        Self {
            pretrain_texts: 24_000,
            reward: RewardModelConfig {
                max_length: 128,
                train: TrainConfig {
                    learning_rate: 1e-3,
                    epochs: 3.0,
                    warmup_ratio: 0.05,
                    ..default.reward.train
                },
                ..default.reward
            },
            llama: LlamaConfig {
                hidden_size: 96,
                intermediate_size: 256,
                num_hidden_layers: 3,
                num_attention_heads: 4,
                num_key_value_heads: 4,
                max_position_embeddings: 256,
                ..LlamaConfig::default()
            },
            ..default
        }
    }
}

/// The command `reward`.
#[derive(Debug)]
pub(crate) struct Reward;

impl Layered for Reward {
    type Config = Config;
    const NAME: &'static str = "reward";
    const OWN: &'static str = "data";

    fn defaults(own: bool) -> Result<Config, Failure> {
        Ok(match own {
            true => Config::default(),
            false => Config::for_world(),
        })
    }

    fn flags() -> Vec<Flag<Config>> {
        vec![
            Flag::of("data", "FILE", &["data"]),
            Flag::of("test", "FILE", &["test"]),
            Flag::of("model", "DIR", &["model"]),
            Flag::of("lr", "RATE", &["reward.train.learning_rate"]),
            Flag::of("batch", "N", &["reward.train.batch_size"]),
            Flag::of("epochs", "N", &["reward.train.epochs"]),
            Flag::of("steps", "N", &["reward.train.max_steps"]),
            Flag::of("max-length", "N", &["reward.max_length"]),
            Flag::of("max-prompt-length", "N", &["reward.max_prompt_length"]).rare(),
            Flag::switch(
                "lora",
                &["reward.adaptation"],
                "Train low-rank adapters (r 8, alpha 32, dropout 0.1) and the head instead of all weights",
                |config: &mut Config, _, _| {
                    config.reward.adaptation = Adaptation::Lora(LoraConfig::default());
                    Ok(())
                },
            ),
            Flag::of("seed", "N", &["reward.seed", "pretrain.seed", "sft.seed"]),
            Flag::of("pooling", "POOLING", &["pooling"]).rare(),
            Flag::of("format", "NAME", &["format"]).rare(),
            Flag::of("on-bad-row", "POLICY", &["on_bad_row"]).rare(),
            Flag::of("hh-turns", "TURNS", &["hh_turns"]).rare(),
            Flag::of("chat-fallback", "HOW", &["chat_fallback"]).rare(),
        ]
    }

    fn settle(config: &mut Config, given: &Given) -> Result<(), Failure> {
        let model = config.model.as_deref();
        let length = &mut config.reward.max_length;
        lengths::cap(length, given.has("reward.max_length"), model);
        for (path, seed) in [
            ("sft.seed", &mut config.sft.seed),
            ("pretrain.seed", &mut config.pretrain.seed),
        ] {
            if !given.has(path) {
                *seed = config.reward.seed;
            }
        }
        config.reward.check()?;
        config.sft.validate()?;
        config.pretrain.validate()?;
        check_count("pretrain_texts", config.pretrain_texts, 0..=MOST_TEXTS)?;
        if config.data.is_empty() == config.model.is_some() {
            return Err(usage(
                "data and model go together: give both --data and --model, or neither",
            ));
        }
        let for_files = [
            ("test", !config.test.is_empty()),
            ("format", config.format.is_some()),
            ("pooling", config.pooling.is_some()),
            ("on_bad_row", given.typed("on_bad_row")),
            ("hh_turns", given.typed("hh_turns")),
            ("chat_fallback", given.typed("chat_fallback")),
        ];
        let default = Config::default();
        let for_world = [
            ("world", config.world != default.world),
            ("llama", config.llama != default.llama),
            (
                "pretrain_texts",
                config.pretrain_texts != default.pretrain_texts,
            ),
            ("pretrain", changed(&config.pretrain, &default.pretrain)),
            ("sft", changed(&config.sft, &default.sft)),
        ];
        let (all, of) = match config.data.is_empty() {
            true => (
                &for_files[..],
                "data files: give --data and --model too, or leave it out",
            ),
            false => (
                &for_world[..],
                "the synthetic world: leave it out with --data and --model",
            ),
        };
        if let Some((name, _)) = all.iter().find(|(_, given)| *given) {
            return Err(format!("{name} is for {of}").into());
        }
        Ok(())
    }

    fn preview(config: &Config) -> Option<Preview> {
        Some(Preview {
            model: config.model.clone()?,
            writes: false,
            files: config.data.clone(),
            rows: RowsOf::Pairs,
            reading: files::options(config.format, config.on_bad_row, config.hh_turns),
            chat_fallback: config.chat_fallback,
            max_length: config.reward.max_length,
            max_prompt_length: config.reward.max_prompt_length,
            truncation: config.reward.truncation,
            lora: matches!(config.reward.adaptation, Adaptation::Lora(_)),
            trainings: vec![Training {
                name: "reward",
                share: if config.test.is_empty() { 0.7 } else { 0.9 },
                train: config.reward.train.clone(),
                times: 1,
                passes: 0,
            }],
            left_out: Some("evaluation"),
        })
    }

    fn run(config: &Config, run: &RunArgs, device: &Device) -> Result<(), Failure> {
        super::run::run(config, run, device)
    }
}
