//! Evolves a reward model from a few labels: `collimate ser --help`.

mod answers;
mod args;
mod asked;
mod closed_loop;
mod config;
mod data;
mod estimate;
mod handed_on;
mod judged;
mod labels;
mod own_labels;
mod policy_prompts;
mod real;

use std::path::Path;

use collimate::core::{Completion, Key, Prompt, ScoreError, Scorer};
use collimate::data::TextTokenizer;
use collimate::lm::{Architecture, Encoder, Llama, eos_token_ids};
use collimate::nn::{HfReward, Pooling};
use collimate::recipes::ppo::{
    PolicyData, PolicyInputs, PolicyOutcome, RewardArm, reinforce, section,
    summary as policy_summary,
};
use collimate::recipes::ser::{
    Evolving, ReportNotes, SerConfig, SerOutcome, evolve_with, write_report_with,
};
use collimate::recipes::{AnswerScorer, RecipeError, SftOutcome};
use collimate::reward::{RewardModel, RewardScorer};
use serde_json::json;

use super::reward::check_pooling;
use crate::common::{self, Failure};
use crate::job::Job;
use crate::policy;
use crate::runs;
use crate::start::Start;

pub(crate) use args::{Args, Ser};
use closed_loop::{Held, Round};
use config::{Config, PolicyReward};
use data::{Parts, Prepared};
use handed_on::HandedOn;

/// Folder of Loop 0's model in a run, where Loop 0 is the better one.
const LOOP0: &str = "models/loop0";

/// Runs the command.
fn run(start: &Start<'_, Config>) -> Result<(), Failure> {
    match &start.config.model {
        None => from_scratch(start),
        Some(dir) if start.config.is_real() => own_labels::run(start, dir),
        Some(dir) => match common::architecture(dir)? {
            // The reward model starts from an encoder without fine-tuning.
            Architecture::Encoder => reward_only::<Encoder>(start),
            kind => decoder(start, dir, kind),
        },
    }
}

/// Trains a small decoder from scratch on the synthetic world.
fn from_scratch(start: &Start<'_, Config>) -> Result<(), Failure> {
    let config = start.config;
    let (world, tokenizer, model) = start.of_world()?;
    let parts = data::from_world(config, &world)?;
    let about = format!(
        "The data are from the synthetic world (`docs/methods/synthetic-world.md`): {} training \
         pairs with labels of a noisy annotator, and {} validation and {} test pairs with true \
         labels. There are also {} chosen answers for fine-tuning, and {} pairs are set aside for \
         the policy stage. The model is a Llama decoder from scratch with {} parameters.",
        parts.train.len(),
        parts.validation.len(),
        parts.test.len(),
        parts.sft.len(),
        parts.set_aside.len(),
        model.num_parameters(),
    );
    let data = parts.prepare(config, &tokenizer)?;
    let mut job = Run::open(start, tokenizer, about)?;
    let model = job.pretrain(model, &data)?;
    let model = job.fine_tune(model, &data)?;
    let gold = world.scorer();
    let judge = AnswerScorer {
        name: "the gold reward".to_owned(),
        scorer: &gold,
    };
    job.reward_and_policies(&model, data, Vec::new(), Some(judge))
}

/// Runs with the user's decoder, which is first fine-tuned on the chosen answers of the SFT part.
fn decoder(start: &Start<'_, Config>, dir: &Path, kind: Architecture) -> Result<(), Failure> {
    check_pooling(start.config.pooling, dir)?;
    if kind == Architecture::DecoderReward {
        return reward_only::<Llama>(start);
    }
    let tokenizer = start.tokenizer()?;
    let (data, about) = read(start.config, &tokenizer, true)?;
    let model = start.language_model(false)?;
    let eos = eos_token_ids(dir)?;
    let mut job = Run::open(start, tokenizer, about)?;
    let model = job.fine_tune(model, &data)?;
    job.reward_and_policies(&model, data, eos, None)
}

/// Runs with a model that cannot write texts, so that the run ends with the reward model.
fn reward_only<B: HfReward>(start: &Start<'_, Config>) -> Result<(), Failure> {
    let config = start.config;
    config.check_no_rounds()?;
    let tokenizer = start.tokenizer()?;
    let (data, about) = read(config, &tokenizer, false)?;
    let fresh = start.reward_model::<B>(config.pooling, config.label.as_deref())?;
    Run::open(start, tokenizer, about)?.reward_alone(&fresh, data)
}

