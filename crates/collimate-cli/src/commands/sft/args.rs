//! Options of the command `sft`, and their short names.

use std::path::PathBuf;

use collimate::data::{
    ChatFallback, Format, HhTurns, OnBadRow, OnRewrittenPrompt, TextTokenizer, Truncation,
};
use collimate::lm::LlamaConfig;
use collimate::nn::Precision;
use collimate::recipes::Adaptation;
use collimate::train::TrainConfig;
use collimate::world::WorldConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run;
use crate::common::Failure;
use crate::files;
use crate::lengths;
use crate::loading::SavedActivations;
use crate::options::{Flag, Given, Inputs, Layered, MOST_TOKENS, Options, check_count};
use crate::own::flags::{self, Adapts};
use crate::own::{OnData, Own, check, defaults, own};
use crate::preview::{Preview, RowsOf, Training};
use crate::rendering::TemplateKwargs;
use crate::start::Start;

/// Fine-tune a language model on good answers (supervised fine-tuning).
///
/// Without --data, a small language model is trained from scratch on an embedded synthetic world.
/// With --data and --model, your demonstrations (prompt and completion, messages, or the chosen
/// answers of preference pairs) and your model folder are used.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options<Sft>,
}

/// Options that determine the result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Demonstrations: JSON lines of {prompt, completion} or {messages}, or preference pairs, whose
    /// chosen answers are learned. Several files are read in turn. 10 % of the prompts are held
    /// out.
    #[serde(deserialize_with = "files::one_or_many")]
    pub(crate) data: Vec<PathBuf>,
    /// Hugging Face folder, adapter, GGUF file or hub name of the model.
    pub(crate) model: Option<PathBuf>,
    /// Format of the files; if absent, it is detected.
    pub(crate) format: Option<Format>,
    /// Handling of rows that cannot be read: fail, or drop and count them.
    pub(crate) on_bad_row: OnBadRow,
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
    /// Maximum sequence length in tokens.
    pub(crate) max_length: usize,
    /// Number of prompt tokens to keep if prompt and answer together exceed `max_length`; a short
    /// answer leaves room for more. If absent, half of `max_length`.
    pub(crate) max_prompt_length: Option<usize>,
    /// Side on which sequences that are too long are cut.
    pub(crate) truncation: Truncation,
    /// Parameters to train: all of them, or low-rank adapters.
    pub(crate) adaptation: Adaptation,
    /// Options of the training.
    pub(crate) sft: TrainConfig,
    /// Number of unlabelled texts of the synthetic world that the decoder from scratch is
    /// pretrained on.
    pub(crate) pretrain_texts: usize,
    /// Pretraining of the decoder from scratch on plain texts.
    pub(crate) pretrain: TrainConfig,
    /// The synthetic world, used if no file is given.
    pub(crate) world: WorldConfig,
    /// The decoder that is trained from scratch on the synthetic world.
    pub(crate) llama: LlamaConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: Vec::new(),
            model: None,
            format: None,
            on_bad_row: OnBadRow::Fail,
            hh_turns: HhTurns::LastTurnOnly,
            chat_fallback: ChatFallback::default(),
            chat_template: None,
            chat_template_kwargs: TemplateKwargs::default(),
            template_date: None,
            on_rewritten_prompt: OnRewrittenPrompt::default(),
            precision: Precision::default(),
            saved_activations: SavedActivations::default(),
            max_length: lengths::DEFAULT,
            max_prompt_length: None,
            truncation: Truncation::default(),
            adaptation: Adaptation::Full,
            sft: defaults::own_sft(),
            pretrain_texts: 0,
            pretrain: defaults::pretrain(),
            world: WorldConfig::default(),
            llama: LlamaConfig::default(),
        }
    }
}

impl OnData for Config {
    fn own(&self) -> Own<'_> {
        own!(self, self, self.sft.seed)
    }
}

impl Adapts for Config {
    fn adaptation(&mut self) -> &mut Adaptation {
        &mut self.adaptation
    }
}

/// The command `sft`.
#[derive(Debug)]
pub(crate) struct Sft;

impl Layered for Sft {
    type Config = Config;
    const NAME: &'static str = "sft";
    const OWN: &'static str = "data";

    /// Uses the same decoder as the other commands.
    fn for_world() -> Result<Config, Failure> {
        Ok(Config {
            max_length: 128,
            pretrain_texts: defaults::plain_texts(),
            sft: defaults::sft(),
            llama: defaults::llama(),
            ..Config::default()
        })
    }

    fn flags() -> Vec<Flag<Config>> {
        let mut all = flags::inputs();
        all.extend([
            Flag::of("lr", "RATE", &["sft.learning_rate"]),
            Flag::of("batch", "N", &["sft.batch_size"]),
            Flag::of("epochs", "N", &["sft.epochs"]),
            Flag::of("steps", "N", &["sft.max_steps"]),
            Flag::of("max-length", "N", &["max_length"]),
            Flag::of("max-prompt-length", "N", &["max_prompt_length"]).rare(),
            flags::lora(&["adaptation"], flags::LORA),
            Flag::of("seed", "N", &["sft.seed", "pretrain.seed"]),
        ]);
        all.extend(flags::lora_form(&["adaptation"]));
        all.extend([flags::precision(), flags::saved_activations()]);
        all.extend(flags::reading());
        all
    }

    fn settle(config: &mut Config, given: &Given) -> Result<(), Failure> {
        let model = config.model.as_deref();
        lengths::cap(&mut config.max_length, given.has("max_length"), model);
        if !given.has("pretrain.seed") {
            config.pretrain.seed = config.sft.seed;
        }
        config.sft.validate()?;
        if let Adaptation::Lora(lora) = &config.adaptation {
            lora.check()?;
        }
        check_count("max_length", config.max_length, 3..=MOST_TOKENS)?;
        if let Some(length) = config.max_prompt_length {
            check_count("max_prompt_length", length, 1..=config.max_length - 1)?;
        }
        check(config, given)
    }

    fn preview(config: &Config) -> Option<Preview> {
        let training = Training {
            pool: false,
            name: "sft",
            share: 0.9,
            train: config.sft.clone(),
            times: 1,
            passes: 0,
            at_once: None,
        };
        let own = config.own();
        own.preview(RowsOf::Demonstrations, vec![training], None)
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
