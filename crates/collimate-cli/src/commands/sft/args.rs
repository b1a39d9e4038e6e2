//! Options of the command `sft`, and their short names.

use std::path::PathBuf;

use collimate::data::{ChatFallback, Format, HhTurns, OnBadRow, OnRewrittenPrompt, Truncation};
use collimate::lm::LlamaConfig;
use collimate::recipes::Adaptation;
use collimate::train::TrainConfig;
use collimate::world::WorldConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::Failure;
use crate::files;
use crate::lengths;
use crate::options::{Flag, Given, Inputs, Layered, MOST_TOKENS, Options, check_count};
use crate::own::flags::{self, Adapts};
use crate::own::{OnData, Own, check, defaults, own};
use crate::preview::{Preview, RowsOf, Training};
use crate::rendering::TemplateKwargs;
use crate::start::Start;

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
    /// Hugging Face folder of the model.
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
    /// Name of one of the chat templates of the model's folder; without one it is `default`.
    pub(crate) chat_template: Option<String>,
    /// Variables of the chat template, such as `enable_thinking: false`, for all rows.
    pub(crate) chat_template_kwargs: TemplateKwargs,
    /// Day that a chat template writes as today, such as `2025-01-31`; without one, the day of the run
    /// in UTC.
    pub(crate) template_date: Option<String>,
    /// Rows whose prompt has other tokens where the answer follows: count them, or fail.
    pub(crate) on_rewritten_prompt: OnRewrittenPrompt,
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

    /// With the decoder of the other commands.
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
        };
        let own = config.own();
        own.preview(RowsOf::Demonstrations, vec![training], None)
    }

    fn inputs(config: &Config) -> Inputs<'_> {
        config.own().inputs()
    }

    fn run(start: &Start<'_, Config>) -> Result<(), Failure> {
        super::run::run(start)
    }
}
