//! Training of one policy per reward, all from the same start model.

use std::time::Instant;

use collimate_core::{Key, OptionError, Prompt};
use collimate_data::TextTokenizer;
use collimate_direct::perplexity;
use collimate_eval::{Bootstrap, Groups};
use collimate_nn::{CausalLm, ValueModel};
use collimate_ppo::{ActorCritic, Estimator, KlReference, PpoConfig, PpoTask, train};
use collimate_run::{RunContext, RunFolder};
use collimate_train::{hash_json, model_hash};

use super::config::PolicyConfig;
use super::data::{PolicyData, PolicyInputs, RewardArm};
use super::duels::{Scored, duels};
use super::outcome::{PolicyOutcome, PolicyReport, TrainedPolicy};
use crate::answers::{Answers, ResponseSampler, answer, compare, response_logps};
use crate::sft::EVALUATION_TOKENS;
use crate::{Adaptation, AnswerScorer, RecipeError, ResponseSampling};

/// Trains one policy per arm against the arm's reward, then compares its answers to the test
/// prompts with `start`'s answers. All policies start from `start` and share prompts and options;
/// each has its own random numbers.
///
/// # Errors
/// Options out of range, names that are not different, no prompts, an error of the trainer, an
/// interrupt.
pub fn reinforce<M: CausalLm>(
    start: &M,
    tokenizer: &TextTokenizer,
    inputs: &PolicyInputs<'_, M>,
    config: &PolicyConfig,
    context: &mut RunContext<'_>,
) -> Result<PolicyOutcome<M>, RecipeError> {
    config.check()?;
    let PolicyInputs { arms, data } = *inputs;
    let started = Instant::now();
    for (index, arm) in arms.iter().enumerate() {
        if arms[..index].iter().any(|c| c.name == arm.name) {
            let allowed = "a list that has each name once";
            return Err(OptionError::new("arms", &arm.name, allowed).into());
        }
    }
    let start = &start.clone().valid();
    let room = config.max_length.min(start.max_positions());
    let room = room.saturating_sub(config.ppo.max_new_tokens);
    let fits = |prompt: &&Prompt| -> Result<bool, RecipeError> {
        Ok(tokenizer.encode_prompt(prompt)?.len() <= room)
    };
    let fitting = |prompts: &[Prompt]| -> Result<Vec<Prompt>, RecipeError> {
        let kept = prompts.iter().map(|p| Ok((fits(&p)?, p)));
        let kept = kept.collect::<Result<Vec<_>, RecipeError>>()?;
        Ok(kept
            .into_iter()
            .filter(|(fits, _)| *fits)
            .map(|(_, p)| p.clone())
            .collect())
    };
    let prompts = fitting(&data.prompts)?;
    let test = fitting(&data.test)?;
    let too_long = data.prompts.len() + data.test.len() - prompts.len() - test.len();
    let mut watched = fitting(&data.watched)?;
    watched.truncate(config.watched);
    for (part, rows) in [
        ("the part with prompts for the policy", &prompts),
        ("the part with prompts to compare policies on", &test),
    ] {
        if rows.is_empty() {
            return Err(RecipeError::Empty { part });
        }
    }
    let sampler = ResponseSampler {
        tokenizer,
        eos: &data.eos,
        sampling: ResponseSampling {
            temperature: 1.0,
            top_p: 1.0,
            max_new_tokens: config.ppo.max_new_tokens,
        },
        max_length: room + config.ppo.max_new_tokens,
        interrupt: context.interrupt,
        progress: context.progress,
    };
    let ids = sampler.prompts(&test)?;
    let (held_out, _) = tokenizer.encode_examples(
        &data.held_out,
        config.max_length,
        collimate_data::Truncation::default(),
    )?;
    let mut stage = Stage {
        config,
        data,
        run: context.run,
        sampler,
        start,
        start_hash: model_hash(start),
        prompts,
        watched,
        test,
        ids,
        key: Key::new(config.ppo.seed, "policy answers"),
        at_start: None,
        scored: Vec::new(),
    };
    let measure = |model: &M| match held_out.is_empty() {
        true => Ok(None),
        false => perplexity(model, &held_out, EVALUATION_TOKENS).map(Some),
    };
    let mut policies = Vec::new();
    for arm in arms {
        let mut trained = stage.arm(arm)?;
        if arms.len() > 1 {
            stage.answer_alone(&trained)?;
        }
        trained.report.perplexity = measure(&trained.model)?;
        policies.push(trained);
    }
    let start_answers = match (&data.judge, &stage.at_start) {
        (Some(_), Some(answers)) => Some(compare(answers, answers, &stage.test, None, stage.key)?),
        _ => None,
    };
    // A resumed run counts the seconds of earlier starts too.
    let trained: f64 = policies.iter().map(|p| p.report.seconds).sum();
    Ok(PolicyOutcome {
        policies,
        start: start_answers,
        duels: duels(&stage.scored, stage.key.with(6))?,
        start_perplexity: measure(start)?,
        judge: data.judge.as_ref().map(|judge| judge.name.clone()),
        prompts: stage.prompts.len(),
        too_long,
        seconds: started.elapsed().as_secs_f64().max(trained),
    })
}

