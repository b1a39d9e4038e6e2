//! Options of the command `sera`, and their short names.

use std::path::PathBuf;

use collimate::data::{ChatFallback, Format, HhTurns, OnBadRow};
use collimate::lm::LlamaConfig;
use collimate::losses::{DirectLoss, PreferenceLoss};
use collimate::nn::LoraConfig;
use collimate::prelude::Device;
use collimate::recipes::Adaptation;
use collimate::recipes::sera::{Method, SeraConfig};
use collimate::train::{Schedule, TrainConfig};
use collimate::world::WorldConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Failure, usage};
use crate::files;
use crate::lengths;
use crate::options::{Flag, Given, Layered, MOST_TEXTS, Options, RunArgs, check_count};
use crate::preview::{Preview, RowsOf, Training};

/// Align a language model, let it select the pairs that it has learnt best and write pairs of its
/// own (SeRA, arXiv:2410.09362), and compare with the same loss without that.
///
/// Without --data, a small language model is trained from scratch on an embedded synthetic world,
/// fine-tuned, aligned over the same pairs with the same number of steps (base loss, iterative form,
/// SeRA, SeRA with the share of own pairs that does best on validation), and judged by the world's
/// true reward. With --data and --model, your pairs and your model folder are used.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options<Sera>,
}

/// Everything that decides a run's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Preference pairs: TRL or hh-rlhf jsonl (.gz too), UltraFeedback, tables, OASST trees; several
    /// files are read in turn. 10 % of the prompts are for validation.
    #[serde(deserialize_with = "files::one_or_many")]
    pub(crate) data: Vec<PathBuf>,
    /// Hugging Face folder (Llama) of the policy: fine-tuned already, it is the reference.
    pub(crate) model: Option<PathBuf>,
    /// Folder of a reward model that scores answers to validation prompts; without it, and with data of
    /// your own, no answers are written but those of the reviews.
    pub(crate) judge: Option<PathBuf>,
    /// Format of the files; without one it is recognised.
    pub(crate) format: Option<Format>,
    /// Treatment of a row that cannot be read: fail, or drop and count it.
    pub(crate) on_bad_row: OnBadRow,
    /// Prompt of an hh-rlhf dialogue: the last turn or the full dialogue.
    pub(crate) hh_turns: HhTurns,
    /// Treatment of messages where the model has no chat template: refuse them, or write plain text with
    /// their roles.
    pub(crate) chat_fallback: ChatFallback,
    /// Share of the training pairs whose label is swapped, between 0 and 1.
    pub(crate) label_noise: f64,
    /// Number of prompts that the final policies answer.
    pub(crate) prompts: usize,
    /// Number of plain texts that a decoder from scratch reads first.
    pub(crate) pretrain_texts: usize,
    /// Training of the decoder from scratch on these texts.
    pub(crate) pretrain: TrainConfig,
    /// Fine-tuning of the decoder from scratch on chosen answers.
    pub(crate) sft: TrainConfig,
    /// The alignment.
    pub(crate) align: SeraConfig,
    /// The synthetic world, where no file is given.
    pub(crate) world: WorldConfig,
    /// The decoder that is trained from scratch on the synthetic world.
    pub(crate) llama: LlamaConfig,
}

impl Default for Config {
    fn default() -> Self {
        // So that a killed run loses little.
        let save_every = Some(200);
        let mut align = SeraConfig::default();
        align.train.save_every = save_every;
        align.max_length = lengths::DEFAULT;
        align.methods = vec![
            Method::Base,
            Method::Iterative,
            Method::Sera,
            Method::BestSera,
        ];
        let stage = |stage: &str, learning_rate, batch_size, epochs| TrainConfig {
            stage: stage.to_owned(),
            learning_rate,
            schedule: Schedule::Cosine,
            warmup_steps: 20,
            batch_size,
            epochs,
            save_every,
            keep_best: false,
            ..TrainConfig::default()
        };
        Self {
            data: Vec::new(),
            model: None,
            judge: None,
            format: None,
            on_bad_row: OnBadRow::Fail,
            hh_turns: HhTurns::LastTurnOnly,
            chat_fallback: ChatFallback::default(),
            label_noise: 0.0,
            prompts: 200,
            pretrain_texts: 0,
            pretrain: stage("pretrain", 3e-3, 64, 2.0),
            sft: stage("sft", 1e-3, 32, 3.0),
            align,
            world: WorldConfig::default(),
            llama: LlamaConfig::default(),
        }
    }
}

