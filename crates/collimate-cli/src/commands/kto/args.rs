//! Options of the command `kto`, and their short names.

use std::path::PathBuf;

use collimate::data::{
    ChatFallback, Format, HhTurns, OnBadRow, OnRewrittenPrompt, ReadOptions, TextTokenizer,
};
use collimate::lm::LlamaConfig;
use collimate::recipes::direct::UnpairedConfig;
use collimate::recipes::{Adaptation, RecipeError};
use collimate::train::TrainConfig;
use collimate::world::WorldConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::labelled;
use crate::commands::align::pairs::Choices;
use crate::commands::align::{self, Aligned, align_config};
use crate::common::Failure;
use crate::options::{Flag, Given, Inputs, Layered, Options};
use crate::own::flags::Adapts;
use crate::own::{OnData, Own, own};
use crate::preview::{Preview, RowsOf};
use crate::rendering::TemplateKwargs;
use crate::start::Start;

/// Align a language model with single answers that are labelled good or bad (KTO,
/// arXiv:2402.01306).
///
/// Without --data, a small language model is trained from scratch on an embedded synthetic world.
/// Each pair of the world gives a good and a bad answer, and the world's true reward judges the
/// policy. With --data and --model, your labelled answers (prompt, completion, label) or preference
/// pairs and your model folder are used.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options<Kto>,
}

align_config! {
    /// Labelled answers: JSON lines of {prompt, completion, label}, or preference pairs, whose
    /// chosen answers are good and whose rejected answers are bad. Several files are read in turn.
    /// 10 % of the prompts are held out.
    data;
    /// Folder of a reward model that scores answers to validation prompts. With your own data,
    /// answers are written only if this folder is given.
    judge;
    {}
    /// Number of prompts that the policy answers.
    prompts;
    align: UnpairedConfig = UnpairedConfig::default();
    label_noise: |_| 0.0;
    reading: |_, reading| reading;
    margins: |_| false;
    weights: |_| &[];
}

/// The command `kto`.
#[derive(Debug)]
pub(crate) struct Kto;

impl Layered for Kto {
    type Config = Config;
    const NAME: &'static str = "kto";
    const OWN: &'static str = "data";

    fn for_world() -> Result<Config, Failure> {
        Ok(Config::of_world())
    }

    fn flags() -> Vec<Flag<Config>> {
        let mut flags = align::judged_inputs();
        flags.push(Flag::of("beta", "BETA", &["align.kto.beta"]));
        flags.extend(align::training_flags());
        flags.extend(align::last_flags());
        flags
    }

    fn settle(config: &mut Config, given: &Given) -> Result<(), Failure> {
        align::settle(config, given)
    }

    fn preview(config: &Config) -> Option<Preview> {
        let left_out = "evaluation and, with --judge, the answers";
        align::preview(config, RowsOf::Labelled, (1, 1), left_out)
    }

    fn check_rows(config: &Config, _: &TextTokenizer) -> Result<(), Failure> {
        labelled::read(config).map(drop)
    }

    fn inputs(config: &Config) -> Inputs<'_> {
        config.own().inputs()
    }

    fn run(start: &Start<'_, Config>) -> Result<(), Failure> {
        align::run::<Self>(start)
    }
}
