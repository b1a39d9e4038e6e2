//! A reward model evolves from a few labels: `collimate ser --help`.

mod args;
mod closed_loop;
mod config;
mod data;

use collimate::core::Key;
use collimate::data::TextTokenizer;
use collimate::lm::{Architecture, Bert, Llama, detect_architecture, eos_token_ids};
use collimate::nn::{Backbone, HfFolder, HfReward, Pooling, TokenizerFacts};
use collimate::prelude::Device;
use collimate::recipes::AnswerScorer;
use collimate::recipes::SftOutcome;
use collimate::recipes::ppo::{
    PolicyData, PolicyInputs, PolicyOutcome, RewardArm, reinforce, section,
    summary as policy_summary,
};
use collimate::recipes::ser::{ReportNotes, SerOutcome, evolve, write_report_with};
use collimate::reward::{RewardModel, RewardScorer};
use collimate::run::RunContext;
use collimate::train::Progress;
use collimate::world::World;
use serde_json::json;

use crate::{
    common::{self, Failure},
    job::{Job, fresh_llama, has_ended},
    options::RunArgs,
    policy, runs,
};

pub(crate) use args::Args;
use closed_loop::{Held, Round};
use config::{Config, PolicyReward, StopAfter};
use data::{Parts, Prepared};

/// Runs the command with these options.
fn run_with(config: &Config, run: &RunArgs, device: &Device) -> Result<(), Failure> {
    if has_ended(&run.out(args::NAME)?, config)? {
        return Ok(());
    }
    match &config.model {
        None => from_scratch(run, config, device),
        Some(dir) => match common::architecture(dir)? {
            Architecture::Bert => encoder(run, config, device),
            _ => decoder(run, config, device),
        },
    }
}

/// A small decoder, trained from scratch on the synthetic world.
fn from_scratch(args: &RunArgs, config: &Config, device: &Device) -> Result<(), Failure> {
    let world = World::new(&config.world)?;
    let (parts, tokenizer) = data::from_world(config, &world)?;
    let tokenizer = tokenizer.with_max_prompt_length(config.ser.max_prompt_length);
    let (length, seed) = (config.ser.max_length, config.ser.seed);
    let model = fresh_llama(&config.llama, &tokenizer, length, seed, device)?
        .with_recompute(args.gradient_checkpointing);
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
    let mut job = Run::open(args, config, tokenizer, about)?;
    let model = job.pretrain(model, &data)?;
    let model = job.fine_tune(model, &data)?;
    let gold = world.scorer();
    let judge = AnswerScorer {
        name: "the gold reward".to_owned(),
        scorer: &gold,
    };
    job.reward_and_policies(&model, data, Vec::new(), Some(judge))
}

/// The user's decoder: fine-tuned on the chosen answers of the SFT part first.
fn decoder(args: &RunArgs, config: &Config, device: &Device) -> Result<(), Failure> {
    let dir = config.model.as_deref().ok_or("no model folder")?;
    if let Some(pooling) = config.pooling.filter(|p| *p != Pooling::LastToken) {
        return Err(format!(
            "pooling is {}: {} holds a decoder, whose last token is read: leave it out",
            json!(pooling),
            dir.display()
        )
        .into());
    }
    let tokenizer = TextTokenizer::from_folder(dir)?
        .with_chat_fallback(config.chat_fallback)
        .with_max_prompt_length(config.ser.max_prompt_length);
    let is_reward = detect_architecture(dir)? == Architecture::LlamaReward;
    if is_reward {
        config.check_no_rounds()?;
    }
    let parts = data::from_files(config, !is_reward)?;
    let mut about = about_files(config, &parts);
    let data = parts.prepare(config, &tokenizer)?;
    about += &data.about_lengths(config);
    if is_reward {
        let key = Key::new(config.ser.seed, "head");
        let start = RewardModel::<Llama>::load_or_fresh(dir, key, device)?
            .with_recompute(args.gradient_checkpointing);
        runs::check_length(config.ser.max_length, &start.backbone)?;
        let mut job = Run::open(args, config, tokenizer, about)?;
        job.no_policies();
        let outcome = job.reward_model(&start, data)?;
        return job.conclude(&outcome, None, &[]);
    }
    let model = Llama::load(dir, device)?.with_recompute(args.gradient_checkpointing);
    runs::check_length(config.ser.max_length, &model)?;
    let eos = eos_token_ids(dir)?;
    let mut job = Run::open(args, config, tokenizer, about)?;
    let model = job.fine_tune(model, &data)?;
    job.reward_and_policies(&model, data, eos, None)
}

