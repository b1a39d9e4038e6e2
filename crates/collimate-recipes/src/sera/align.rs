//! The loop: train, review, train again.

use std::time::Instant;

use collimate_core::PreferencePair;
use collimate_data::{TextTokenizer, TokenizedPair};
use collimate_direct::{PairLogp, perplexity, targets};
use collimate_nn::{CausalLm, ConfigError};
use collimate_train::{Interrupt, Progress, RunFolder};

use super::answers::{Answers, answer, compare, implicit_rewards};
use super::config::{Method, SeraConfig};
use super::data::SeraData;
use super::outcome::{Aligned, IterationReport, SelectionReport, SeraOutcome};
use super::review::{Reviewed, review};
use super::session::{Iterate, Session};
use crate::RecipeError;
use crate::sft::EVALUATION_TOKENS;

/// Aligns `start` with every method of the configuration, over the same pairs.
///
/// The first iteration of all methods but [`Method::Base`] is one and the same training. The judge
/// scores one answer per prompt of each final policy and of the start.
///
/// # Errors
/// Options out of range, texts that cannot be tokenised, a loss that is not finite, a review that
/// leaves no pair, an interrupt.
pub fn align<M: CausalLm>(
    start: &M,
    tokenizer: &TextTokenizer,
    data: &SeraData<'_>,
    config: &SeraConfig,
    run: &mut RunFolder,
    interrupt: &Interrupt,
    progress: Progress,
) -> Result<SeraOutcome<M>, RecipeError> {
    config.check()?;
    let started = Instant::now();
    if data.train.is_empty() {
        return Err(RecipeError::Empty {
            part: "the training part",
        });
    }
    if let Some(noisy) = &data.noisy
        && noisy.len() != data.train.len()
    {
        let allowed = "one flag per training pair";
        return Err(ConfigError::new("noisy", noisy.len(), allowed).into());
    }
    if data.judge.is_some() && data.prompts.is_empty() {
        return Err(RecipeError::Empty {
            part: "the part with prompts for the judge",
        });
    }
    let encode = |pairs: &[PreferencePair]| {
        tokenizer.encode_pairs(pairs, config.max_length, config.truncation, |_, _| {})
    };
    let ((train, tokenize), (validation, _)) = (encode(&data.train)?, encode(&data.validation)?);
    let start = &start.clone().valid();
    let mut session = Session {
        config,
        tokenizer,
        run,
        interrupt,
        progress,
        train,
        validation,
        start,
        eos: &data.eos,
    };
    // A training that took minutes must not end at the first prompt that cannot be answered.
    let empty = |pair: &TokenizedPair| pair.prompt.is_empty();
    let bootstraps = |&method: &Method| method.shares(&config.irm).1 > 0.0;
    if config.methods.iter().any(bootstraps)
        && let Some(pair) = session.train.iter().position(empty)
    {
        return Err(RecipeError::NoPrompt { pair });
    }
    let prompts: Vec<Vec<u32>> = data
        .prompts
        .iter()
        .map(|prompt| tokenizer.encode_prompt(prompt))
        .map(|ids| ids.map(|ids| cut(ids, tokenizer.special().bos, config)))
        .collect::<Result<_, _>>()?;
    let judge = data.judge.as_ref().filter(|_| !prompts.is_empty());
    let at_start: Option<Answers> = match judge {
        Some(judge) => Some(answer(
            &session,
            "start",
            start,
            &data.prompts,
            &prompts,
            judge,
        )?),
        None => None,
    };
    let key = session.key("answers");
    let start_answers = match &at_start {
        Some(answers) => Some(compare(answers, answers, &data.prompts, None, key)?),
        None => None,
    };
    let before = session.validation_logps("start", start)?;
    let (held_out, _) = tokenizer.encode_examples(
        &data.held_out,
        config.max_length,
        config.truncation,
        |_, _| {},
    )?;
    let measure = |model: &M| match held_out.is_empty() {
        true => Ok(None),
        false => perplexity(model, &held_out, EVALUATION_TOKENS).map(Some),
    };
    let mut first = None;
    let mut policies = Vec::new();
    for &method in &config.methods {
        let (model, iterations) = session.method(method, data, before.as_deref(), &mut first)?;
        let answers = match (judge, &at_start) {
            (Some(judge), Some(at_start)) => {
                let name = method.name();
                let own = answer(&session, name, &model, &data.prompts, &prompts, judge)?;
                let rewards = implicit_rewards(&session, name, &model, &prompts, &own)?;
                Some(compare(&own, at_start, &data.prompts, Some(&rewards), key)?)
            }
            _ => None,
        };
        policies.push(Aligned {
            method,
            perplexity: measure(&model)?,
            model,
            iterations,
            answers,
        });
    }
    Ok(SeraOutcome {
        policies,
        start_answers,
        start_perplexity: measure(start)?,
        judge: judge.map(|judge| judge.name.clone()),
        pairs: session.train.len(),
        tokenize,
        seconds: started.elapsed().as_secs_f64(),
    })
}