impl Config {
    /// Defaults for the embedded world: a small decoder from scratch wants larger steps. Chosen in
    /// another world (seed 99) and with a seed that no reported run uses.
    fn for_world() -> Self {
        let default = Self::default();
        let mut align = default.align;
        align.max_length = 128;
        align.loss = align.loss.with_beta(2.0);
        align.train.learning_rate = 1e-4;
        align.responses.max_new_tokens = 32;
        // Not the paper's .7 and 1: they were never the best, and a default run has minutes.
        align.best_of = vec![0.3, 0.5];
        Self {
            prompts: 400,
            pretrain_texts: 24_000,
            align,
            llama: LlamaConfig {
                hidden_size: 96,
                intermediate_size: 256,
                num_hidden_layers: 3,
                max_position_embeddings: 256,
                ..LlamaConfig::default()
            },
            ..default
        }
    }
}

/// The command `sera`.
#[derive(Debug)]
pub(crate) struct Sera;

impl Layered for Sera {
    type Config = Config;
    const NAME: &'static str = "sera";
    const OWN: &'static str = "data";

    fn defaults(own: bool) -> Result<Config, Failure> {
        Ok(match own {
            true => Config::default(),
            false => Config::for_world(),
        })
    }

    fn flags() -> Vec<Flag<Config>> {
        flags()
    }

    fn settle(config: &mut Config, given: &Given) -> Result<(), Failure> {
        settle(config, given)
    }

    fn preview(config: &Config) -> Option<Preview> {
        Some(Preview {
            model: config.model.clone()?,
            writes: true,
            files: config.data.clone(),
            rows: RowsOf::Pairs,
            reading: files::options(config.format, config.on_bad_row, config.hh_turns),
            chat_fallback: config.chat_fallback,
            max_length: config.align.max_length,
            max_prompt_length: config.align.max_prompt_length,
            truncation: config.align.truncation,
            lora: matches!(config.align.adaptation, Adaptation::Lora(_)),
            trainings: vec![Training {
                name: "training",
                share: 0.9,
                train: config.align.train.clone(),
                times: (config.align.methods.len() * config.align.iterations) as u64,
                passes: 1,
            }],
            left_out: Some("the answers that reviews write, and evaluation"),
        })
    }

    fn run(config: &Config, run: &RunArgs, device: &Device) -> Result<(), Failure> {
        super::run::run(config, run, device)
    }
}

