//! A reward model evolves from a few labels: `cargo run --example ser -- --help`.

mod args;
#[path = "../common/mod.rs"]
mod common;
mod data;
#[path = "../common/options.rs"]
mod options;
#[path = "../common/runs.rs"]
mod runs;

use std::process::ExitCode;
use std::time::Instant;

use collimate::core::Key;
use collimate::data::TextTokenizer;
use collimate::lm::{Architecture, Bert, Llama, LlamaConfig, detect_architecture};
use collimate::nn::{HfFolder, HfReward, Pooling};
use collimate::prelude::Device;
use collimate::recipes::ser::{evolve, write_report};
use collimate::recipes::{RecipeError, SftOutcome, SftPlan, fine_tune};
use collimate::reward::RewardModel;
use collimate::train::{FitContext, Interrupt, Progress, RunFolder, peak_memory_bytes};
use serde_json::{Map, json};

use args::{Args, Config};
use common::{Failure, REPORT};
use data::{Parts, Prepared};

fn main() -> ExitCode {
    common::exit(|| {
        let args: Args = common::parse()?;
        let config = args.config()?;
        if args.print_config() {
            if config.data.is_empty() {
                common::tell(
                    "these are the options of the synthetic world; for those of your data give \
                     --data and --model too",
                );
            }
            return common::print(&(serde_json::to_string_pretty(&config)? + "\n"));
        }
        let device = args.device().open()?;
        let out = args.out()?;
        if out.join(REPORT).exists() {
            // Opening it tells whether the options are those of the run.
            RunFolder::create(&out, &config)?;
            let report = out.join(REPORT);
            return common::print(&format!("finished before; report: {}\n", report.display()));
        }
        match &config.model {
            None => from_scratch(&args, &config, &device),
            Some(dir) => match common::architecture(dir)? {
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
    runs::check_length(config.ser.max_length, &model)?;
    let about = format!(
        "Data: the synthetic world (`docs/synthetic-world.md`), {} training pairs with labels of \
         a noisy annotator, {} validation and {} test pairs with true labels; {} chosen answers \
         for fine-tuning, {} pairs set aside for the policy stage. Model: a Llama decoder from \
         scratch with {} parameters.",
        parts.train.len(),
        parts.validation.len(),
        parts.test.len(),
        parts.sft.len(),
        parts.set_aside,
        model.num_parameters(),
    );
    let data = parts.prepare(config, &tokenizer)?;
    let mut job = Job::open(args, config, tokenizer, about)?;
    let model = job.pretrain(model, &data)?;
    let model = job.fine_tune(model, &data)?;
    job.reward_model(&job.fresh(model), data)
}

/// The user's decoder: fine-tuned on the chosen answers of the SFT part first.
fn decoder(args: &Args, config: &Config, device: &Device) -> Result<(), Failure> {
    let dir = config.model.as_deref().ok_or("no model folder")?;
    if let Some(pooling) = config.pooling.filter(|p| *p != Pooling::LastToken) {
        return Err(format!(
            "pooling is {}: {} holds a decoder, whose last token is read: leave it out",
            json!(pooling),
            dir.display()
        )
        .into());
    }
    let tokenizer = TextTokenizer::from_folder(dir)?.with_chat_fallback(config.chat_fallback);
    let is_reward = detect_architecture(dir)? == Architecture::LlamaReward;
    let parts = data::from_files(config, !is_reward)?;
    let mut about = about_files(config, &parts);
    let data = parts.prepare(config, &tokenizer)?;
    about += &data.about_lengths(config);
    if is_reward {
        let key = Key::new(config.ser.seed, "head");
        let start = RewardModel::<Llama>::load_or_fresh(dir, key, device)?;
        runs::check_length(config.ser.max_length, &start.backbone)?;
        return Job::open(args, config, tokenizer, about)?.reward_model(&start, data);
    }
    let model = Llama::load(dir, device)?;
    runs::check_length(config.ser.max_length, &model)?;
    let mut job = Job::open(args, config, tokenizer, about)?;
    let model = job.fine_tune(model, &data)?;
    job.reward_model(&job.fresh(model), data)
}

/// The user's encoder: the reward model starts from it as it is.
fn encoder(args: &Args, config: &Config, device: &Device) -> Result<(), Failure> {
    let dir = config.model.as_deref().ok_or("no model folder")?;
    let tokenizer = TextTokenizer::from_folder(dir)?.with_chat_fallback(config.chat_fallback);
    let parts = data::from_files(config, false)?;
    let mut about = about_files(config, &parts);
    let data = parts.prepare(config, &tokenizer)?;
    about += &data.about_lengths(config);
    let key = Key::new(config.ser.seed, "head");
    let mut start = RewardModel::<Bert>::load_or_fresh(dir, key, device)?;
    runs::check_length(config.ser.max_length, &start.backbone)?;
    if let Some(pooling) = config.pooling {
        start = RewardModel::from_parts(start.backbone, start.head, pooling);
    }
    Job::open(args, config, tokenizer, about)?.reward_model(&start, data)
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
        text += &format!("; {} chosen answers for fine-tuning", parts.sft.len());
    }
    if parts.set_aside > 0 {
        text += &format!("; {} set aside for the policy stage", parts.set_aside);
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
    /// How a run that stopped goes on.
    resume: String,
}

impl<'a> Job<'a> {
    fn open(
        args: &Args,
        config: &'a Config,
        tokenizer: TextTokenizer,
        about: String,
    ) -> Result<Self, Failure> {
        let out = args.out()?;
        let data = config.data.iter().chain(&config.test);
        let run = runs::open(&out, config, data, config.model.iter())?;
        common::tell(&about);
        Ok(Self {
            config,
            tokenizer,
            run,
            interrupt: runs::interrupt(),
            about,
            summary: Map::new(),
            started: Instant::now(),
            resume: args.resume_command(&out),
        })
    }

    /// Next-token prediction on plain texts.
    fn pretrain(&mut self, model: Llama, data: &Prepared) -> Result<Llama, Failure> {
        if data.pretrain.is_empty() {
            return Ok(model);
        }
        let plan = SftPlan {
            tokenizer: &self.tokenizer,
            max_length: self.config.ser.max_length,
            truncation: self.config.ser.truncation,
            train: &self.config.pretrain,
        };
        let context = FitContext::in_run(&self.run, &self.interrupt);
        let (model, outcome) = fine_tune(model, &data.pretrain, &[], &plan, &context)
            .map_err(|error| self.stopped(error))?;
        self.summary.insert("pretrain".to_owned(), json!(outcome));
        Ok(model)
    }

    fn fine_tune(&mut self, model: Llama, data: &Prepared) -> Result<Llama, Failure> {
        let plan = SftPlan {
            tokenizer: &self.tokenizer,
            max_length: self.config.ser.max_length,
            truncation: self.config.ser.truncation,
            train: &self.config.sft,
        };
        let context = FitContext::in_run(&self.run, &self.interrupt);
        let (model, outcome) = fine_tune(model, &data.sft, &data.sft_held_out, &plan, &context)
            .map_err(|error| self.stopped(error))?;
        let folder = self.run.path().join("sft");
        model.save(&folder)?;
        self.tokenizer.save(&folder)?;
        common::tell(&self.describe(&outcome));
        self.summary.insert("sft".to_owned(), json!(outcome));
        Ok(model)
    }

    fn stopped(&self, error: RecipeError) -> Failure {
        runs::stopped(error, &self.resume)
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
        data: Prepared,
    ) -> Result<(), Failure> {
        let ser = &self.config.ser;
        let outcome = evolve(
            start,
            &self.tokenizer,
            data.ser,
            ser,
            &mut self.run,
            &self.interrupt,
            Progress::Auto,
        )
        .map_err(|error| self.stopped(error))?;
        let folder = self.run.path().join("model");
        let pad = self.tokenizer.special().pad;
        outcome.model.save(pad, ser.max_length, &folder)?;
        let tokenizer = self.tokenizer.clone().with_max_length(ser.max_length);
        tokenizer.save(&folder)?;
        // A resumed run counts what its stages took before.
        let seconds = self.started.elapsed().as_secs_f64().max(outcome.seconds);
        self.summary.insert("seconds".to_owned(), json!(seconds));
        self.summary
            .insert("tokenize".to_owned(), json!(data.lengths));
        self.summary
            .insert("peak_memory_bytes".to_owned(), json!(peak_memory_bytes()));
        write_report(&outcome, ser, &self.run, &self.about, &self.summary)?;
        let mut table = String::new();
        for model in &outcome.models {
            table += &format!(
                "{:<16} test accuracy {:.4}  ({} human labels, {} steps)\n",
                model.name, model.test.accuracy, model.human_labels, model.steps.own
            );
        }
        for warning in &outcome.warnings {
            common::tell(&format!("warning: {warning}"));
        }
        let report = self.run.path().join(REPORT);
        table += &format!("{seconds:.0} s; report: {}\n", report.display());
        common::print(&table)
    }
}
