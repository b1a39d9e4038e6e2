//! Answers of policies: their log-probabilities, their scores, who wins.

use std::ops::ControlFlow;

use collimate_core::{Completion, Finish, GenerateError, Key, Prompt, Purpose};
use collimate_eval::{Bootstrap, Groups, pearson, spearman};
use collimate_irm::ImplicitReward;
use collimate_lm::{Progress as Generated, TextGenerator, Watch};
use collimate_nn::{CausalLm, Forward, Pack, PackError, completion_logps, packs};
use collimate_train::{Interrupt, TrainError};
use rand::RngExt;

use super::config::SeraConfig;
use super::data::Judge;
use super::method::Method;
use super::outcome::{AnswerReport, Sample};
use super::session::Session;
use crate::RecipeError;
use crate::sft::EVALUATION_TOKENS;

/// Shows how far generation is and stops it on an interrupt.
pub(crate) struct Meter<'a> {
    meter: collimate_train::Meter,
    interrupt: &'a Interrupt,
    label: String,
    session_progress: collimate_train::Progress,
    started: bool,
}

impl<'a> Meter<'a> {
    pub(crate) fn new<M>(session: &Session<'a, M>, label: &str) -> Self {
        Self {
            meter: session.progress.start(label, 0, 1),
            interrupt: session.interrupt,
            label: label.to_owned(),
            session_progress: session.progress,
            started: false,
        }
    }
}

impl Watch for Meter<'_> {
    fn progress(&mut self, now: Generated) -> ControlFlow<()> {
        if !self.started {
            self.meter = self
                .session_progress
                .start(&self.label, 0, now.total as u64);
            self.started = true;
        }
        self.meter
            .set(now.finished as u64, &format!("{} tokens", now.tokens));
        match self.interrupt.is_set() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

impl<M: CausalLm> Session<'_, M> {
    /// Prompts as ids, with room for an answer.
    pub(crate) fn prompts(&self, prompts: &[Prompt]) -> Result<Vec<Vec<u32>>, RecipeError> {
        let bos = self.tokenizer.special().bos;
        prompts
            .iter()
            .map(|prompt| Ok(cut(self.tokenizer.encode_prompt(prompt)?, bos, self.config)))
            .collect()
    }

    /// A policy that writes.
    pub(crate) fn generator(&self, model: &M) -> TextGenerator<M> {
        let ends = std::iter::once(self.tokenizer.special().eos).chain(self.eos.iter().copied());
        TextGenerator::new(model.clone(), self.tokenizer.clone()).with_eos(ends.collect())
    }

    /// What went wrong in generation, as an error of this run.
    pub(crate) fn generation(&self, stage: &str, error: GenerateError) -> RecipeError {
        match error {
            GenerateError::Interrupted => TrainError::Interrupted {
                stage: stage.to_owned(),
                step: 0,
                saved: None,
            }
            .into(),
            source => RecipeError::Generate {
                stage: stage.to_owned(),
                source,
            },
        }
    }
}

/// Summed log-probabilities of responses, prompt after prompt; each prompt is processed once.
pub(crate) fn response_logps<M: CausalLm>(
    session: &Session<'_, M>,
    label: &str,
    model: &M,
    prompts: &[Vec<u32>],
    responses: &[Vec<Completion>],
) -> Result<Vec<f64>, RecipeError> {
    type Row<'a> = (&'a [u32], Vec<&'a [u32]>);
    let rows: Vec<Row<'_>> = prompts
        .iter()
        .zip(responses)
        .map(|(prompt, responses)| {
            let ids = responses
                .iter()
                .map(|r| r.tokens.as_deref().unwrap_or_default());
            (prompt.as_slice(), ids.collect())
        })
        .collect();
    let cost = |(prompt, responses): &Row<'_>| {
        prompt.len() + responses.iter().map(|r| r.len()).sum::<usize>()
    };
    let push = |pack: &mut Pack, (prompt, responses): &Row<'_>| {
        pack.push_shared(prompt, responses);
    };
    let mut meter = session.progress.start(label, 0, rows.len() as u64);
    let mut logps = Vec::new();
    for (range, pack) in packs(&rows, EVALUATION_TOKENS, cost, push) {
        session.go_on(label)?;
        let wrong = |source: PackError| RecipeError::Pair {
            stage: label.to_owned(),
            pair: range.start + row_of(&rows[range.clone()], source.sequence()),
            source,
        };
        pack.check(model.vocab_size(), model.max_positions())
            .map_err(wrong)?;
        let batch = pack.to_device(M::VISIBILITY, &model.device());
        let values = completion_logps(model, &batch, Forward::EVAL).into_data();
        logps.extend(values.iter::<f64>());
        meter.set(range.end as u64, "");
    }
    Ok(logps)
}

