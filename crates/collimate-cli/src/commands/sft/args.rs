//! Options of the command `sft`, and their short names.

use std::path::PathBuf;

use collimate::data::{ChatFallback, Format, HhTurns, OnBadRow, Truncation};
use collimate::lm::LlamaConfig;
use collimate::nn::LoraConfig;
use collimate::prelude::Device;
use collimate::recipes::Adaptation;
use collimate::train::{Schedule, TrainConfig};
use collimate::world::WorldConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Failure, usage};
use crate::files;
use crate::lengths;
use crate::options::{
    Flag, Given, Layered, MOST_TEXTS, MOST_TOKENS, Options, RunArgs, check_count,
};
use crate::preview::{Preview, RowsOf, Training};
use crate::runs::changed;

/// Fine-tune a language model on good answers (supervised fine-tuning).
///
/// Without --data, a small language model is trained from scratch on an embedded synthetic world. With
/// --data and --model, your demonstrations (prompt and completion, messages, or the chosen answers of
/// preference pairs) and your model folder are used.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options<Sft>,
}

/// Everything that decides a run's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Demonstrations: JSON lines of {prompt, completion} or {messages}, or preference pairs, whose
    /// chosen answers are learned; several files are read in turn. 10 % of the prompts are held out.
    #[serde(deserialize_with = "files::one_or_many")]
    pub(crate) data: Vec<PathBuf>,
    /// Hugging Face folder (Llama) of the model.
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
    /// Longest sequence in tokens.
    pub(crate) max_length: usize,
    /// Tokens that a prompt keeps where prompt and answer are longer than the longest sequence; without
    /// a number half of it.
    pub(crate) max_prompt_length: Option<usize>,
    /// Side at which longer sequences are cut.
    pub(crate) truncation: Truncation,
    /// Parameters that are trained: all of them, or low-rank adapters.
    pub(crate) adaptation: Adaptation,
    /// The training.
    pub(crate) sft: TrainConfig,
    /// Number of unlabelled texts of the synthetic world that its decoder reads first.
    pub(crate) pretrain_texts: usize,
    /// Training of the decoder from scratch on these texts.
    pub(crate) pretrain: TrainConfig,
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
            model: None,
            format: None,
            on_bad_row: OnBadRow::Fail,
            hh_turns: HhTurns::LastTurnOnly,
            chat_fallback: ChatFallback::default(),
            max_length: lengths::DEFAULT,
            max_prompt_length: None,
            truncation: Truncation::default(),
            adaptation: Adaptation::Full,
            sft: stage("sft", 2e-5, 16, 3.0),
            pretrain_texts: 0,
            pretrain: stage("pretrain", 3e-3, 64, 2.0),
            world: WorldConfig::default(),
            llama: LlamaConfig::default(),
        }
    }
}

impl Config {
    /// Defaults for the synthetic world, with the decoder of the other commands.
    fn for_world() -> Self {
        let default = Self::default();
        Self {
            max_length: 128,
            pretrain_texts: 24_000,
            sft: TrainConfig {
                learning_rate: 1e-3,
                batch_size: 32,
                ..default.sft
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

/// The command `sft`.
#[derive(Debug)]
pub(crate) struct Sft;

impl Layered for Sft {
    type Config = Config;
    const NAME: &'static str = "sft";
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
            Flag::of("model", "DIR", &["model"]),
            Flag::of("lr", "RATE", &["sft.learning_rate"]),
            Flag::of("batch", "N", &["sft.batch_size"]),
            Flag::of("epochs", "N", &["sft.epochs"]),
            Flag::of("steps", "N", &["sft.max_steps"]),
            Flag::of("max-length", "N", &["max_length"]),
            Flag::of("max-prompt-length", "N", &["max_prompt_length"]).rare(),
            Flag::switch(
                "lora",
                &["adaptation"],
                "Train low-rank adapters (r 8, alpha 32, dropout 0.1) instead of all weights",
                |config: &mut Config, _, _| {
                    config.adaptation = Adaptation::Lora(LoraConfig::default());
                    Ok(())
                },
            ),
            Flag::of("seed", "N", &["sft.seed", "pretrain.seed"]),
            Flag::of("format", "NAME", &["format"]).rare(),
            Flag::of("on-bad-row", "POLICY", &["on_bad_row"]).rare(),
            Flag::of("hh-turns", "TURNS", &["hh_turns"]).rare(),
            Flag::of("chat-fallback", "HOW", &["chat_fallback"]).rare(),
        ]
    }

    fn settle(config: &mut Config, given: &Given) -> Result<(), Failure> {
        let model = config.model.as_deref();
        lengths::cap(&mut config.max_length, given.has("max_length"), model);
        if !given.has("pretrain.seed") {
            config.pretrain.seed = config.sft.seed;
        }
        config.sft.validate()?;
        config.pretrain.validate()?;
        if let Adaptation::Lora(lora) = &config.adaptation {
            lora.check()?;
        }
        check_count("pretrain_texts", config.pretrain_texts, 0..=MOST_TEXTS)?;
        check_count("max_length", config.max_length, 3..=MOST_TOKENS)?;
        if let Some(length) = config.max_prompt_length {
            check_count("max_prompt_length", length, 1..=config.max_length - 1)?;
        }
        if config.data.is_empty() == config.model.is_some() {
            return Err(usage(
                "data and model go together: give both --data and --model, or neither",
            ));
        }
        let for_files = [
            ("format", config.format.is_some()),
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
        match all.iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(format!("{name} is for {of}").into()),
            None => Ok(()),
        }
    }

    fn preview(config: &Config) -> Option<Preview> {
        Some(Preview {
            model: config.model.clone()?,
            writes: true,
            files: config.data.clone(),
            rows: RowsOf::Demonstrations,
            reading: files::options(config.format, config.on_bad_row, config.hh_turns),
            chat_fallback: config.chat_fallback,
            max_length: config.max_length,
            max_prompt_length: config.max_prompt_length,
            truncation: config.truncation,
            lora: matches!(config.adaptation, Adaptation::Lora(_)),
            trainings: vec![Training {
                name: "sft",
                share: 0.9,
                train: config.sft.clone(),
                times: 1,
                passes: 0,
            }],
            left_out: None,
        })
    }

    fn run(config: &Config, run: &RunArgs, device: &Device) -> Result<(), Failure> {
        super::run::run(config, run, device)
    }
}
