//! The steps up to the policy that an alignment starts from.

use std::path::Path;

use collimate::data::{SftExample, TextTokenizer};
use collimate::lm::{Llama, eos_token_ids};
use collimate::recipes::AnswerScorer;
use collimate::train::TrainConfig;

use super::Aligned;
use super::pairs::{self, Parts};
use crate::common::Failure;
use crate::files;
use crate::job::Job;
use crate::options::Layered;
use crate::own::OnData;
use crate::scorer::reward_model;
use crate::start::Start;

/// A command that aligns a policy.
pub(crate) trait Alignment: Layered<Config: Aligned> {
    /// Type of the rows and prompts that the recipe takes.
    type Data<'a>;

    /// Words that the report adds after the labels of the synthetic world.
    const LABELS: &'static str = "";

    /// Reads the rows of the user's files, and describes them in a paragraph.
    fn read(
        config: &Self::Config,
        dir: &Path,
        tokenizer: &TextTokenizer,
    ) -> Result<(Self::Data<'static>, String), Failure>;

    /// Converts pairs into the form that the recipe takes.
    fn data(parts: Parts) -> Self::Data<'static>;

    /// Adds the tokens that end an answer, and a judge.
    fn judged<'a>(
        data: Self::Data<'static>,
        eos: Vec<u32>,
        judge: Option<AnswerScorer<'a>>,
    ) -> Self::Data<'a>;

    /// Trains the policy, saves it beside the start model, and writes the report.
    fn train_and_save(
        job: &mut Job,
        config: &Self::Config,
        start: &Llama,
        data: Self::Data<'_>,
    ) -> Result<(), Failure>;
}

/// Aligns the user's policy, or a small decoder from scratch.
pub(crate) fn run<A: Alignment>(start: &Start<'_, A::Config>) -> Result<(), Failure> {
    match start.config.own().model {
        None => from_scratch::<A>(start),
        Some(dir) => from_folder::<A>(start, dir),
    }
}

/// Trains a small decoder from scratch on the synthetic world. The gold reward judges it.
fn from_scratch<A: Alignment>(start: &Start<'_, A::Config>) -> Result<(), Failure> {
    let config = start.config;
    let own = config.own();
    let (world, tokenizer, model) = start.of_world()?;
    let parts = pairs::from_world(&world, own.pretrain_texts, config.choices())?;
    let about = format!(
        "The data are from the synthetic world (`docs/methods/synthetic-world.md`): {} pairs with \
         labels of a noisy annotator{}{}. Answers to {} held-out prompts are scored by the gold \
         reward, the world's true reward. The start model is a Llama decoder from scratch with {} \
         parameters, fine-tuned on {} chosen answers.",
        parts.train.len(),
        A::LABELS,
        noise(config),
        parts.prompts.len(),
        model.num_parameters(),
        parts.sft.len(),
    );
    let mut job = start.job(tokenizer, about)?;
    let mut learn = |stage: &str, model, texts: &[SftExample], train: &TrainConfig| {
        let train = TrainConfig {
            stage: stage.to_owned(),
            seed: own.seed,
            ..train.clone()
        };
        job.learn(model, texts, own.truncation, &train)
    };
    let mut model = learn("pretrain", model, &parts.pretrain, own.pretrain)?;
    if let Some(sft) = own.sft {
        model = learn("sft", model, &parts.sft, sft)?;
    }
    let model = config.writes_with(model);
    let gold = world.scorer();
    let judge = AnswerScorer {
        name: "the gold reward".to_owned(),
        scorer: &gold,
    };
    let data = A::judged(A::data(parts), Vec::new(), Some(judge));
    A::train_and_save(&mut job, config, &model, data)
}

/// Aligns the user's policy.
fn from_folder<A: Alignment>(start: &Start<'_, A::Config>, dir: &Path) -> Result<(), Failure> {
    let config = start.config;
    let own = config.own();
    let tokenizer: TextTokenizer = start.writer()?;
    let (data, about) = A::read(config, dir, &tokenizer)?;
    let eos = eos_token_ids(dir)?;
    let model = config.writes_with(start.language_model(true)?);
    let scorer = own
        .judge
        .map(|dir| reward_model("--judge", dir, own.rendering.chat_fallback, start.device))
        .transpose()?;
    let judge = scorer.as_deref().map(|scorer| AnswerScorer {
        name: "the reward model of --judge".to_owned(),
        scorer,
    });
    let mut job = start.job(tokenizer, about)?;
    let data = A::judged(data, eos, judge);
    A::train_and_save(&mut job, config, &model, data)
}

/// Refuses files of pairs that a run would refuse.
pub(crate) fn check_rows(config: &impl Aligned) -> Result<(), Failure> {
    let own = config.own();
    pairs::from_files(&own, config.choices(), |count| count).map(drop)
}

/// Reads the pairs of the user's files. `answered` maps the number of validation prompts to the
/// number that policies answer.
pub(crate) fn read_pairs<A: Alignment>(
    config: &A::Config,
    dir: &Path,
    answered: impl FnOnce(usize) -> usize,
) -> Result<(A::Data<'static>, String), Failure> {
    let own = config.own();
    let parts = pairs::from_files(&own, config.choices(), answered)?;
    let mut about = format!(
        "The start model and first reference model is `{}`. There are {} training pairs{} and {} \
         validation pairs.",
        dir.display(),
        parts.train.len(),
        noise(config),
        parts.validation.len(),
    );
    let numbers = files::Numbers::of(&parts.train);
    about += &numbers.said(config.uses_margins());
    if config.uses_margins() && numbers.margins == 0 {
        about += " No training pair has a margin, so --use-margins changes nothing.";
    }
    for report in &parts.reports {
        about += &format!(" {report}.");
    }
    Ok((A::data(parts), about))
}

fn noise(config: &impl Aligned) -> String {
    match config.choices().label_noise {
        0.0 => String::new(),
        share => format!(" ({:.0} % of the labels swapped)", 100.0 * share),
    }
}
