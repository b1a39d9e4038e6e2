//! One run in one folder.

use std::path::Path;

use collimate::core::Key;
use collimate::data::{AnswerEnd, ReadReport, TextTokenizer};
use collimate::lm::{Architecture, Encoder, Llama};
use collimate::nn::{HfReward, Pooling};
use collimate::recipes::TrainPairs;
use collimate::recipes::reward_model::{RewardModelData, train_reward_model, write_report};
use collimate::recipes::world::world_pairs;
use collimate::reward::RewardModel;
use serde_json::json;

use super::args::Config;
use crate::commands::align::pairs::{self, Choices};
use crate::common::{self, Failure};
use crate::files;
use crate::job::Job;
use crate::own::OnData;
use crate::runs;
use crate::start::Start;
use crate::stored::{Cut, Source};

/// Runs the command.
pub(crate) fn run(start: &Start<'_, Config>) -> Result<(), Failure> {
    let config = start.config;
    let Some(dir) = config.model.as_deref() else {
        return from_scratch(start);
    };
    match common::architecture(dir)? {
        Architecture::Encoder => from_folder::<Encoder>(start),
        _ => {
            check_pooling(config.pooling, dir)?;
            from_folder::<Llama>(start)
        }
    }
}

/// Refuses any pooling of a decoder except the last token.
pub(crate) fn check_pooling(pooling: Option<Pooling>, dir: &Path) -> Result<(), Failure> {
    match pooling.filter(|pooling| *pooling != Pooling::LastToken) {
        None => Ok(()),
        Some(pooling) => Err(format!(
            "pooling is {}, but {} holds a decoder, whose last token is always read: remove \
             pooling",
            json!(pooling),
            dir.display()
        )
        .into()),
    }
}

/// Trains a small decoder from scratch on the synthetic world.
fn from_scratch(start: &Start<'_, Config>) -> Result<(), Failure> {
    let config = start.config;
    let own = config.own();
    let (world, tokenizer, model) = start.of_world()?;
    let choices = Choices {
        seed: own.seed,
        label_noise: 0.0,
        prompts: 0,
    };
    let parts = pairs::from_world(&world, own.pretrain_texts, choices)?;
    let data = RewardModelData {
        train: parts.train.into(),
        validation: parts.validation,
        test: world_pairs(world.test_pairs()),
    };
    let about = format!(
        "The data are from the synthetic world (`docs/methods/synthetic-world.md`): {} training \
         pairs with labels of a noisy annotator, and {} validation and {} test pairs with true \
         labels. The model is a Llama decoder from scratch with {} parameters, fine-tuned on {} \
         chosen answers.",
        data.train.len(),
        data.validation.len(),
        data.test.len(),
        model.num_parameters(),
        parts.sft.len(),
    );
    let mut job = start.job(tokenizer, about)?;
    let model = job.learn(model, &parts.pretrain, own.truncation, &config.pretrain)?;
    let model = job.learn(model, &parts.sft, own.truncation, &config.sft)?;
    let key = Key::new(own.seed, "head");
    let fresh = RewardModel::with_fresh_head(model, Pooling::LastToken, key);
    train_and_save(&mut job, config, &fresh, &data)
}

/// Trains the user's model, starting from it unchanged.
fn from_folder<B: HfReward>(start: &Start<'_, Config>) -> Result<(), Failure> {
    let config = start.config;
    let dir = config.own().dir()?;
    let tokenizer = start.tokenizer()?;
    let (data, about) = match &config.token_store {
        None => in_memory(config)?,
        Some(store) => on_disk(config, &tokenizer, store)?,
    };
    let about = format!("The start model is `{}`. {about}", dir.display());
    let model = start.reward_model::<B>(config.pooling, config.label.as_deref())?;
    let mut job = start.job(tokenizer, about)?;
    train_and_save(&mut job, config, &model, &data)
}

/// Reads and splits the user's files, and describes them.
fn in_memory(config: &Config) -> Result<(RewardModelData, String), Failure> {
    let (data, reports) = read(config)?;
    let mut about = format!(
        "There are {} training, {} validation and {} test pairs.",
        data.train.len(),
        data.validation.len(),
        data.test.len(),
    );
    if let TrainPairs::Texts(pairs) = &data.train {
        about += &files::Numbers::of(pairs).said(true);
    }
    for report in &reports {
        about += &format!(" {report}.");
    }
    Ok((data, about))
}

/// Reads the parts of the user's files that measure the model, and tokenises the rest into a store.
fn on_disk(
    config: &Config,
    tokenizer: &TextTokenizer,
    store: &Path,
) -> Result<(RewardModelData, String), Failure> {
    let own = config.own();
    files::check(config.data.iter().chain(&config.test))?;
    let mut reports = Vec::new();
    let test = files::pairs(&config.test, &[], &own.reading, &mut reports)?;
    let shares: &[f64] = match test.is_empty() {
        true => &[0.2, 0.1, 0.7],
        false => &[0.1, 0.9],
    };
    let source = Source {
        paths: &config.data,
        weights: own.data_weights,
        reading: own.reading,
        shares,
        margins: true,
    };
    let mut measured = source.measured()?;
    let validation = measured.pop().unwrap_or_default();
    let test = measured.pop().unwrap_or(test);
    // As in training, an answer that was cut gets an end token too.
    let tokenizer = tokenizer
        .clone()
        .with_answer_end(AnswerEnd::EveryAnswer)
        .with_max_prompt_length(own.max_prompt_length);
    let cut = Cut {
        max_length: own.max_length,
        truncation: own.truncation,
    };
    let stored = source.tokenized(store, &tokenizer, cut, &runs::interrupt())?;
    let about = format!(
        "There are {} validation and {} test pairs. {}",
        validation.len(),
        test.len(),
        stored.about
    );
    let data = RewardModelData {
        train: stored.pairs.into(),
        validation,
        test,
    };
    Ok((data, about))
}

/// Reads and splits the user's files, with a report on each file.
pub(super) fn read(config: &Config) -> Result<(RewardModelData, Vec<ReadReport>), Failure> {
    let own = config.own();
    let options = own.reading;
    files::check(config.data.iter().chain(&config.test))?;
    let mut reports = Vec::new();
    let rows = files::pairs(&config.data, own.data_weights, &options, &mut reports)?;
    let test = files::pairs(&config.test, &[], &options, &mut reports)?;
    let data = match test.is_empty() {
        true => {
            let [test, validation, train] = files::split(rows, [0.2, 0.1, 0.7])?;
            RewardModelData {
                train: train.into(),
                validation,
                test,
            }
        }
        false => {
            let [validation, train] = files::split(rows, [0.1, 0.9])?;
            RewardModelData {
                train: train.into(),
                validation,
                test,
            }
        }
    };
    Ok((data, reports))
}

fn train_and_save<B: HfReward>(
    job: &mut Job,
    config: &Config,
    start: &RewardModel<B>,
    data: &RewardModelData,
) -> Result<(), Failure> {
    runs::warn_of_warmup(&config.reward.train, data.train.len());
    let (tokenizer, mut context) = job.parts();
    let outcome = train_reward_model(start, tokenizer, data, &config.reward, &mut context)
        .map_err(|error| job.stopped(error))?;
    if !config.data.is_empty() {
        job.tell_lengths(&outcome.tokenize);
    }
    job.save("model", &outcome.model)?;
    let seconds = job.note_cost(outcome.seconds);
    write_report(&outcome, &config.reward, &job.run, &job.about, &job.summary)?;
    job.print_end(&format!("{outcome}\n"), seconds)
}
