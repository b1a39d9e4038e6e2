//! Options of the command `reward`, and their short names.

use std::path::PathBuf;

use collimate::data::{
    AnswerPairs, ChatFallback, Format, HhTurns, OnBadRow, OnRewrittenPrompt, ReadOptions,
    TextTokenizer,
};
use collimate::lm::LlamaConfig;
use collimate::nn::{Pooling, Precision};
use collimate::recipes::Adaptation;
use collimate::recipes::reward_model::RewardModelConfig;
use collimate::train::TrainConfig;
use collimate::world::WorldConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run;
use crate::common::Failure;
use crate::files;
use crate::lengths;
use crate::loading::SavedActivations;
use crate::options::{Flag, Given, Inputs, Layered, Options};
use crate::own::flags::{self, Adapts};
use crate::own::{OnData, Own, check, defaults, own};
use crate::preview::{Preview, RowsOf, Training};
use crate::rendering::TemplateKwargs;
use crate::start::Start;

/// Train a reward model from labelled preference pairs, using every label.
///
/// Without --data, a small language model is trained from scratch on an embedded synthetic world
/// whose true reward is known. With --data and --model, your pairs and your model folder are used.
/// If you have few labels and many pairs without labels, use the command ser.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options<Reward>,
}

/// Options that determine the result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Preference pairs: hh-rlhf or TRL jsonl (.gz too), Parquet, UltraFeedback, tables, OASST trees;
    /// several files, folders or patterns are read in turn. 10 % of the prompts are for validation.
    #[serde(deserialize_with = "files::one_or_many")]
    pub(crate) data: Vec<PathBuf>,
    /// Test pairs; if absent, 20 % of the prompts in `data`, chosen by hash.
    #[serde(deserialize_with = "files::one_or_many")]
    pub(crate) test: Vec<PathBuf>,
    /// Hugging Face folder, adapter, GGUF file or hub name of the decoder or encoder that the reward
    /// model starts from.
    pub(crate) model: Option<PathBuf>,
    /// Format of the files; if absent, it is detected.
    pub(crate) format: Option<Format>,
    /// Handling of rows that cannot be read: fail, or drop and count them.
    pub(crate) on_bad_row: OnBadRow,
    /// Pairs to make from several scored answers: all pairs, or best_worst (the best against the
    /// worst).
    pub(crate) answer_pairs: AnswerPairs,
    /// Weight of each `data` in the loss, above 0, in the same order; if empty, all are 1. The weight
    /// multiplies the weights of the pairs.
    pub(crate) data_weights: Vec<f64>,
    /// Folder that keeps the tokens of the training pairs on disk, for more pairs than fit into
    /// memory. A later run with the same input and options reads the tokens there. If absent, the tokens
    /// are kept in memory.
    pub(crate) token_store: Option<PathBuf>,
    /// Prompt of an hh-rlhf dialogue: the last turn or the full dialogue.
    pub(crate) hh_turns: HhTurns,
    /// Handling of messages if the model has no chat template: refuse them, or write them as plain
    /// text with their roles.
    pub(crate) chat_fallback: ChatFallback,
    /// Name of a chat template in the model folder; if absent, `default` is used.
    pub(crate) chat_template: Option<String>,
    /// Variables passed to the chat template for all rows, such as `enable_thinking: false`.
    pub(crate) chat_template_kwargs: TemplateKwargs,
    /// Date that the chat template uses as today, such as `2025-01-31`; if absent, the day of the
    /// run in UTC.
    pub(crate) template_date: Option<String>,
    /// Handling of rows whose prompt is tokenised differently once the answer follows: count them,
    /// or fail.
    pub(crate) on_rewritten_prompt: OnRewrittenPrompt,
    /// Precision of the products of linear layers: f32, or bf16, which is faster on processors with a
    /// unit for bf16.
    pub(crate) precision: Precision,
    /// Number type of the activations that are saved for the backward pass: f32, bf16 (half of the
    /// memory, gradients with about three digits), or auto, which is bf16 if adapters are trained
    /// beside frozen matrices of 16 bits, and f32 otherwise.
    pub(crate) saved_activations: SavedActivations,
    /// Pooling of an encoder; if absent, the model folder decides.
    pub(crate) pooling: Option<Pooling>,
    /// Label of a classifier whose score is the reward, by name or number, if the classifier has
    /// several labels.
    pub(crate) label: Option<String>,
    /// Options of the training.
    pub(crate) reward: RewardModelConfig,
    /// Number of unlabelled texts of the synthetic world that the decoder from scratch is
    /// pretrained on.
    pub(crate) pretrain_texts: usize,
    /// Pretraining of the decoder from scratch on plain texts.
    pub(crate) pretrain: TrainConfig,
    /// Fine-tuning of the decoder from scratch on chosen answers.
    pub(crate) sft: TrainConfig,
    /// The synthetic world, used if no file is given.
    pub(crate) world: WorldConfig,
    /// The decoder that is trained from scratch on the synthetic world.
    pub(crate) llama: LlamaConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: Vec::new(),
            test: Vec::new(),
            model: None,
            format: None,
            on_bad_row: OnBadRow::Fail,
            answer_pairs: AnswerPairs::All,
            data_weights: Vec::new(),
            token_store: None,
            hh_turns: HhTurns::LastTurnOnly,
            chat_fallback: ChatFallback::default(),
            chat_template: None,
            chat_template_kwargs: TemplateKwargs::default(),
            template_date: None,
            on_rewritten_prompt: OnRewrittenPrompt::default(),
            precision: Precision::default(),
            saved_activations: SavedActivations::default(),
            pooling: None,
            label: None,
            reward: RewardModelConfig::default(),
            pretrain_texts: 0,
            pretrain: defaults::pretrain(),
            sft: defaults::sft(),
            world: WorldConfig::default(),
            llama: LlamaConfig::default(),
        }
    }
}

