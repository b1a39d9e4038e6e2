//! One run in one folder.

use std::path::{Path, PathBuf};

use collimate::data::{SftExample, TextTokenizer};
use collimate::lm::{Architecture, Llama, eos_token_ids};
use collimate::nn::{Backbone, HfFolder};
use collimate::prelude::Device;
use collimate::recipes::AnswerScorer;
use collimate::recipes::direct::{AlignData, align, write_report};
use collimate::run::RunContext;
use collimate::train::{Progress, TrainConfig};
use collimate::world::World;
use serde_json::json;

use super::args::{Config, Dpo};
use crate::commands::pairs::{self, Choices, Parts, examples};
use crate::common::{self, Failure};
use crate::files;
use crate::job::{Job, fresh_llama, has_ended, world_tokenizer};
use crate::options::{Layered, RunArgs};
use crate::runs;
use crate::scorer::reward_model;

/// Runs the command with these options.
pub(crate) fn run(config: &Config, options: &RunArgs, device: &Device) -> Result<(), Failure> {
    let out = options.out(Dpo::NAME)?;
    if has_ended(&out, config)? {
        return Ok(());
    }
    match &config.model {
        None => from_scratch(options, config, out, device),
        Some(_) => from_folder(options, config, out, device),
    }
}

/// A small decoder, trained from scratch on the synthetic world and judged by its gold reward.
fn from_scratch(
    options: &RunArgs,
    config: &Config,
    out: PathBuf,
    device: &Device,
) -> Result<(), Failure> {
    let world = World::new(&config.world)?;
    let parts = pairs::from_world(&world, config.pretrain_texts, choices(config))?;
    let tokenizer = world_tokenizer(&world)?.with_max_prompt_length(config.align.max_prompt_length);
    let (length, seed) = (config.align.max_length, config.align.seed);
    let model = fresh_llama(&config.llama, &tokenizer, length, seed, device)?
        .with_recompute(options.gradient_checkpointing);
    let about = format!(
        "Data: the synthetic world (`docs/synthetic-world.md`), {} pairs with labels of a noisy \
         annotator{}; answers to {} held-out prompts are scored by the gold reward. Start: a Llama \
         decoder from scratch with {} parameters, fine-tuned on {} chosen answers.",
        parts.train.len(),
        noise(config),
        parts.prompts.len(),
        model.num_parameters(),
        parts.sft.len(),
    );
    let mut job = open(options, config, tokenizer, &out)?.about(about);
    let mut fine_tune = |stage: &str, model, texts: &[SftExample], train: &TrainConfig| {
        let train = TrainConfig {
            stage: stage.to_owned(),
            seed,
            ..train.clone()
        };
        let truncation = config.align.truncation;
        job.fine_tune(model, texts, &[], truncation, &train)
    };
    let (model, _) = fine_tune("pretrain", model, &parts.pretrain, &config.pretrain)?;
    let (start, _) = fine_tune("sft", model, &parts.sft, &config.sft)?;
    let gold = world.scorer();
    let judge = AnswerScorer {
        name: "the gold reward".to_owned(),
        scorer: &gold,
    };
    train_and_save(
        &mut job,
        config,
        &start,
        data(parts, Vec::new(), Some(judge)),
    )
}

/// The user's policy, as it is.
fn from_folder(
    options: &RunArgs,
    config: &Config,
    out: PathBuf,
    device: &Device,
) -> Result<(), Failure> {
    let dir = config.model.as_deref().ok_or("no model folder")?;
    let kind = common::architecture(dir)?;
    if kind != Architecture::LlamaCausal {
        return Err(format!(
            "--model {}: holds no language model that writes: name a folder of a \
             LlamaForCausalLM",
            dir.display()
        )
        .into());
    }
    let tokenizer = TextTokenizer::from_folder(dir)?.with_chat_fallback(config.chat_fallback);
    let reading = files::options(config.format, config.on_bad_row, config.hh_turns);
    let parts = pairs::from_files(
        &config.data,
        &reading,
        choices(config),
        |all| match config.judge {
            None => 0,
            Some(_) => all,
        },
    )?;
    let eos = eos_token_ids(dir)?;
    let model = Llama::load(dir, device)?.with_recompute(options.gradient_checkpointing);
    runs::check_length(config.align.max_length, &model)?;
    let mut about = format!(
        "Start and first reference: `{}`. Pairs: {} to learn from{}, {} validation.",
        dir.display(),
        parts.train.len(),
        noise(config),
        parts.validation.len(),
    );
    for report in &parts.reports {
        about += &format!(" {report}.");
    }
    let scorer = config
        .judge
        .as_deref()
        .map(|dir| reward_model("--judge", dir, config.chat_fallback, device))
        .transpose()?;
    let judge = scorer.as_deref().map(|scorer| AnswerScorer {
        name: "the reward model of --judge".to_owned(),
        scorer,
    });
    let mut job = open(options, config, tokenizer, &out)?.about(about);
    train_and_save(&mut job, config, &model, data(parts, eos, judge))
}

fn choices(config: &Config) -> Choices {
    Choices {
        seed: config.align.seed,
        label_noise: config.label_noise,
        prompts: config.prompts,
    }
}

fn data<'a>(parts: Parts, eos: Vec<u32>, judge: Option<AnswerScorer<'a>>) -> AlignData<'a> {
    AlignData {
        held_out: examples(&parts.validation),
        prompts: parts.prompts,
        eos,
        judge,
        validation: parts.validation,
        train: parts.train,
    }
}

fn noise(config: &Config) -> String {
    match config.label_noise {
        0.0 => String::new(),
        share => format!(" ({:.0} % of the labels swapped)", 100.0 * share),
    }
}

fn open(
    options: &RunArgs,
    config: &Config,
    tokenizer: TextTokenizer,
    out: &Path,
) -> Result<Job, Failure> {
    let models = config.model.iter().chain(&config.judge);
    let length = config.align.max_length;
    let resume = options.resume_command(out);
    Job::open(
        out,
        config,
        config.data.iter(),
        models,
        tokenizer,
        length,
        resume,
    )
}

fn train_and_save(
    job: &mut Job,
    config: &Config,
    start: &Llama,
    data: AlignData<'_>,
) -> Result<(), Failure> {
    let mut context = RunContext {
        run: &mut job.run,
        interrupt: &job.interrupt,
        progress: Progress::Auto,
    };
    let outcome = align(start, &job.tokenizer, &data, &config.align, &mut context)
        .map_err(|error| runs::stopped(error, &job.resume))?;
    let lengths = &outcome.tokenize;
    if !config.data.is_empty() && (lengths.is_worth_telling() || lengths.equal_answers > 0) {
        common::tell(&format!(
            "longest sequence: {} tokens; {lengths}; {} pairs dropped, whose answers are equal as \
             tokens",
            config.align.max_length, lengths.equal_answers
        ));
    }
    job.save("models/start", start)?;
    job.save(&format!("models/{}", outcome.title), &outcome.model)?;
    let seconds = job.note_cost(outcome.seconds);
    let noise = json!(config.label_noise);
    job.summary.insert("label_noise".to_owned(), noise);
    write_report(&outcome, &config.align, &job.run, &job.about, &job.summary)?;
    job.print_end(&format!("{outcome}\n"), seconds)
}
