//! One run in one folder.

use std::path::{Path, PathBuf};
use std::time::Instant;

use collimate::core::{Key, Scorer};
use collimate::data::world::World;
use collimate::data::{SftExample, TextTokenizer, Truncation};
use collimate::lm::{Architecture, Bert, Llama, LlamaConfig, eos_token_ids};
use collimate::nn::{HfFolder, HfReward};
use collimate::prelude::Device;
use collimate::recipes::sera::{Judge, align, write_report};
use collimate::recipes::{RecipeError, SftPlan, fine_tune};
use collimate::reward::{RewardModel, RewardScorer};
use collimate::train::{
    FitContext, Interrupt, Progress, RunFolder, TrainConfig, peak_memory_bytes,
};
use serde_json::{Map, Value, json};

use super::args::{Config, Defaults, Options};
use super::data::{self, Parts};
use crate::common::{self, Failure, REPORT};
use crate::runs;

/// Reads the options and does what they say.
pub(crate) fn run(options: &Options, defaults: Defaults) -> Result<(), Failure> {
    let config = options.config(defaults)?;
    if options.print_config() {
        if config.data.is_empty() {
            common::tell(
                "these are the options of the synthetic world; for those of your data give --data \
                 and --model too",
            );
        }
        return common::print(&(serde_json::to_string_pretty(&config)? + "\n"));
    }
    let device = options.device().open()?;
    let out = options.out(defaults)?;
    if out.join(REPORT).exists() {
        // Opening it tells whether the options are those of the run.
        RunFolder::create(&out, &config)?;
        let report = out.join(REPORT);
        return common::print(&format!("finished before; report: {}\n", report.display()));
    }
    match &config.model {
        None => from_scratch(options, &config, out, &device),
        Some(_) => from_folder(options, &config, out, &device),
    }
}

/// A small decoder, trained from scratch on the synthetic world and judged by its gold reward.
fn from_scratch(
    options: &Options,
    config: &Config,
    out: PathBuf,
    device: &Device,
) -> Result<(), Failure> {
    let world = World::new(&config.world)?;
    let (mut parts, tokenizer) = data::from_world(config, &world)?;
    let special = tokenizer.special();
    let llama = LlamaConfig {
        vocab_size: tokenizer.vocab_size(),
        bos_token_id: special.bos,
        eos_token_id: Some(special.eos),
        pad_token_id: special.pad,
        ..config.llama.clone()
    };
    let model = Llama::new(&llama, Key::new(config.align.seed, "init"), device)?;
    runs::check_length(config.align.max_length, &model)?;
    let about = format!(
        "Data: the synthetic world (`docs/synthetic-world.md`), {} pairs with labels of a noisy \
         annotator{}; answers to {} held-out prompts are scored by the gold reward. Start: a Llama \
         decoder from scratch with {} parameters, fine-tuned on {} chosen answers.",
        parts.align.train.len(),
        noise(config),
        parts.align.prompts.len(),
        model.num_parameters(),
        parts.sft.len(),
    );
    let mut job = Job::open(options, config, tokenizer, about, out)?;
    let model = job.fine_tune("pretrain", model, &parts.pretrain, &config.pretrain)?;
    let start = job.fine_tune("sft", model, &parts.sft, &config.sft)?;
    let gold = world.scorer();
    parts.align.judge = Some(Judge {
        name: "the gold reward".to_owned(),
        scorer: &gold,
    });
    job.align(&start, &parts)
}

/// The user's policy, as it is.
fn from_folder(
    options: &Options,
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
    let mut parts = data::from_files(config)?;
    parts.align.eos = eos_token_ids(dir)?;
    let model = Llama::load(dir, device)?;
    runs::check_length(config.align.max_length, &model)?;
    let mut about = format!(
        "Start and first reference: `{}`. Pairs: {} to learn from{}, {} validation.",
        dir.display(),
        parts.align.train.len(),
        noise(config),
        parts.align.validation.len(),
    );
    for report in &parts.reports {
        about += &format!(" {report}.");
    }
    let scorer = config
        .judge
        .as_deref()
        .map(|dir| judge(dir, config, device))
        .transpose()?;
    parts.align.judge = scorer.as_deref().map(|scorer| Judge {
        name: "the reward model of --judge".to_owned(),
        scorer,
    });
    Job::open(options, config, tokenizer, about, out)?.align(&model, &parts)
}

