//! A reward model evolves from a few labels: `cargo run --example ser -- --help`.

mod args;
#[path = "../common/mod.rs"]
mod common;
mod data;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use collimate::core::Key;
use collimate::data::TextTokenizer;
use collimate::lm::{Architecture, Bert, Llama, LlamaConfig, detect_architecture};
use collimate::nn::{HfFolder, HfReward, Pooling};
use collimate::prelude::Device;
use collimate::recipes::ser::{SerData, evolve, write_report};
use collimate::recipes::{SftOutcome, SftPlan, fine_tune};
use collimate::reward::RewardModel;
use collimate::train::{FitContext, Interrupt, Progress, RunFolder, peak_memory_bytes};
use serde_json::{Map, json};

use args::{Args, Config};
use common::Failure;
use data::Parts;

fn main() -> ExitCode {
    common::exit(|| {
        let args = Args::parse();
        let config = args.config()?;
        if args.print_config() {
            println!("{}", serde_json::to_string_pretty(&config)?);
            return Ok(());
        }
        let device = args.device().open()?;
        match &config.model {
            None => from_scratch(&args, &config, &device),
            Some(dir) => match detect_architecture(dir)? {
                Architecture::Bert => encoder(&args, &config, &device),
                _ => decoder(&args, &config, &device),
            },
        }
    })
}

/// A small decoder, trained from scratch on the synthetic world.
fn from_scratch(args: &Args, config: &Config, device: &Device) -> Result<(), Failure> {
    let (parts, tokenizer) = data::from_world(config)?;
    let special = tokenizer.special();
    let llama = LlamaConfig {
        vocab_size: tokenizer.vocab_size(),
        bos_token_id: special.bos,
        eos_token_id: Some(special.eos),
        pad_token_id: special.pad,
        ..config.llama.clone()
    };
    let model = Llama::new(&llama, Key::new(config.ser.seed, "init"), device)?;
    let about = format!(
        "Data: the synthetic world (`docs/synthetic-world.md`), {} training pairs with labels of \
         a noisy annotator, {} validation and {} test pairs with true labels. Model: a Llama \
         decoder from scratch with {} parameters.",
        parts.train.len(),
        parts.validation.len(),
        parts.test.len(),
        model.num_parameters(),
    );
    let mut job = Job::open(args, config, tokenizer, about)?;
    let model = job.fine_tune(model, &parts)?;
    job.reward_model(&job.fresh(model), parts)
}

/// The user's decoder: fine-tuned on the chosen answers of the SFT part first.
fn decoder(args: &Args, config: &Config, device: &Device) -> Result<(), Failure> {
    let dir = config.model.as_deref().ok_or("no model folder")?;
    let tokenizer = TextTokenizer::from_folder(dir)?;
    let is_reward = detect_architecture(dir)? == Architecture::LlamaReward;
    let parts = data::from_files(config, !is_reward)?;
    let mut job = Job::open(args, config, tokenizer, about_files(config, &parts))?;
    if is_reward {
        let key = Key::new(config.ser.seed, "head");
        let start = RewardModel::<Llama>::load_or_fresh(dir, key, device)?;
        return job.reward_model(&start, parts);
    }
    let model = job.fine_tune(Llama::load(dir, device)?, &parts)?;
    job.reward_model(&job.fresh(model), parts)
}

/// The user's encoder: the reward model starts from it as it is.
fn encoder(args: &Args, config: &Config, device: &Device) -> Result<(), Failure> {
    let dir = config.model.as_deref().ok_or("no model folder")?;
    let tokenizer = TextTokenizer::from_folder(dir)?;
    let parts = data::from_files(config, false)?;
    let mut job = Job::open(args, config, tokenizer, about_files(config, &parts))?;
    let key = Key::new(config.ser.seed, "head");
    let mut start = RewardModel::<Bert>::load_or_fresh(dir, key, device)?;
    if let Some(pooling) = config.pooling {
        start = RewardModel::from_parts(start.backbone, start.head, pooling);
    }
    job.reward_model(&start, parts)
}

