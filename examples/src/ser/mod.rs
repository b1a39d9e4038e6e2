//! A reward model evolves from a few labels: `cargo run --example ser -- --help`.

mod args;
mod closed_loop;
mod config;
mod data;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use collimate::core::Key;
use collimate::data::TextTokenizer;
use collimate::data::world::World;
use collimate::lm::{Architecture, Bert, Llama, LlamaConfig, detect_architecture, eos_token_ids};
use collimate::nn::{HfFolder, HfReward, Pooling};
use collimate::prelude::Device;
use collimate::recipes::Judge;
use collimate::recipes::ppo::{
    Contender, PolicyData, PolicyOutcome, reinforce, section, summary as policy_summary,
};
use collimate::recipes::ser::{SerOutcome, evolve, write_report_with};
use collimate::recipes::{RecipeError, SftOutcome, SftPlan, fine_tune};
use collimate::reward::{RewardModel, RewardScorer};
use collimate::train::{FitContext, Interrupt, Progress, RunFolder, peak_memory_bytes};
use serde_json::{Map, json};

use crate::{
    common::{self, Failure, REPORT},
    policy, runs,
};

use args::Args;
use closed_loop::{Held, Round};
use config::{Config, PolicyReward, StopAfter};
use data::{Parts, Prepared};

