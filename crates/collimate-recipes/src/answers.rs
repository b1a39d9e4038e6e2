//! Answers of policies: log-probabilities, scores and win rates.

use std::ops::ControlFlow;

use collimate_core::{Completion, Finish, GenerateError, Key, Prompt, Purpose, Sampling, outcome};
use collimate_data::TextTokenizer;
use collimate_eval::{Bootstrap, Groups, Interval, pearson, spearman};
use collimate_lm::{GenerationProgress, TextGenerator, Watch};
use collimate_nn::{CausalLm, Forward, Pack, PackError, completion_logps, packs};
use collimate_train::{Interrupt, Progress, TrainError};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::RecipeError;
use crate::judge::AnswerScorer;
use crate::sft::EVALUATION_TOKENS;

/// Options of sampling the policy's own responses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ResponseSampling {
    /// Softmax temperature, at least 0; 0 always takes the likeliest token.
    pub temperature: f64,
    /// Nucleus sampling: only the likeliest tokens that together reach this probability are drawn,
    /// above 0 and at most 1; 1 keeps all tokens.
    pub top_p: f64,
    /// Largest number of new tokens in a response, at least 1.
    pub max_new_tokens: usize,
}

impl Default for ResponseSampling {
    fn default() -> Self {
        Self {
            temperature: 0.7,
            top_p: 0.95,
            max_new_tokens: 512,
        }
    }
}

impl ResponseSampling {
    /// Returns the options of sampling `n` responses per prompt.
    pub(crate) fn with(&self, n: usize, seed: u64) -> Sampling {
        Sampling {
            n,
            seed,
            temperature: self.temperature,
            top_p: self.top_p,
            max_new_tokens: self.max_new_tokens,
            ..Sampling::default()
        }
    }
}

/// Scores, win rate and lengths of a policy's answers to the prompts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerReport {
    /// Mean score of the answers.
    pub mean_score: Interval,
    /// Share of prompts on which the policy's answer scores above the start model's answer; a tie
    /// counts one half.
    pub win_rate: Interval,
    /// Number of prompts won, tied and lost against the start model's answers.
    pub counts: (usize, usize, usize),
    /// Mean length of the answers in tokens.
    pub mean_tokens: f64,
    /// Share of answers that ended before the largest number of tokens.
    pub finished: f64,
    /// Correlation (Pearson, Spearman) of the answers' reward with their length. The reward is the
    /// implicit one after direct alignment, else the reward that the policy was trained against.
    /// Absent if the reward or the length does not vary.
    pub reward_length: Option<(f64, f64)>,
    /// Correlation (Pearson, Spearman) of the answers' reward with their score.
    pub reward_score: Option<(f64, f64)>,
    /// Answers to the first prompts.
    pub samples: Vec<Sample>,
}

/// An answer of a final policy, with the start model's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The prompt as readable text.
    pub prompt: String,
    /// The policy's answer.
    pub answer: String,
    /// Score of the policy's answer.
    pub score: f64,
    /// The start model's answer.
    pub start_answer: String,
    /// Score of the start model's answer.
    pub start_score: f64,
}

/// Shows the progress of generation and stops generation on an interrupt.
pub(crate) struct Meter<'a> {
    meter: collimate_train::Meter,
    interrupt: &'a Interrupt,
    label: String,
    progress: Progress,
    started: bool,
}

impl Watch for Meter<'_> {
    fn progress(&mut self, now: GenerationProgress) -> ControlFlow<()> {
        if !self.started {
            self.meter = self.progress.start(&self.label, 0, now.total as u64);
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

/// Samples answers of policies, always with the same tokenizer and options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResponseSampler<'a> {
    pub(crate) tokenizer: &'a TextTokenizer,
    /// Tokens that end an answer, in addition to the tokenizer's EOS.
    pub(crate) eos: &'a [u32],
    pub(crate) sampling: ResponseSampling,
    /// Longest sequence, in tokens.
    pub(crate) max_length: usize,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) progress: Progress,
}