/// The user's encoder: the reward model starts from it as it is.
fn encoder(args: &RunArgs, config: &Config, device: &Device) -> Result<(), Failure> {
    let dir = config.model.as_deref().ok_or("no model folder")?;
    config.check_no_rounds()?;
    let tokenizer = TextTokenizer::from_folder(dir)?
        .with_chat_fallback(config.chat_fallback)
        .with_max_prompt_length(config.ser.max_prompt_length);
    let parts = data::from_files(config, false)?;
    let mut about = about_files(config, &parts);
    let data = parts.prepare(config, &tokenizer)?;
    about += &data.about_lengths(config);
    let key = Key::new(config.ser.seed, "head");
    let mut start = RewardModel::<Bert>::load_or_fresh(dir, key, device)?
        .with_recompute(args.gradient_checkpointing);
    runs::check_length(config.ser.max_length, &start.backbone)?;
    if let Some(pooling) = config.pooling {
        start = RewardModel::from_parts(start.backbone, start.head, pooling);
    }
    let mut job = Run::open(args, config, tokenizer, about)?;
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

fn describe(outcome: &SftOutcome) -> String {
    match (outcome.perplexity_before, outcome.perplexity_after) {
        (Some(before), Some(after)) => {
            format!("sft: held-out perplexity {before:.2} → {after:.2}")
        }
        _ => format!("sft: {} steps", outcome.steps),
    }
}

/// One run in one folder.
struct Run<'a> {
    config: &'a Config,
    job: Job,
    /// What the rounds with the policy in the loop have to say.
    warnings: Vec<String>,
}

impl<'a> Run<'a> {
    fn open(
        args: &RunArgs,
        config: &'a Config,
        tokenizer: TextTokenizer,
        about: String,
    ) -> Result<Self, Failure> {
        let out = args.out(args::NAME)?;
        let files = config.data.iter().chain(&config.test);
        let (models, length) = (config.model.iter(), config.ser.max_length);
        let resume = args.resume_command(&out);
        let job = Job::open(&out, config, files, models, tokenizer, length, resume)?.about(about);
        Ok(Self {
            config,
            job,
            warnings: Vec::new(),
        })
    }

    /// Next-token prediction on plain texts.
    fn pretrain(&mut self, model: Llama, data: &Prepared) -> Result<Llama, Failure> {
        let (truncation, train) = (self.config.ser.truncation, &self.config.pretrain);
        let trained = self
            .job
            .fine_tune(model, &data.pretrain, &[], truncation, train)?;
        Ok(trained.0)
    }

    fn fine_tune(&mut self, model: Llama, data: &Prepared) -> Result<Llama, Failure> {
        let (truncation, train) = (self.config.ser.truncation, &self.config.sft);
        let (rows, held_out) = (&data.sft, &data.sft_held_out);
        let (model, outcome) = self
            .job
            .fine_tune(model, rows, held_out, truncation, train)?;
        self.job.save("sft", &model)?;
        if let Some(outcome) = outcome {
            common::tell(&describe(&outcome));
        }
        Ok(model)
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
        let mut context = RunContext {
            run: &mut self.job.run,
            interrupt: &self.job.interrupt,
            progress: Progress::Auto,
        };
        let outcome = evolve(start, &self.job.tokenizer, data.ser, ser, &mut context)
            .map_err(|error| self.job.stopped(error))?;
        self.save_reward_model("model", &outcome.learnt.model)?;
        let lengths = json!(data.lengths);
        self.job.summary.insert("tokenize".to_owned(), lengths);
        Ok(outcome)
    }

