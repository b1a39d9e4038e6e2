//! Options of the command `dpo`, and their short names.

use std::path::PathBuf;

use collimate::data::{
    AnswerPairs, ChatFallback, Format, HhTurns, OnBadRow, OnRewrittenPrompt, ReadOptions,
    TextTokenizer,
};
use collimate::lm::LlamaConfig;
use collimate::losses::PreferenceLoss;
use collimate::recipes::direct::AlignConfig;
use collimate::recipes::{Adaptation, RecipeError};
use collimate::train::TrainConfig;
use collimate::world::WorldConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::commands::align::pairs::Choices;
use crate::commands::align::{self, Aligned, align_config};
use crate::common::Failure;
use crate::files;
use crate::options::{Flag, Given, Inputs, Layered, Options};
use crate::own::flags::{self as own_flags, Adapts, HasLoss};
use crate::own::{OnData, Own, own};
use crate::preview::{Preview, RowsOf};
use crate::rendering::TemplateKwargs;
use crate::start::Start;

/// Align a language model with preference pairs: DPO, IPO, SLiC-HF, SimPO and a dozen more.
///
/// Without --data, a small language model is trained from scratch on an embedded synthetic world,
/// fine-tuned, aligned, and judged by the world's true reward. With --data and --model, your pairs
/// and your model folder are used.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options<Dpo>,
}

align_config! {
    /// Preference pairs: TRL or hh-rlhf jsonl (.gz too), UltraFeedback, tables, OASST trees; several
    /// files are read in turn. 10 % of the prompts are for validation.
    data;
    /// Folder of a reward model that scores answers to validation prompts. With your own data,
    /// answers are written only if this folder is given.
    judge;
    {
        /// Share of the training pairs whose label is swapped, between 0 and 1.
        label_noise: f64 = 0.0;
        /// Pairs to make from several scored answers: all pairs, or best_worst (the best against the
        /// worst).
        answer_pairs: AnswerPairs = AnswerPairs::All;
        /// Weight of each `data` in the loss, above 0, in the same order; if empty, all are 1. The
        /// weight multiplies the weights of the pairs.
        data_weights: Vec<f64> = Vec::new();
        /// Folder that keeps the tokens of the training pairs on disk, for more pairs than fit into
        /// memory. A later run with the same input and options reads the tokens there. If absent, the
        /// tokens are kept in memory.
        token_store: Option<PathBuf> = None;
    }
    /// Number of prompts that the policy answers.
    prompts;
    align: AlignConfig = AlignConfig::default();
    label_noise: |config| config.label_noise;
    reading: |config, reading| ReadOptions {
        answer_pairs: config.answer_pairs,
        pair_numbers: true,
        ..reading
    };
    margins: |config| config.align.use_margins;
    weights: |config| &config.data_weights;
}

impl HasLoss for Config {
    fn loss(&mut self) -> &mut PreferenceLoss {
        &mut self.align.loss
    }
}

impl own_flags::Weighs for Config {
    fn data_weights(&mut self) -> &mut Vec<f64> {
        &mut self.data_weights
    }
}

/// The command `dpo`.
#[derive(Debug)]
pub(crate) struct Dpo;

impl Layered for Dpo {
    type Config = Config;
    const NAME: &'static str = "dpo";
    const OWN: &'static str = "data";

    fn for_world() -> Result<Config, Failure> {
        let mut config = Config::of_world();
        config.align.loss = config.align.loss.with_beta(0.5);
        Ok(config)
    }

    fn flags() -> Vec<Flag<Config>> {
        let mut flags = align::judged_inputs();
        flags.extend(align::loss_flags(
            "Strength of the pull towards the reference, above 0; lambda of orpo [default: that of the \
             loss; with DPO on the synthetic world 0.5]",
        ));
        flags.extend(align::training_flags());
        flags.push(align::label_noise());
        flags.push(own_flags::answer_pairs());
        flags.push(own_flags::token_store());
        flags.push(own_flags::data_weights());
        let use_margins = Flag::switch(
            "use-margins",
            &["align.use_margins"],
            "Subtract the column `margin` of each pair from the difference of the rewards (dpo, simpo, slic_hf)",
            |config: &mut Config, _, _| {
                config.align.use_margins = true;
                Ok(())
            },
        );
        flags.push(use_margins.rare());
        flags.extend(align::last_flags());
        flags
    }

    fn settle(config: &mut Config, given: &Given) -> Result<(), Failure> {
        if config.token_store.is_some() && config.label_noise > 0.0 {
            return Err(
                "--label-noise swaps labels in memory: leave out --label-noise or --token-store"
                    .into(),
            );
        }
        files::check_weights(&config.data_weights)?;
        align::settle(config, given)
    }

    fn preview(config: &Config) -> Option<Preview> {
        let left_out = "evaluation and, with --judge, the answers";
        align::preview(config, RowsOf::Pairs, (1, 1), left_out)
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
