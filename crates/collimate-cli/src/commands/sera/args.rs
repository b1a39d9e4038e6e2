//! Options of the command `sera`, and their short names.

use std::path::PathBuf;

use collimate::data::{
    AnswerPairs, ChatFallback, Format, HhTurns, OnBadRow, OnRewrittenPrompt, ReadOptions,
    TextTokenizer,
};
use collimate::lm::LlamaConfig;
use collimate::losses::PreferenceLoss;
use collimate::recipes::sera::{Method, SeraConfig};
use collimate::recipes::{Adaptation, RecipeError};
use collimate::train::TrainConfig;
use collimate::world::WorldConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::commands::align::pairs::Choices;
use crate::commands::align::{self, Aligned, align_config};
use crate::common::Failure;
use crate::options::{Flag, Given, Inputs, Layered, Options};
use crate::own::flags::{self as own_flags, Adapts, HasLoss};
use crate::own::{OnData, Own, own};
use crate::preview::{Preview, RowsOf};
use crate::rendering::TemplateKwargs;
use crate::start::Start;

/// Align a language model, let it select the pairs that it has learnt best and write its own pairs
/// (SeRA, arXiv:2410.09362), and compare it with the same loss without these steps.
///
/// Without --data, a small language model is trained from scratch on an embedded synthetic world,
/// fine-tuned, aligned, and judged by the world's true reward. Four methods are compared over the
/// same pairs with the same number of steps: base loss, iterative form, SeRA, and SeRA with the
/// share of own pairs, 0 included, that does best on validation. With --data and --model, your pairs
/// and your model folder are used.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options<Sera>,
}

align_config! {
    /// Preference pairs: TRL or hh-rlhf jsonl (.gz too), UltraFeedback, tables, OASST trees; several
    /// files are read in turn. 10 % of the prompts are for validation.
    data;
    /// Folder of a reward model that scores answers to validation prompts. With your own data,
    /// answers other than those of the reviews are written only if this folder is given.
    judge;
    {
        /// Share of the training pairs whose label is swapped, between 0 and 1.
        label_noise: f64 = 0.0;
        /// Pairs to make from several scored answers: all pairs, or best_worst (the best against the
        /// worst).
        answer_pairs: AnswerPairs = AnswerPairs::All;
    }
    /// Number of prompts that the final policies answer.
    prompts;
    align: SeraConfig = recipe();
    label_noise: |config| config.label_noise;
    reading: |config, reading| ReadOptions {
        answer_pairs: config.answer_pairs,
        ..reading
    };
    margins: |_| false;
    weights: |_| &[];
}

fn recipe() -> SeraConfig {
    SeraConfig {
        methods: vec![
            Method::Base,
            Method::Iterative,
            Method::Sera,
            Method::BestSera,
        ],
        ..SeraConfig::default()
    }
}

impl HasLoss for Config {
    fn loss(&mut self) -> &mut PreferenceLoss {
        &mut self.align.loss
    }
}

/// The command `sera`.
#[derive(Debug)]
pub(crate) struct Sera;

impl Layered for Sera {
    type Config = Config;
    const NAME: &'static str = "sera";
    const OWN: &'static str = "data";

    fn for_world() -> Result<Config, Failure> {
        let mut config = Config::of_world();
        config.align.loss = config.align.loss.with_beta(2.0);
        // Without the paper's 0.7 and 1: they were never the best, and a default run should take
        // minutes.
        config.align.best_of = vec![0.0, 0.3, 0.5];
        Ok(config)
    }

    fn flags() -> Vec<Flag<Config>> {
        let mut flags = align::judged_inputs();
        flags.extend(align::loss_flags(
            "Strength of the pull towards the reference, above 0; lambda of orpo [default: that of the \
             loss; with DPO on the synthetic world 2]",
        ));
        flags.push(Flag::of("methods", "NAMES", &["align.methods"]).rare());
        flags.push(Flag::of("devices", "WHEN", &["align.devices"]).rare());
        flags.extend(align::training_flags());
        flags.push(align::label_noise());
        flags.push(own_flags::answer_pairs());
        flags.extend(align::last_flags());
        flags
    }

    fn settle(config: &mut Config, given: &Given) -> Result<(), Failure> {
        align::settle(config, given)
    }

    fn preview(config: &Config) -> Option<Preview> {
        let times = (config.align.methods.len(), config.align.iterations);
        let left_out = "the answers that reviews write, and evaluation";
        align::preview(config, RowsOf::Pairs, times, left_out)
    }

    fn check_rows(config: &Config, _: &TextTokenizer) -> Result<(), Failure> {
        align::check_rows(config)
    }

    fn inputs(config: &Config) -> Inputs<'_> {
        config.own().inputs()
    }

    fn run(start: &Start<'_, Config>) -> Result<(), Failure> {
        align::run::<Self>(start)
    }
}