    fn save_reward_model<B: HfReward>(
        &self,
        name: &str,
        model: &RewardModel<B>,
    ) -> Result<(), Failure> {
        let facts = TokenizerFacts {
            pad_token_id: self.job.tokenizer.special().pad,
            max_length: Some(self.config.ser.max_length),
        };
        model.save_with(&facts, &self.job.run.path().join(name))?;
        self.job.save_tokenizer(name)
    }

    /// Everything after fine-tuning, for a decoder.
    fn reward_and_policies(
        &mut self,
        model: &Llama,
        data: Prepared,
        eos: Vec<u32>,
        judge: Option<AnswerScorer<'_>>,
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
            .map(|reward| {
                let tokenizer = self.job.tokenizer.clone();
                let (length, cut) = (ser.max_length, ser.truncation);
                let scorer = RewardScorer::new(reward.model.clone(), tokenizer, length, cut);
                (reward, scorer)
            })
            .collect();
        let mut arms = Vec::new();
        for reward in &self.config.policy_rewards {
            let name = json!(reward).as_str().unwrap_or_default().to_owned();
            let found = scorers.iter().find(|(of, _)| of.name == name);
            arms.push(match (found, &data.judge) {
                (Some((of, scorer)), _) => RewardArm {
                    name,
                    reward: scorer,
                    centre: Some(of.centre),
                    critic: Some(policy::critic(&of.model)),
                },
                (None, Some(gold)) if *reward == PolicyReward::Gold => RewardArm {
                    name,
                    reward: gold.scorer,
                    centre: None,
                    // No reward model belongs to it: the evolved one's layers serve.
                    critic: Some(policy::critic(&outcome.learnt.model)),
                },
                (None, _) => return Err(format!("there is no reward model {name}").into()),
            });
        }
        self.train_policies(start, &arms, data).map(Some)
    }

    fn train_policies(
        &mut self,
        start: &Llama,
        arms: &[RewardArm<'_, Llama>],
        data: &PolicyData<'_>,
    ) -> Result<PolicyOutcome<Llama>, Failure> {
        let mut context = RunContext {
            run: &mut self.job.run,
            interrupt: &self.job.interrupt,
            progress: Progress::Auto,
        };
        let inputs = PolicyInputs { arms, data };
        let config = &self.config.policy;
        let outcome = reinforce(start, &self.job.tokenizer, &inputs, config, &mut context)
            .map_err(|error| self.job.stopped(error))?;
        for policy in &outcome.policies {
            let name = format!("policy-{}", policy.report.name);
            self.job.save(&name, &policy.model)?;
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
        let before = outcome.seconds
            + rounds.iter().map(|r| r.seconds).sum::<f64>()
            + policies.map_or(0.0, |p| p.seconds);
        let seconds = self.job.note_cost(before);
        let policy = &self.config.policy;
        if let Some(policies) = policies {
            let summary = policy_summary(policies, policy);
            self.job.summary.insert("ppo".to_owned(), summary);
        }
        if self.config.policy_in_loop > 0 {
            self.job
                .summary
                .insert("closed_loop".to_owned(), json!(rounds));
        }
        let warnings = &self.warnings;
        let Job {
            run,
            about,
            summary: extra,
            ..
        } = &self.job;
        let notes = ReportNotes { about, extra };
        let parts = match policies {
            Some(policies) => vec![
                closed_loop::section(rounds, warnings)?,
                section(policies, policy, run)?,
            ],
            None => Vec::new(),
        };
        write_report_with(outcome, ser, run, notes, parts)?;
        let mut table = String::new();
        for model in &outcome.models {
            table += &format!(
                "{:<16} test accuracy {:.4}  ({} human labels, {} steps)\n",
                model.name, model.test.accuracy, model.human_labels, model.steps.own
            );
        }
        if outcome.fine_tuning_labels > 0 {
            table += &format!(
                "human labels: {} of the seed, and {} whose chosen answers were for fine-tuning\n",
                outcome.learnt.seed.len(),
                outcome.fine_tuning_labels,
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
        for warning in outcome.warnings.iter().chain(&self.warnings) {
            common::tell(&format!("warning: {warning}"));
        }
        policy::warn(policies.map_or(&[][..], |policies| policies.policies.as_slice()));
        self.job.print_end(&table, seconds)
    }
}