impl<'a> ResponseSampler<'a> {
    /// Returns an interrupt error if a stop was requested. For passes that write no checkpoint.
    pub(crate) fn check_interrupt(&self, stage: &str) -> Result<(), RecipeError> {
        match self.interrupt.is_set() {
            false => Ok(()),
            true => Err(self.generation(stage, GenerateError::Interrupted)),
        }
    }

    pub(crate) fn meter(&self, label: &str) -> Meter<'a> {
        Meter {
            meter: self.progress.start(label, 0, 1),
            interrupt: self.interrupt,
            label: label.to_owned(),
            progress: self.progress,
            started: false,
        }
    }

    /// Encodes prompts and leaves room for an answer.
    pub(crate) fn prompts(&self, prompts: &[Prompt]) -> Result<Vec<Vec<u32>>, RecipeError> {
        let bos = self.tokenizer.special().bos;
        let mut shortened = 0;
        let ids = prompts
            .iter()
            .map(|prompt| {
                let whole = self.tokenizer.encode_prompt(prompt)?;
                let length = whole.len();
                let ids = self.cut(whole, bos);
                shortened += usize::from(ids.len() < length);
                Ok(ids)
            })
            .collect::<Result<Vec<_>, RecipeError>>()?;
        if shortened > 0 {
            tracing::warn!(
                "{shortened} of {} prompts were cut at the beginning to leave room for an answer \
                 of {} tokens within {} tokens: raise max_length or lower max_new_tokens",
                prompts.len(),
                self.sampling.max_new_tokens,
                self.max_length
            );
        }
        Ok(ids)
    }

    /// Keeps the end of a prompt that leaves no room for an answer; BOS stays in front.
    fn cut(&self, ids: Vec<u32>, bos: Option<u32>) -> Vec<u32> {
        let room = self
            .max_length
            .saturating_sub(self.sampling.max_new_tokens)
            .max(self.max_length / 2);
        if ids.len() <= room {
            return ids;
        }
        let bos = bos.filter(|bos| ids.first() == Some(bos));
        let end = &ids[ids.len() - (room - usize::from(bos.is_some()))..];
        bos.into_iter().chain(end.iter().copied()).collect()
    }

    /// Returns a generator of this policy's answers.
    pub(crate) fn generator<M: CausalLm>(&self, model: &M) -> TextGenerator<M> {
        let own = self.tokenizer.end_tokens().iter();
        let ends = own.chain(self.eos).copied();
        TextGenerator::new(model.clone(), self.tokenizer.clone()).with_eos(ends.collect())
    }

    /// Turns an error of generation into an error of this run.
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

/// Returns the summed log-probabilities of the responses, prompt by prompt. Each prompt is
/// processed once.
pub(crate) fn response_logps<M: CausalLm>(
    sampler: &ResponseSampler<'_>,
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
    let mut meter = sampler.progress.start(label, 0, rows.len() as u64);
    let mut logps = Vec::new();
    for (range, pack) in packs(&rows, EVALUATION_TOKENS, cost, push) {
        sampler.check_interrupt(label)?;
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

/// Returns the row that a sequence of a pack belongs to.
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

/// Samples one answer per prompt at temperature 1; every policy draws from the stream of `key`.
pub(crate) fn answer<M: CausalLm>(
    sampler: &ResponseSampler<'_>,
    key: Key,
    label: &str,
    model: &M,
    prompts: &[Prompt],
    ids: &[Vec<u32>],
    judge: &AnswerScorer<'_>,
) -> Result<Answers, RecipeError> {
    let sampling = ResponseSampling {
        temperature: 1.0,
        top_p: 1.0,
        ..sampler.sampling
    };
    let seed = key.rng(Purpose::Sampling).random();
    let generator = sampler.generator(model);
    let mut watch = sampler.meter(&format!("{label} answers"));
    let completions = generator
        .continue_ids(ids, &sampling.with(1, seed), &mut watch)
        .map_err(|error| sampler.generation(label, error))?;
    // The judge may need the memory of its copies.
    drop(generator);
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

/// Number of answers shown in the report.
const SAMPLES: usize = 8;

/// Compares answers with the start model's answers.
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
        .map(|(own, other)| outcome(own.total_cmp(other)))
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