/// Short names of the options.
fn flags() -> Vec<Flag<Config>> {
    vec![
        Flag::of("data", "FILE", &["data"]),
        Flag::of("model", "DIR", &["model"]),
        Flag::of("judge", "DIR", &["judge"]),
        Flag::change(
            "loss",
            "NAME",
            &["align.loss"],
            "Loss: dpo, cdpo, rdpo, ipo, slic_hf, simpo, orpo, spin, exo, nca, sppo, bco, apo_zero, \
             apo_down, aot or discopop (formulas: docs/losses.md) [default: dpo]",
            |config: &mut Config, name, _| {
                let loss = name.parse::<PreferenceLoss>()?;
                // The loss that is there keeps its options.
                if loss.name() != config.align.loss.name() {
                    config.align.loss = loss;
                }
                Ok(())
            },
        ),
        Flag::change(
            "beta",
            "BETA",
            &["align.loss"],
            "Strength of the pull towards the reference, above 0; lambda of orpo [default: that of the \
             loss; with DPO on the synthetic world 2]",
            |config: &mut Config, text, _| {
                let beta = text.parse().map_err(|_| "not a number")?;
                config.align.loss = config.align.loss.with_beta(beta);
                Ok(())
            },
        ),
        Flag::of("methods", "NAMES", &["align.methods"]).rare(),
        Flag::of("lr", "RATE", &["align.train.learning_rate"]),
        Flag::of("batch", "N", &["align.train.batch_size"]),
        Flag::change(
            "accumulate",
            "N",
            &["align.train.batch_size"],
            "Number of batches whose gradients are added up before a step [default: 1]",
            |config: &mut Config, text, _| {
                let times: usize = text.parse().map_err(|_| "not a whole number")?;
                let batch = config.align.train.batch_size;
                config.align.train.batch_size = batch.checked_mul(times).ok_or_else(|| {
                    format!(
                        "--batch {batch} times {times} must be at most {} pairs",
                        usize::MAX
                    )
                })?;
                Ok(())
            },
        )
        .rare(),
        Flag::of("steps", "N", &["align.train.max_steps"]),
        Flag::of("epochs", "N", &["align.train.epochs"]),
        Flag::of("max-length", "N", &["align.max_length"]),
        Flag::of("max-prompt-length", "N", &["align.max_prompt_length"]).rare(),
        Flag::of("label-noise", "P", &["label_noise"]).rare(),
        Flag::switch(
            "lora",
            &["align.adaptation"],
            "Train low-rank adapters (r 8, alpha 32, dropout 0.1) instead of all weights",
            |config: &mut Config, _, _| {
                config.align.adaptation = Adaptation::Lora(LoraConfig::default());
                Ok(())
            },
        ),
        Flag::of("seed", "N", &["align.seed"]),
        Flag::of("format", "NAME", &["format"]).rare(),
        Flag::of("on-bad-row", "POLICY", &["on_bad_row"]).rare(),
        Flag::of("hh-turns", "TURNS", &["hh_turns"]).rare(),
        Flag::of("chat-fallback", "HOW", &["chat_fallback"]).rare(),
    ]
}

/// Fills in options that follow from others, and checks the whole.
fn settle(config: &mut Config, given: &Given) -> Result<(), Failure> {
    let model = config.model.as_deref();
    let length = &mut config.align.max_length;
    lengths::cap(length, given.has("align.max_length"), model);
    config.align.check()?;
    config.sft.validate()?;
    config.pretrain.validate()?;
    check_count("prompts", config.prompts, 0..=MOST_TEXTS)?;
    check_count("pretrain_texts", config.pretrain_texts, 0..=MOST_TEXTS)?;
    if !(0.0..=1.0).contains(&config.label_noise) {
        let noise = config.label_noise;
        return Err(format!("label_noise is {noise}: it must be between 0 and 1").into());
    }
    if config.data.is_empty() == config.model.is_some() {
        return Err(usage(
            "data and model go together: give both --data and --model, or neither",
        ));
    }
    match config.data.is_empty() {
        true => refuse_file_options(config, given),
        false => refuse_world_options(config),
    }
}

/// Refuses options that the synthetic world has no use for.
fn refuse_file_options(config: &Config, given: &Given) -> Result<(), Failure> {
    let given = [
        ("judge", config.judge.is_some()),
        ("format", config.format.is_some()),
        ("on_bad_row", given.typed("on_bad_row")),
        ("hh_turns", given.typed("hh_turns")),
        ("chat_fallback", given.typed("chat_fallback")),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(format!(
            "{name} is for data files: give --data and --model too, or leave it out"
        )
        .into()),
        None => Ok(()),
    }
}

/// Refuses options of the synthetic world, which files have no use for.
fn refuse_world_options(config: &Config) -> Result<(), Failure> {
    let default = Config::default();
    let given = [
        ("world", config.world != default.world),
        ("llama", config.llama != default.llama),
        (
            "pretrain_texts",
            config.pretrain_texts != default.pretrain_texts,
        ),
        ("pretrain", config.pretrain != default.pretrain),
        ("sft", config.sft != default.sft),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(format!(
            "{name} is for the synthetic world: leave it out with --data and --model"
        )
        .into()),
        None => Ok(()),
    }
}