/// Which row a sequence of a pack belongs to.
fn row_of<T>(rows: &[(&[u32], Vec<T>)], sequence: usize) -> usize {
    let mut first = 0;
    let place = rows.iter().position(|(_, responses)| {
        first += responses.len();
        sequence < first
    });
    place.unwrap_or(0)
}

/// A policy's answers to the prompts, with their scores.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    pub(crate) completions: Vec<Vec<Completion>>,
    pub(crate) scores: Vec<f64>,
}

/// One answer per prompt at temperature 1; every policy draws from the stream of `key`.
pub(crate) fn answer<M: CausalLm>(
    session: &Session<'_, M>,
    key: Key,
    label: &str,
    model: &M,
    prompts: &[Prompt],
    ids: &[Vec<u32>],
    judge: &Judge<'_>,
) -> Result<Answers, RecipeError> {
    let sampling = super::config::ResponseSampling {
        temperature: 1.0,
        top_p: 1.0,
        ..session.config.responses
    };
    let seed = key.rng(Purpose::Sampling).random();
    let generator = session.generator(model);
    let mut watch = Meter::new(session, &format!("{label} answers"));
    let completions = generator
        .continue_ids(ids, &sampling.with(1, seed), &mut watch)
        .map_err(|error| session.generation(label, error))?;
    let items: Vec<(Prompt, Completion)> = prompts
        .iter()
        .zip(&completions)
        .map(|(prompt, answers)| (prompt.clone(), answers[0].clone()))
        .collect();
    let scores = judge.scores(&items)?;
    Ok(Answers {
        completions,
        scores,
    })
}

/// Answers shown in the report.
const SAMPLES: usize = 8;

/// How answers do against those of the start.
pub(crate) fn compare(
    answers: &Answers,
    start: &Answers,
    prompts: &[Prompt],
    rewards: Option<&[f64]>,
    key: Key,
) -> Result<AnswerReport, RecipeError> {
    let outcomes: Vec<f64> = answers
        .scores
        .iter()
        .zip(&start.scores)
        .map(|(own, other)| match own.total_cmp(other) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        })
        .collect();
    let count = |value: f64| outcomes.iter().filter(|&&o| o == value).count();
    let bootstrap = Bootstrap::default();
    let all = || answers.completions.iter().flatten();
    let lengths: Vec<f64> = all()
        .map(|c| c.tokens.as_ref().map_or(0, Vec::len) as f64)
        .collect();
    let n = lengths.len() as f64;
    let correlation = |with: &[f64]| {
        let rewards = rewards?;
        Some((pearson(rewards, with).ok()?, spearman(rewards, with).ok()?))
    };
    let samples = (0..prompts.len()).map(|i| Sample {
        prompt: prompts[i].to_plain(),
        answer: answers.completions[i][0].text.clone(),
        score: answers.scores[i],
        start_answer: start.completions[i][0].text.clone(),
        start_score: start.scores[i],
    });
    Ok(AnswerReport {
        samples: samples.take(SAMPLES).collect(),
        mean_score: bootstrap.mean(&answers.scores, Groups::Items, key.with(0))?,
        win_rate: bootstrap.mean(&outcomes, Groups::Items, key.with(1))?,
        counts: (count(1.0), count(0.5), count(0.0)),
        mean_tokens: lengths.iter().sum::<f64>() / n,
        finished: all().filter(|c| c.finish != Finish::Length).count() as f64 / n,
        reward_length: correlation(&lengths),
        reward_score: correlation(&answers.scores),
    })
}

/// Implicit rewards of a policy's answers against the start.
pub(crate) fn implicit_rewards<M: CausalLm>(
    session: &Session<'_, M>,
    method: Method,
    label: &str,
    model: &M,
    ids: &[Vec<u32>],
    answers: &Answers,
) -> Result<Vec<f64>, RecipeError> {
    let kind: ImplicitReward = session.config.implicit_reward(method);
    let of = |model: &M| response_logps(session, label, model, ids, &answers.completions);
    let policy = of(model)?;
    let reference = of(session.start)?;
    let lengths = answers.completions.iter().flatten();
    Ok(policy
        .iter()
        .zip(&reference)
        .zip(lengths)
        .map(|((&policy, &reference), completion)| {
            let tokens = completion.tokens.as_ref().map_or(1, |t| t.len().max(1));
            kind.value(policy, reference, tokens)
        })
        .collect())
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
