//! One run in one folder.

use collimate::core::{Key, PreferencePair};
use collimate::data::{SftExample, TextTokenizer, split_by_fraction, split_by_hash};
use collimate::lm::{Architecture, Bert, Llama};
use collimate::nn::{Backbone, HfFolder, HfReward, Pooling, TokenizerFacts};
use collimate::prelude::Device;
use collimate::recipes::reward_model::{RewardModelData, train_reward_model, write_report};
use collimate::reward::RewardModel;
use collimate::run::RunContext;
use collimate::train::Progress;
use collimate::world::World;
use serde_json::json;

use super::args::{Config, Reward};
use crate::common::{self, Failure};
use crate::files::{self, parts};
use crate::job::{Job, fresh_llama, has_ended, world_tokenizer};
use crate::options::{Layered, RunArgs};
use crate::runs;

/// Runs the command with these options.
pub(crate) fn run(config: &Config, args: &RunArgs, device: &Device) -> Result<(), Failure> {
    if has_ended(&args.out(Reward::NAME)?, config)? {
        return Ok(());
    }
    let Some(dir) = config.model.as_deref() else {
        return from_scratch(config, args, device);
    };
    match common::architecture(dir)? {
        Architecture::Bert => from_folder::<Bert>(config, args, device),
        _ => match config
            .pooling
            .filter(|pooling| *pooling != Pooling::LastToken)
        {
            None => from_folder::<Llama>(config, args, device),
            Some(pooling) => Err(format!(
                "pooling is {}: {} holds a decoder, whose last token is read: leave it out",
                json!(pooling),
                dir.display()
            )
            .into()),
        },
    }
}

fn open(config: &Config, args: &RunArgs, tokenizer: TextTokenizer) -> Result<Job, Failure> {
    let out = args.out(Reward::NAME)?;
    let files = config.data.iter().chain(&config.test);
    let (models, length) = (config.model.iter(), config.reward.max_length);
    let resume = args.resume_command(&out);
    Job::open(&out, config, files, models, tokenizer, length, resume)
}

/// A small decoder, trained from scratch on the synthetic world.
fn from_scratch(config: &Config, args: &RunArgs, device: &Device) -> Result<(), Failure> {
    let world = World::new(&config.world)?;
    let pairs = |rows: Vec<collimate::world::WorldPair>| -> Vec<PreferencePair> {
        rows.into_iter().map(|row| row.pair).collect()
    };
    let seed = config.reward.seed;
    let key = Key::new(seed, "split");
    let [sft, train] = parts(split_by_fraction(
        pairs(world.train_pairs()),
        &[0.3, 0.7],
        key,
    )?);
    let sft: Vec<SftExample> = sft.iter().map(SftExample::from).collect();
    let data = RewardModelData {
        train,
        validation: pairs(world.validation_pairs()),
        test: pairs(world.test_pairs()),
    };
    let tokenizer = world_tokenizer(&world)?;
    let model = fresh_llama(
        &config.llama,
        &tokenizer,
        config.reward.max_length,
        seed,
        device,
    )?
    .with_recompute(args.gradient_checkpointing);
    let about = format!(
        "Data: the synthetic world (`docs/synthetic-world.md`), {} training pairs with labels of a noisy \
         annotator, {} validation and {} test pairs with true labels. Model: a Llama decoder from scratch \
         with {} parameters, fine-tuned on {} chosen answers.",
        data.train.len(),
        data.validation.len(),
        data.test.len(),
        model.num_parameters(),
        sft.len(),
    );
    let texts = runs::plain_texts(&world, config.pretrain_texts, seed);
    let mut job = open(config, args, tokenizer)?.about(about);
    let cut = config.reward.truncation;
    let (model, _) = job.fine_tune(model, &texts, &[], cut, &config.pretrain)?;
    let (model, _) = job.fine_tune(model, &sft, &[], cut, &config.sft)?;
    let start = RewardModel::with_fresh_head(model, Pooling::LastToken, Key::new(seed, "head"));
    train_and_save(&mut job, config, &start, &data)
}

/// The user's model, as it is.
fn from_folder<B: HfReward>(
    config: &Config,
    args: &RunArgs,
    device: &Device,
) -> Result<(), Failure> {
    let dir = config.model.as_deref().ok_or("no model folder")?;
    let tokenizer = TextTokenizer::from_folder(dir)?.with_chat_fallback(config.chat_fallback);
    let options = files::options(config.format, config.on_bad_row, config.hh_turns);
    files::check(config.data.iter().chain(&config.test))?;
    let mut reports = Vec::new();
    let rows = files::pairs(&config.data, &options, &mut reports)?;
    let test = files::pairs(&config.test, &options, &mut reports)?;
    let data = match test.is_empty() {
        true => {
            let [test, validation, train] = parts(split_by_hash(rows, &[0.2, 0.1, 0.7])?);
            RewardModelData {
                train,
                validation,
                test,
            }
        }
        false => {
            let [validation, train] = parts(split_by_hash(rows, &[0.1, 0.9])?);
            RewardModelData {
                train,
                validation,
                test,
            }
        }
    };
    let mut about = format!(
        "Model: `{}`. Pairs: {} to learn from, {} validation, {} test.",
        dir.display(),
        data.train.len(),
        data.validation.len(),
        data.test.len(),
    );
    for report in &reports {
        about += &format!(" {report}.");
    }
    let key = Key::new(config.reward.seed, "head");
    let mut start = RewardModel::<B>::load_or_fresh(dir, key, device)?
        .with_recompute(args.gradient_checkpointing);
    runs::check_length(config.reward.max_length, &start.backbone)?;
    if let Some(pooling) = config.pooling {
        start = RewardModel::from_parts(start.backbone, start.head, pooling);
    }
    let mut job = open(config, args, tokenizer)?.about(about);
    train_and_save(&mut job, config, &start, &data)
}

fn train_and_save<B: HfReward>(
    job: &mut Job,
    config: &Config,
    start: &RewardModel<B>,
    data: &RewardModelData,
) -> Result<(), Failure> {
    let mut context = RunContext {
        run: &mut job.run,
        interrupt: &job.interrupt,
        progress: Progress::Auto,
    };
    let outcome = train_reward_model(start, &job.tokenizer, data, &config.reward, &mut context)
        .map_err(|error| runs::stopped(error, &job.resume))?;
    let lengths = &outcome.tokenize;
    if !config.data.is_empty() && (lengths.is_worth_telling() || lengths.equal_answers > 0) {
        common::tell(&format!(
            "longest sequence: {} tokens; {lengths}; {} pairs dropped, whose answers are equal as tokens",
            config.reward.max_length, lengths.equal_answers
        ));
    }
    let facts = TokenizerFacts {
        pad_token_id: job.tokenizer.special().pad,
        max_length: Some(config.reward.max_length),
    };
    outcome.model.save_with(&facts, &job.run.path().join("model"))?;
    job.save_tokenizer("model")?;
    let seconds = job.note_cost(outcome.seconds);
    write_report(&outcome, &config.reward, &job.run, &job.about, &job.summary)?;
    job.print_end(&format!("{outcome}\n"), seconds)
}