/// A saved reward model as a scorer.
fn judge(dir: &Path, config: &Config, device: &Device) -> Result<Box<dyn Scorer>, Failure> {
    fn load<B: HfReward>(
        dir: &Path,
        config: &Config,
        device: &Device,
    ) -> Result<Box<dyn Scorer>, Failure> {
        let model = RewardModel::<B>::load(dir, device)?;
        let tokenizer = TextTokenizer::from_folder(dir)?.with_chat_fallback(config.chat_fallback);
        let length = tokenizer.max_length().unwrap_or(512);
        let length = length.min(model.backbone.max_positions());
        Ok(Box::new(RewardScorer::new(
            model,
            tokenizer,
            length,
            Truncation::KeepEnd,
        )))
    }
    match common::architecture(dir)? {
        Architecture::Bert => load::<Bert>(dir, config, device),
        _ => load::<Llama>(dir, config, device),
    }
}

fn noise(config: &Config) -> String {
    match config.label_noise {
        0.0 => String::new(),
        share => format!(" ({:.0} % of the labels swapped)", 100.0 * share),
    }
}

struct Job<'a> {
    config: &'a Config,
    tokenizer: TextTokenizer,
    run: RunFolder,
    interrupt: Interrupt,
    about: String,
    summary: Map<String, Value>,
    started: Instant,
    /// How a run that stopped goes on.
    resume: String,
}

impl<'a> Job<'a> {
    fn open(
        options: &Options,
        config: &'a Config,
        tokenizer: TextTokenizer,
        about: String,
        out: PathBuf,
    ) -> Result<Self, Failure> {
        let models = config.model.iter().chain(&config.judge);
        let run = runs::open(&out, config, config.data.iter(), models)?;
        common::tell(&about);
        Ok(Self {
            config,
            tokenizer,
            run,
            interrupt: runs::interrupt(),
            about,
            summary: Map::new(),
            started: Instant::now(),
            resume: options.resume_command(&out),
        })
    }

    /// Next-token prediction: on plain texts (`pretrain`), or on chosen answers (`sft`).
    fn fine_tune(
        &mut self,
        stage: &str,
        model: Llama,
        texts: &[SftExample],
        train: &TrainConfig,
    ) -> Result<Llama, Failure> {
        if texts.is_empty() {
            return Ok(model);
        }
        let plan = SftPlan {
            tokenizer: &self.tokenizer,
            max_length: self.config.align.max_length,
            truncation: self.config.align.truncation,
            train: &TrainConfig {
                stage: stage.to_owned(),
                seed: self.config.align.seed,
                ..train.clone()
            },
        };
        let context = FitContext::in_run(&self.run, &self.interrupt);
        let (model, outcome) =
            fine_tune(model, texts, &[], &plan, &context).map_err(|error| self.stopped(error))?;
        self.summary.insert(stage.to_owned(), json!(outcome));
        Ok(model)
    }

    fn stopped(&self, error: RecipeError) -> Failure {
        runs::stopped(error, &self.resume)
    }

    fn align(&mut self, start: &Llama, parts: &Parts<'_>) -> Result<(), Failure> {
        let align_config = &self.config.align;
        let outcome = align(
            start,
            &self.tokenizer,
            &parts.align,
            align_config,
            &mut self.run,
            &self.interrupt,
            Progress::Auto,
        )
        .map_err(|error| self.stopped(error))?;
        self.save("start", start)?;
        for policy in &outcome.policies {
            self.save(&policy.title, &policy.model)?;
        }
        let seconds = self.started.elapsed().as_secs_f64().max(outcome.seconds);
        self.summary.insert("seconds".to_owned(), json!(seconds));
        self.summary
            .insert("label_noise".to_owned(), json!(self.config.label_noise));
        self.summary
            .insert("peak_memory_bytes".to_owned(), json!(peak_memory_bytes()));
        write_report(
            &outcome,
            align_config,
            &self.run,
            &self.about,
            &self.summary,
        )?;
        let mut table = String::new();
        for policy in &outcome.policies {
            let last = policy.iterations.last();
            table += &format!("{:<32}", policy.title);
            if let Some(answers) = &policy.answers {
                table += &format!(
                    "win rate {:.3}  score {:.3}  ",
                    answers.win_rate.estimate, answers.mean_score.estimate
                );
            }
            if let Some(accuracy) = last.and_then(|i| i.validation_accuracy) {
                table += &format!("validation {accuracy:.3}");
            }
            table.push('\n');
        }
        let report = self.run.path().join(REPORT);
        table += &format!("{seconds:.0} s; report: {}\n", report.display());
        common::print(&table)
    }

    /// A policy as a folder that other libraries open.
    fn save(&self, name: &str, model: &Llama) -> Result<(), Failure> {
        let length = self.config.align.max_length;
        let tokenizer = self.tokenizer.clone().with_max_length(length);
        let folder = self.run.path().join("models").join(name);
        model.save(&folder)?;
        tokenizer.save(&folder)?;
        Ok(())
    }
}