fn about_files(config: &Config, parts: &Parts) -> String {
    let model = config.model.as_ref().map(|dir| dir.display().to_string());
    let mut text = format!(
        "Model: `{}`. Pairs: {} for the reward model, {} validation, {} test",
        model.unwrap_or_default(),
        parts.train.len(),
        parts.validation.len(),
        parts.test.len(),
    );
    if !parts.sft.is_empty() {
        text += &format!("; {} answers for fine-tuning", parts.sft.len());
    }
    text.push('.');
    for report in &parts.reports {
        text += &format!(" {report}.");
    }
    text
}

/// One run in one folder.
struct Job<'a> {
    config: &'a Config,
    tokenizer: TextTokenizer,
    run: RunFolder,
    interrupt: Interrupt,
    about: String,
    summary: Map<String, serde_json::Value>,
    started: Instant,
}

impl<'a> Job<'a> {
    fn open(
        args: &Args,
        config: &'a Config,
        tokenizer: TextTokenizer,
        about: String,
    ) -> Result<Self, Failure> {
        let out = args.out()?;
        let run = RunFolder::create(&out, config)?;
        eprintln!("run folder: {}", out.display());
        eprintln!("{about}");
        Ok(Self {
            config,
            tokenizer,
            run,
            interrupt: Interrupt::on_signals()?,
            about,
            summary: Map::new(),
            started: Instant::now(),
        })
    }

    fn fine_tune(&mut self, model: Llama, parts: &Parts) -> Result<Llama, Failure> {
        let plan = SftPlan {
            tokenizer: &self.tokenizer,
            max_length: self.config.ser.max_length,
            truncation: self.config.ser.truncation,
            train: &self.config.sft,
        };
        let context = FitContext::in_run(&self.run, &self.interrupt);
        let (model, outcome) = fine_tune(model, &parts.sft, &parts.sft_held_out, &plan, &context)?;
        let folder = self.run.path().join("sft");
        model.save(&folder)?;
        self.tokenizer.save(&folder)?;
        eprintln!("{}", self.describe(&outcome));
        self.summary.insert("sft".to_owned(), json!(outcome));
        Ok(model)
    }

    fn describe(&self, outcome: &SftOutcome) -> String {
        match (outcome.perplexity_before, outcome.perplexity_after) {
            (Some(before), Some(after)) => {
                format!("sft: held-out perplexity {before:.2} → {after:.2}")
            }
            _ => format!("sft: {} steps", outcome.steps),
        }
    }

    fn fresh(&self, backbone: Llama) -> RewardModel<Llama> {
        let key = Key::new(self.config.ser.seed, "head");
        RewardModel::with_fresh_head(backbone, Pooling::LastToken, key)
    }

    fn reward_model<B: HfReward>(
        &mut self,
        start: &RewardModel<B>,
        parts: Parts,
    ) -> Result<(), Failure> {
        let ser = &self.config.ser;
        let keep_labels = ser.baseline || !ser.controls.is_empty();
        let data = SerData::split(
            parts.train,
            parts.validation,
            parts.test,
            ser.seed_share,
            keep_labels,
            Key::new(ser.seed, "pool"),
        )?;
        let outcome = evolve(
            start,
            &self.tokenizer,
            data,
            ser,
            &mut self.run,
            &self.interrupt,
            Progress::Auto,
        )?;
        let folder = self.run.path().join("model");
        let pad = self.tokenizer.special().pad;
        outcome.model.save(pad, ser.max_length, &folder)?;
        self.tokenizer.save(&folder)?;
        let seconds = self.started.elapsed().as_secs_f64();
        self.summary.insert("seconds".to_owned(), json!(seconds));
        self.summary
            .insert("peak_memory_bytes".to_owned(), json!(peak_memory_bytes()));
        write_report(&outcome, ser, &self.run, &self.about, &self.summary)?;
        for model in &outcome.models {
            println!(
                "{:<16} test accuracy {:.4}  ({} human labels, {} steps)",
                model.name, model.test.accuracy, model.human_labels, model.steps
            );
        }
        for warning in &outcome.warnings {
            eprintln!("warning: {warning}");
        }
        println!(
            "{:.0} s; report: {}",
            seconds,
            self.run.path().join("report.md").display()
        );
        Ok(())
    }
}