impl<M: CausalLm> Session<'_, M> {
    fn method(
        &mut self,
        method: Method,
        data: &SeraData<'_>,
        before: Option<&[PairLogp]>,
        first: &mut Option<Iterate<M>>,
    ) -> Result<(M, Vec<IterationReport>), RecipeError> {
        let all = || SelectionReport {
            offline: data.train.len(),
            noisy_share: data.noisy.as_deref().map(share),
            noisy_share_of_all: data.noisy.as_deref().map(share),
            ..SelectionReport::default()
        };
        if method == Method::Base {
            let steps = self.steps(self.train.len()) * self.config.iterations as u64;
            let (start, pairs) = (self.start, self.train.clone());
            let iterate = self.train("base", start, start, pairs, steps)?;
            let report = self.report(1, all(), &iterate, iterate.seconds, before)?;
            return Ok((iterate.model, vec![report]));
        }
        if first.is_none() {
            let (start, pairs) = (self.start, self.train.clone());
            let steps = self.steps(pairs.len());
            *first = Some(self.train("iteration1", start, start, pairs, steps)?);
        }
        let begin = Iterate {
            model: self.start.clone(),
            offline: None,
            steps: 0,
            seconds: 0.0,
        };
        let mut history = vec![begin];
        history.extend(first.clone());
        let mut reports = vec![self.report(1, all(), &history[1], history[1].seconds, before)?];
        for iteration in 2..=self.config.iterations {
            let started = Instant::now();
            let (pairs, selection) = match method {
                Method::Iterative => (self.train.clone(), all()),
                _ => {
                    let reviewed = review(self, method, iteration, &mut history, data)?;
                    if iteration == 2 {
                        // The start and the first iterate are the same for every method.
                        *first = history.get(1).cloned();
                    }
                    self.pairs(reviewed)
                }
            };
            let stage = format!("{}-{iteration}", method.name());
            let policy = history[history.len() - 1].model.clone();
            let steps = self.steps(pairs.len());
            let iterate = self.train(&stage, &policy, &policy, pairs, steps)?;
            let seconds = started.elapsed().as_secs_f64().max(iterate.seconds);
            reports.push(self.report(iteration, selection, &iterate, seconds, before)?);
            history.push(iterate);
        }
        let last = history.swap_remove(history.len() - 1);
        Ok((last.model, reports))
    }

    fn pairs(&self, reviewed: Reviewed) -> (Vec<TokenizedPair>, SelectionReport) {
        let offline = reviewed
            .offline
            .iter()
            .map(|&index| self.train[index].clone());
        let pairs = offline.chain(reviewed.own).collect();
        (pairs, reviewed.report)
    }

    fn validation_logps(
        &self,
        label: &str,
        model: &M,
    ) -> Result<Option<Vec<PairLogp>>, RecipeError> {
        match self.validation.is_empty() {
            true => Ok(None),
            false => self
                .logps(&format!("{label} validation"), model, &self.validation)
                .map(Some),
        }
    }

    fn report(
        &self,
        iteration: usize,
        selection: SelectionReport,
        iterate: &Iterate<M>,
        seconds: f64,
        before: Option<&[PairLogp]>,
    ) -> Result<IterationReport, RecipeError> {
        let after = self.validation_logps(&format!("iteration {iteration}"), &iterate.model)?;
        let kind = self.config.implicit_reward();
        let n = self.validation.len() as f64;
        let accuracy = after.as_ref().zip(before).map(|(after, before)| {
            let rows = after.iter().zip(before).zip(&self.validation);
            let right = rows.map(|((after, before), pair)| {
                let value = |policy: f32, reference: f32, tokens: usize| {
                    kind.value(policy.into(), reference.into(), tokens.max(1))
                };
                let tokens = |completion: &[u32]| targets(&pair.prompt, completion);
                let chosen = value(after.chosen, before.chosen, tokens(&pair.chosen));
                let rejected = value(after.rejected, before.rejected, tokens(&pair.rejected));
                match chosen.total_cmp(&rejected) {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                }
            });
            right.sum::<f64>() / n
        });
        let logps = after.map(|after| {
            let mean = |side: fn(&PairLogp) -> f32| {
                after.iter().map(|l| f64::from(side(l))).sum::<f64>() / n
            };
            (mean(|l| l.chosen), mean(|l| l.rejected))
        });
        Ok(IterationReport {
            iteration,
            selection,
            steps: iterate.steps,
            validation_accuracy: accuracy,
            validation_logps: logps,
            seconds,
        })
    }
}

/// The end of a prompt that is too long for an answer to fit behind it, BOS before it.
fn cut(ids: Vec<u32>, bos: Option<u32>, config: &SeraConfig) -> Vec<u32> {
    let room = config
        .max_length
        .saturating_sub(config.responses.max_new_tokens)
        .max(config.max_length / 2);
    if ids.len() <= room {
        return ids;
    }
    let bos = bos.filter(|bos| ids.first() == Some(bos));
    let end = &ids[ids.len() - (room - usize::from(bos.is_some()))..];
    bos.into_iter().chain(end.iter().copied()).collect()
}

fn share(flags: &[bool]) -> f64 {
    flags.iter().filter(|&&flag| flag).count() as f64 / flags.len().max(1) as f64
}