/// The program.
pub fn main() -> ExitCode {
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
    let world = World::new(&config.world)?;
    let (parts, tokenizer) = data::from_world(config, &world)?;
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
        parts.set_aside.len(),
        model.num_parameters(),
    );
    let data = parts.prepare(config, &tokenizer)?;
    let mut job = Job::open(args, config, tokenizer, about)?;
    let model = job.pretrain(model, &data)?;
    let model = job.fine_tune(model, &data)?;
    let gold = world.scorer();
    let judge = Judge {
        name: "the gold reward".to_owned(),
        scorer: &gold,
    };
    job.reward_and_policies(&model, data, Vec::new(), Some(judge))
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
        let mut job = Job::open(args, config, tokenizer, about)?;
        job.no_policies();
        let outcome = job.reward_model(&start, data)?;
        return job.conclude(&outcome, None, &[]);
    }
    let model = Llama::load(dir, device)?;
    runs::check_length(config.ser.max_length, &model)?;
    let eos = eos_token_ids(dir)?;
    let mut job = Job::open(args, config, tokenizer, about)?;
    let model = job.fine_tune(model, &data)?;
    job.reward_and_policies(&model, data, eos, None)
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
    let mut job = Job::open(args, config, tokenizer, about)?;
    job.no_policies();
    let outcome = job.reward_model(&start, data)?;
    job.conclude(&outcome, None, &[])
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
    if !parts.set_aside.is_empty() {
        text += &format!("; {} set aside for the policy stage", parts.set_aside.len());
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
    ) -> Result<SerOutcome<B>, Failure> {
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
        outcome.learnt.model.save(pad, ser.max_length, &folder)?;
        self.save_tokenizer(&folder)?;
        self.summary
            .insert("tokenize".to_owned(), json!(data.lengths));
        Ok(outcome)
    }

    fn save_tokenizer(&self, folder: &Path) -> Result<(), Failure> {
        let tokenizer = self.tokenizer.clone();
        let tokenizer = tokenizer.with_max_length(self.config.ser.max_length);
        Ok(tokenizer.save(folder)?)
    }

    /// Everything after fine-tuning, for a decoder.
    fn reward_and_policies(
        &mut self,
        model: &Llama,
        data: Prepared,
        eos: Vec<u32>,
        judge: Option<Judge<'_>>,
    ) -> Result<(), Failure> {
        let held = Held {
            validation: data.ser.validation.clone(),
            test: data.ser.test.clone(),
        };
        let (prompts, held_out) = (data.policy.clone(), data.sft_held_out.clone());
        let fresh = self.fresh(model.clone());
        let outcome = self.reward_model(&fresh, data)?;
        let data = prompts.into_data(held_out, eos, judge);
        let mut policies = self.policies(model, &outcome, &data)?;
        let rounds = match &mut policies {
            Some(policies) => {
                self.close_the_loop(model, &fresh, &outcome.learnt, &data, &held, policies)?
            }
            None => Vec::new(),
        };
        self.conclude(&outcome, policies.as_ref(), &rounds)
    }

    /// Where there is no language model to train, only a reward model.
    fn no_policies(&self) {
        if self.config.stop_after == StopAfter::Ppo {
            common::tell(
                "no policy is trained: that needs a language model to start from, and --model holds \
                 none; this run ends with the reward model",
            );
        }
    }

    /// One policy per reward, from the fine-tuned model.
    fn policies(
        &mut self,
        start: &Llama,
        outcome: &SerOutcome<Llama>,
        data: &PolicyData<'_>,
    ) -> Result<Option<PolicyOutcome<Llama>>, Failure> {
        if self.config.stop_after == StopAfter::Rm {
            return Ok(None);
        }
        let ser = &self.config.ser;
        let scorers: Vec<_> = outcome
            .reward_models
            .iter()
            .map(|(name, model)| {
                let tokenizer = self.tokenizer.clone();
                let (length, cut) = (ser.max_length, ser.truncation);
                let scorer = RewardScorer::new(model.clone(), tokenizer, length, cut);
                (name.as_str(), model, scorer)
            })
            .collect();
        let mut contenders = Vec::new();
        for reward in &self.config.policy_rewards {
            let name = json!(reward).as_str().unwrap_or_default().to_owned();
            let found = scorers.iter().find(|(of, ..)| *of == name);
            contenders.push(match (found, &data.judge) {
                (Some((_, model, scorer)), _) => Contender {
                    name,
                    reward: scorer,
                    critic: Some(policy::critic(model)),
                },
                (None, Some(gold)) if *reward == PolicyReward::Gold => Contender {
                    name,
                    reward: gold.scorer,
                    // No reward model belongs to it: the evolved one's layers serve.
                    critic: Some(policy::critic(&outcome.learnt.model)),
                },
                (None, _) => return Err(format!("there is no reward model {name}").into()),
            });
        }
        self.train_policies(start, &contenders, data).map(Some)
    }

    fn train_policies(
        &mut self,
        start: &Llama,
        contenders: &[Contender<'_, Llama>],
        data: &PolicyData<'_>,
    ) -> Result<PolicyOutcome<Llama>, Failure> {
        let outcome = reinforce(
            start,
            &self.tokenizer,
            contenders,
            data,
            &self.config.policy,
            &mut self.run,
            &self.interrupt,
            Progress::Auto,
        )
        .map_err(|error| self.stopped(error))?;
        for policy in &outcome.policies {
            let folder = self
                .run
                .path()
                .join(format!("policy-{}", policy.report.name));
            policy.model.save(&folder)?;
            self.save_tokenizer(&folder)?;
        }
        Ok(outcome)
    }

    fn conclude<B: HfReward>(
        &mut self,
        outcome: &SerOutcome<B>,
        policies: Option<&PolicyOutcome<Llama>>,
        rounds: &[Round],
    ) -> Result<(), Failure> {
        let ser = &self.config.ser;
        // A resumed run counts what its stages took before.
        let before = outcome.seconds + policies.map_or(0.0, |p| p.seconds);
        let seconds = self.started.elapsed().as_secs_f64().max(before);
        self.summary.insert("seconds".to_owned(), json!(seconds));
        self.summary
            .insert("peak_memory_bytes".to_owned(), json!(peak_memory_bytes()));
        let policy = &self.config.policy;
        if let Some(policies) = policies {
            let summary = policy_summary(policies, policy);
            self.summary.insert("ppo".to_owned(), summary);
        }
        if !rounds.is_empty() {
            self.summary.insert("closed_loop".to_owned(), json!(rounds));
        }
        let (run, about, more) = (&self.run, &self.about, &self.summary);
        write_report_with(outcome, ser, run, about, more, |report| match policies {
            Some(policies) => section(closed_loop::section(report, rounds), policies, policy, run),
            None => Ok(report),
        })?;
        let mut table = String::new();
        for model in &outcome.models {
            table += &format!(
                "{:<16} test accuracy {:.4}  ({} human labels, {} steps)\n",
                model.name, model.test.accuracy, model.human_labels, model.steps.own
            );
        }
        for round in rounds {
            table += &format!("{round}\n");
        }
        for policy in policies.iter().flat_map(|p| &p.policies) {
            let r = &policy.report;
            table += &format!(
                "policy-{:<9} win rate {:.3}  score {:.3}  kl {:.2}  {:.1} tokens\n",
                r.name,
                r.answers.win_rate.estimate,
                r.answers.mean_score.estimate,
                r.kl.estimate,
                r.answers.mean_tokens,
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