/// Reads the user's files as data of the run, with a paragraph on them.
fn read(
    config: &Config,
    tokenizer: &TextTokenizer,
    needs_sft: bool,
) -> Result<(Prepared, String), Failure> {
    let parts = data::from_files(config, needs_sft)?;
    let about = about_files(config, &parts);
    let data = parts.prepare(config, tokenizer)?;
    let lengths = data.about_lengths(config);
    Ok((data, about + &lengths))
}

fn about_files(config: &Config, parts: &Parts) -> String {
    let model = config.model.as_ref().map(|dir| dir.display().to_string());
    let mut text = format!(
        "The start model is `{}`. Pairs: {} for the reward model, {} for validation, {} for test",
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

/// Writes an accuracy, or a dash if there is none.
fn four_digits(accuracy: Option<f64>) -> String {
    accuracy.map_or_else(|| "–".to_owned(), |accuracy| format!("{accuracy:.4}"))
}

/// Returns a clause that compares Loop 0 with the evolved model, if Loop 0 orders more pairs right: of
/// the validation part, or of the test part where there is no other.
fn better_loop0<B: HfReward>(outcome: &SerOutcome<B>) -> Option<String> {
    let (zero, ser) = (outcome.model_report("loop0")?, outcome.model_report("ser")?);
    let of_part = match (zero.validation, ser.validation) {
        (Some(zero), Some(ser)) => ("validation", zero.accuracy, ser.accuracy),
        _ => ("test", zero.accuracy()?, ser.accuracy()?),
    };
    let (part, zero, ser) = of_part;
    (zero > ser).then(|| {
        format!(
            "Loop 0 is more accurate than the evolved model on the {part} pairs ({zero:.4} against \
             {ser:.4})"
        )
    })
}

fn describe(outcome: &SftOutcome) -> String {
    match (outcome.perplexity_before, outcome.perplexity_after) {
        (Some(before), Some(after)) => {
            format!("sft: held-out perplexity {before:.2} → {after:.2}")
        }
        _ => format!("sft: {} steps", outcome.steps),
    }
}

/// Scorer that returns the mean score of several reward models.
struct MeanScorer(Vec<RewardScorer<Llama>>);

impl Scorer for MeanScorer {
    fn score(&self, items: &[(Prompt, Completion)]) -> Result<Vec<f32>, ScoreError> {
        let mut sums = vec![0.0_f64; items.len()];
        for scorer in &self.0 {
            for (sum, score) in sums.iter_mut().zip(scorer.score(items)?) {
                *sum += f64::from(score);
            }
        }
        let n = self.0.len().max(1) as f64;
        Ok(sums.into_iter().map(|sum| (sum / n) as f32).collect())
    }
}

/// One run in one folder.
struct Run<'a> {
    config: &'a Config,
    job: Job,
    /// Warnings from the rounds with the policy in the loop.
    warnings: Vec<String>,
    /// Share of the pairs that are labelled, if the files decide it.
    seed_share: Option<f64>,
    /// Lines on files and models that the run hands on.
    handed_on: HandedOn,
}

impl<'a> Run<'a> {
    fn open(
        start: &Start<'a, Config>,
        tokenizer: TextTokenizer,
        about: String,
    ) -> Result<Self, Failure> {
        Ok(Self {
            config: start.config,
            job: start.job(tokenizer, about)?,
            warnings: Vec::new(),
            seed_share: None,
            handed_on: HandedOn::default(),
        })
    }

    /// Pretrains by next-token prediction on plain texts.
    fn pretrain(&mut self, model: Llama, data: &Prepared) -> Result<Llama, Failure> {
        let (truncation, train) = (self.config.ser.truncation, &self.config.pretrain);
        self.job.learn(model, &data.pretrain, truncation, train)
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
        let (labelled, pool) = (data.ser.seed.len(), data.ser.pool.len());
        if self.config.is_real() {
            self.seed_share = Some(labelled as f64 / (labelled + pool) as f64);
        }
        let ser = self.ser();
        runs::warn_of_warmup(&ser.train, labelled);
        let saver = self.job.saver();
        let mut files = HandedOn::default();
        let (tokenizer, mut context) = self.job.parts();
        let on_evolved = |evolving: &Evolving<'_, B>| {
            saver.save("model", evolving.model)?;
            files = handed_on::write(evolving.self_labels, evolving.ask_next, &saver.run)?;
            common::tell(&format!(
                "the evolved model is saved in {}; controls and tests follow",
                saver.run.join("model").display()
            ));
            Ok(())
        };
        let outcome = evolve_with(start, tokenizer, data.ser, &ser, &mut context, on_evolved)
            .map_err(|error: Failure| match error.downcast::<RecipeError>() {
                Ok(error) => self.job.stopped(*error),
                Err(other) => other,
            })?;
        self.handed_on = files;
        self.keep_better_loop0(&outcome)?;
        let lengths = json!(data.lengths);
        self.job.summary.insert("tokenize".to_owned(), lengths);
        Ok(outcome)
    }

    /// Saves Loop 0's model as well if Loop 0 orders more held-out pairs right than the evolved model.
    fn keep_better_loop0<B: HfReward>(&mut self, outcome: &SerOutcome<B>) -> Result<(), Failure> {
        let Some(better) = better_loop0(outcome) else {
            return Ok(());
        };
        self.job.save(LOOP0, &outcome.reward_models[0].models[0])?;
        let path = self.job.run.path().join(LOOP0);
        self.handed_on.lines += &format!("{better}, so Loop 0 is saved too: {}\n", path.display());
        self.handed_on.sentences += &format!("{better}, so `{LOOP0}/` holds the model of Loop 0.");
        Ok(())
    }

    /// The options of the recipe, with the share that the files decide.
    fn ser(&self) -> SerConfig {
        let ser = self.config.ser.clone();
        SerConfig {
            seed_share: self.seed_share.unwrap_or(ser.seed_share),
            ..ser
        }
    }

    /// Runs with a model that cannot write texts; the run ends with the reward model.
    fn reward_alone<B: HfReward>(
        &mut self,
        fresh: &RewardModel<B>,
        data: Prepared,
    ) -> Result<(), Failure> {
        self.no_policies();
        let outcome = self.reward_model(fresh, data)?;
        self.conclude(&outcome, None, &[])
    }

    /// Runs everything after fine-tuning, for a decoder.
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

    /// Reports that no policy is trained if there is no language model to train.
    fn no_policies(&self) {
        if self.config.trains_policies() {
            common::tell(
                "no policy is trained, because --model holds no language model to start from; this \
                 run ends with the reward model",
            );
        }
    }

    /// Trains one policy per reward, from the fine-tuned model.
    fn policies(
        &mut self,
        start: &Llama,
        outcome: &SerOutcome<Llama>,
        data: &PolicyData<'_>,
    ) -> Result<Option<PolicyOutcome<Llama>>, Failure> {
        if !self.config.trains_policies() {
            return Ok(None);
        }
        let ser = &self.config.ser;
        let scorers: Vec<_> = outcome
            .reward_models
            .iter()
            .map(|reward| {
                let (length, cut) = (ser.max_length, ser.truncation);
                let scorers = reward.models.iter().map(|model| {
                    let tokenizer = self.job.tokenizer.clone();
                    RewardScorer::new(model.clone(), tokenizer, length, cut)
                });
                (reward, MeanScorer(scorers.collect()))
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
                    critic: of.models.first().map(policy::critic),
                },
                (None, Some(gold)) if *reward == PolicyReward::Gold => RewardArm {
                    name,
                    reward: gold.scorer,
                    centre: None,
                    // The gold reward has no reward model of its own, so the critic copies the
                    // evolved one.
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
        let (tokenizer, mut context) = self.job.parts();
        let inputs = PolicyInputs { arms, data };
        let config = &self.config.policy;
        let outcome = reinforce(start, tokenizer, &inputs, config, &mut context)
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
        let ser = &self.ser();
        let stages = outcome.seconds
            + rounds.iter().map(|r| r.seconds).sum::<f64>()
            + policies.map_or(0.0, |p| p.seconds);
        let seconds = self.job.note_cost(stages);
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
        let notes = ReportNotes {
            about,
            extra,
            files: &self.handed_on.sentences,
        };
        let parts = match policies {
            Some(policies) => vec![
                closed_loop::section(rounds, warnings)?,
                section(policies, policy, run)?,
            ],
            None => Vec::new(),
        };
        write_report_with(outcome, ser, run, notes, parts)?;
        let mut table = outcome.to_string();
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
        self.job
            .print_end(&(table + &self.handed_on.lines), seconds)
    }
}
