//! One run in one folder.

use std::path::Path;

use collimate::core::Key;
use collimate::data::ReadReport;
use collimate::lm::{Architecture, Encoder, Llama};
use collimate::nn::{HfReward, Pooling};
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
        train: parts.train,
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
    let (data, reports) = read(config)?;
    let mut about = format!(
        "The start model is `{}`. There are {} training, {} validation and {} test pairs.",
        dir.display(),
        data.train.len(),
        data.validation.len(),
        data.test.len(),
    );
    for report in &reports {
        about += &format!(" {report}.");
    }
    let model = start.reward_model::<B>(config.pooling, config.label.as_deref())?;
    let mut job = start.job(tokenizer, about)?;
    train_and_save(&mut job, config, &model, &data)
}

/// Reads and splits the user's files, with a report on each file.
pub(super) fn read(config: &Config) -> Result<(RewardModelData, Vec<ReadReport>), Failure> {
    let options = files::options(config.format, config.on_bad_row, config.hh_turns);
    files::check(config.data.iter().chain(&config.test))?;
    let mut reports = Vec::new();
    let rows = files::pairs(&config.data, &options, &mut reports)?;
    let test = files::pairs(&config.test, &options, &mut reports)?;
    let data = match test.is_empty() {
        true => {
            let [test, validation, train] = files::split(rows, [0.2, 0.1, 0.7])?;
            RewardModelData {
                train,
                validation,
                test,
            }
        }
        false => {
            let [validation, train] = files::split(rows, [0.1, 0.9])?;
            RewardModelData {
                train,
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