impl OnData for Config {
    fn own(&self) -> Own<'_> {
        let own = own!(self, self.reward, self.reward.seed);
        Own {
            reading: ReadOptions {
                answer_pairs: self.answer_pairs,
                pair_numbers: true,
                ..own.reading.clone()
            },
            data_weights: &self.data_weights,
            test: &self.test,
            pooling: self.pooling.is_some(),
            label: self.label.is_some(),
            sft: Some(&self.sft),
            ..own
        }
    }
}

impl Adapts for Config {
    fn adaptation(&mut self) -> &mut Adaptation {
        &mut self.reward.adaptation
    }
}

impl flags::Weighs for Config {
    fn data_weights(&mut self) -> &mut Vec<f64> {
        &mut self.data_weights
    }
}

/// The command `reward`.
#[derive(Debug)]
pub(crate) struct Reward;

impl Layered for Reward {
    type Config = Config;
    const NAME: &'static str = "reward";
    const OWN: &'static str = "data";

    /// Uses the same decoder and training as the command `ser`.
    fn for_world() -> Result<Config, Failure> {
        let mut config = Config {
            pretrain_texts: defaults::plain_texts(),
            llama: defaults::llama(),
            ..Config::default()
        };
        config.reward.max_length = 128;
        config.reward.train.learning_rate = 1e-3;
        config.reward.train.epochs = 3.0;
        config.reward.train.warmup_ratio = 0.05;
        Ok(config)
    }

    fn flags() -> Vec<Flag<Config>> {
        let mut all = flags::tested_inputs();
        all.extend([
            Flag::of("lr", "RATE", &["reward.train.learning_rate"]),
            Flag::of("batch", "N", &["reward.train.batch_size"]),
            Flag::of("epochs", "N", &["reward.train.epochs"]),
            Flag::of("steps", "N", &["reward.train.max_steps"]),
            Flag::of("max-length", "N", &["reward.max_length"]),
            Flag::of("max-prompt-length", "N", &["reward.max_prompt_length"]).rare(),
            flags::lora(
                &["reward.adaptation"],
                "Train low-rank adapters (r 8, alpha 32, dropout 0.1) and the head instead of all weights",
            ),
            Flag::of("seed", "N", &["reward.seed", "pretrain.seed", "sft.seed"]),
            Flag::of("pooling", "POOLING", &["pooling"]).rare(),
            Flag::of("label", "LABEL", &["label"]).rare(),
            flags::answer_pairs(),
            flags::token_store(),
            flags::data_weights(),
        ]);
        all.extend(flags::lora_form(&["reward.adaptation"]));
        all.extend([flags::precision(), flags::saved_activations()]);
        all.extend(flags::reading());
        all
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
        files::check_weights(&config.data_weights)?;
        check(config, given)
    }

    fn preview(config: &Config) -> Option<Preview> {
        let training = Training {
            pool: false,
            name: "reward",
            share: if config.test.is_empty() { 0.7 } else { 0.9 },
            train: config.reward.train.clone(),
            times: 1,
            passes: 0,
            at_once: None,
        };
        let own = config.own();
        let preview = own.preview(RowsOf::Pairs, vec![training], Some("evaluation"))?;
        Some(Preview {
            writes: false,
            ..preview
        })
    }

    fn check_rows(config: &Config, _: &TextTokenizer) -> Result<(), Failure> {
        run::read(config).map(drop)
    }

    fn inputs(config: &Config) -> Inputs<'_> {
        config.own().inputs()
    }

    fn run(start: &Start<'_, Config>) -> Result<(), Failure> {
        super::run::run(start)
    }
}