struct Stage<'a, 'd, M> {
    config: &'a PolicyConfig,
    data: &'a PolicyData<'d>,
    run: &'a mut RunFolder,
    sampler: ResponseSampler<'a>,
    start: &'a M,
    start_hash: String,
    prompts: Vec<Prompt>,
    watched: Vec<Prompt>,
    test: Vec<Prompt>,
    /// Token ids of the test prompts.
    ids: Vec<Vec<u32>>,
    key: Key,
    /// The start model's answers. With a judge, their scores are the judge's.
    at_start: Option<Answers>,
    /// The judge's scores of the policies' answers; empty without a judge.
    scored: Vec<Scored>,
}

impl<M: CausalLm> Stage<'_, '_, M> {
    fn arm(&mut self, arm: &RewardArm<'_, M>) -> Result<TrainedPolicy<M>, RecipeError> {
        let name = format!("{}-{}", self.config.ppo.stage, arm.name);
        let mut ppo = PpoConfig {
            stage: name.clone(),
            ..self.config.ppo.clone()
        };
        ppo.reward.scaling = ppo.reward.scaling.centred(arm.centre);
        let key = Key::new(ppo.seed, &name);
        let policy = self.config.adaptation.begin(self.start, key)?;
        let reference = match &self.config.adaptation {
            Adaptation::Full => KlReference::Model(self.start.clone()),
            Adaptation::Lora(_) => KlReference::AdaptersOff,
        };
        let model = self.model(policy, arm, &ppo, key)?;
        let own_critic = model.critic.is_some();
        let task = PpoTask {
            tokenizer: self.sampler.tokenizer,
            eos: self.data.eos.clone(),
            prompts: self.prompts.clone(),
            watched: self.watched.clone(),
            reward: arm.reward,
            reference,
        };
        let critic = model.critic.as_ref().map(model_hash);
        let inputs = (&ppo, self.config, &self.start_hash, critic, &self.prompts);
        self.run.stage(&name, &hash_json(&inputs))?;
        let context = self.run.context(self.sampler.interrupt);
        let context = context.with_progress(self.sampler.progress);
        let trained = train(model, &task, &ppo, &context)?;
        let model = trained.model.policy.settled().valid();
        let (before, own, judged) = self.answers(arm, &model)?;
        let label = format!("{} divergence", arm.name);
        let kl = self.divergence(&label, &model, &own)?;
        let bootstrap = Bootstrap::default();
        let mean =
            |values: &[f64], part| bootstrap.mean(values, Groups::Items, self.key.with(part));
        Ok(TrainedPolicy {
            report: PolicyReport {
                name: arm.name.clone(),
                stage: name,
                own_critic,
                scaling: ppo.reward.scaling,
                floor: trained.floor,
                updates: trained.updates,
                seconds: trained.seconds,
                reward_before: mean(&before, 2)?,
                reward_after: mean(&own.scores, 3)?,
                kl: mean(&kl, 4)?,
                answers: judged,
                perplexity: None,
                metrics: trained.metrics,
                watched: trained.answers,
            },
            model,
        })
    }

    /// Returns the policy with its critic, if the estimator has one.
    fn model(
        &self,
        policy: M,
        arm: &RewardArm<'_, M>,
        ppo: &PpoConfig,
        key: Key,
    ) -> Result<ActorCritic<M>, RecipeError> {
        if !matches!(ppo.estimator, Estimator::Critic(_)) {
            return Ok(ActorCritic::policy_only(policy));
        }
        let size = burn::module::Module::num_params(self.start) as u64;
        let wanted = self.config.critic.takes_reward_model(size);
        if let Some(critic) = arm.critic.clone().filter(|_| wanted) {
            let ValueModel { backbone, head } = critic;
            let backbone = self.config.adaptation.begin(&backbone, key.with(1))?;
            let critic = ValueModel::from_parts(backbone, head);
            return Ok(ActorCritic::with_critic(policy, critic));
        }
        let key = key.with(2);
        Ok(ActorCritic::with_fresh_value_head(policy, key))
    }

    /// Returns the rewards of the start model's answers, the policy's answers with their rewards,
    /// and their report under the judge.
    fn answers(
        &mut self,
        arm: &RewardArm<'_, M>,
        model: &M,
    ) -> Result<(Vec<f64>, Answers, crate::AnswerReport), RecipeError> {
        let own_judge = AnswerScorer {
            name: arm.name.clone(),
            scorer: arm.reward,
        };
        let (test, key) = (&self.test, self.key);
        if self.at_start.is_none() {
            let judge = self.data.judge.as_ref().unwrap_or(&own_judge);
            let found = answer(
                &self.sampler,
                key,
                "start",
                self.start,
                test,
                &self.ids,
                judge,
            )?;
            self.at_start = Some(found);
        }
        let Some(at_start) = &self.at_start else {
            return Err(RecipeError::NoJudge);
        };
        let items = |answers: &Answers| -> Vec<_> {
            let rows = test.iter().zip(&answers.completions);
            rows.map(|(prompt, found)| (prompt.clone(), found[0].clone()))
                .collect()
        };
        let before = own_judge.scores(&items(at_start))?;
        let label = &arm.name;
        let own = answer(
            &self.sampler,
            key,
            label,
            model,
            test,
            &self.ids,
            &own_judge,
        )?;
        let judged = match &self.data.judge {
            Some(judge) => Answers {
                scores: judge.scores(&items(&own))?,
                ..own.clone()
            },
            None => own.clone(),
        };
        let at_start = match &self.data.judge {
            Some(_) => at_start.clone(),
            None => Answers {
                scores: before.clone(),
                ..at_start.clone()
            },
        };
        let report = compare(&judged, &at_start, test, Some(&own.scores), key)?;
        if self.data.judge.is_some() {
            self.scored.push(Scored {
                name: arm.name.clone(),
                common: judged.scores,
                independent: Vec::new(),
            });
        }
        Ok((before, own, report))
    }

    /// Lets the last trained policy answer again, with separate random numbers.
    fn answer_alone(&mut self, trained: &TrainedPolicy<M>) -> Result<(), RecipeError> {
        let (Some(judge), Some(last)) = (&self.data.judge, self.scored.last_mut()) else {
            return Ok(());
        };
        let key = Key::new(self.config.ppo.seed, &format!("answers of {}", last.name));
        let (test, ids) = (&self.test, &self.ids);
        let label = format!("{} independent", last.name);
        let found = answer(&self.sampler, key, &label, &trained.model, test, ids, judge)?;
        last.independent = found.scores;
        Ok(())
    }

    /// Returns log π − log ρ of each answer, where ρ is the start model.
    fn divergence(
        &self,
        label: &str,
        model: &M,
        answers: &Answers,
    ) -> Result<Vec<f64>, RecipeError> {
        let of = |model: &M| {
            response_logps(&self.sampler, label, model, &self.ids, &answers.completions)
        };
        let (policy, start) = (of(model)?, of(self.start)?);
        Ok(policy.iter().zip(&start).map(|(p, s)| p - s).collect())
    }
}
