//! What a run found out.

use std::collections::BTreeMap;
use std::fmt;

use collimate_data::TokenizeReport;
use collimate_eval::Interval;
use collimate_irm::NoPairReason;
use collimate_judge::Refusal;
use serde::{Deserialize, Serialize};

use super::config::PairSource;
use super::eft::EftReport;
use super::ranks::RankReport;
use super::tasks::{TaskRefusal, TaskRow};
use crate::AnswerReport;
use crate::sera::Agreement;

/// What became of the texts that were to be new tasks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskCounts {
    /// Texts written.
    pub written: usize,
    /// New tasks.
    pub kept: usize,
    /// Texts that did not end in time.
    pub cut: usize,
    /// Texts that are prompts of the evaluation.
    pub held_out: usize,
    /// Texts with too few words.
    pub too_short: usize,
    /// Texts with too many words.
    pub too_long: usize,
    /// Texts too like a task of the pool.
    pub similar: usize,
    /// Texts written in the last round after there were enough.
    pub surplus: usize,
    /// Seconds that writing took.
    pub seconds: f64,
}

impl TaskCounts {
    pub(super) fn of(rows: &[TaskRow], seconds: f64) -> Self {
        let mut counts = Self {
            written: rows.len(),
            seconds,
            ..Self::default()
        };
        for row in rows {
            *match row.refused {
                None => &mut counts.kept,
                Some(TaskRefusal::Cut) => &mut counts.cut,
                Some(TaskRefusal::HeldOut) => &mut counts.held_out,
                Some(TaskRefusal::Surplus) => &mut counts.surplus,
                Some(TaskRefusal::Novelty(Refusal::TooShort { .. })) => &mut counts.too_short,
                Some(TaskRefusal::Novelty(Refusal::TooLong { .. })) => &mut counts.too_long,
                Some(TaskRefusal::Novelty(Refusal::Similar { .. })) => &mut counts.similar,
            } += 1;
        }
        counts
    }
}

impl fmt::Display for TaskCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "of {} texts {} are new tasks, {} did not end in time, {} are held-out prompts, {} are \
             too short, {} too long, {} too like a known task, {} not needed",
            self.written,
            self.kept,
            self.cut,
            self.held_out,
            self.too_short,
            self.too_long,
            self.similar,
            self.surplus
        )
    }
}

/// What became of the candidates of an iteration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CandidateCounts {
    /// Candidates written.
    pub written: usize,
    /// Without a visible character.
    pub empty: usize,
    /// At the length limit; in no pair and not judged.
    pub cut: usize,
    /// Left unjudged because the judge's prompt would be longer than the model takes.
    pub too_long: usize,
    /// Judged, but no judgement could be parsed: in no judge-built pair.
    pub unscored: usize,
    /// Mean tokens.
    pub mean_tokens: f64,
    /// Seconds that writing took.
    pub seconds: f64,
}

/// What could be read of the judgements of an iteration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JudgementCounts {
    /// Judgements, those of equal answers included.
    pub judgements: usize,
    /// Those that state a score.
    pub parsed: usize,
    /// The beginning of the first one that states none.
    pub example: Option<String>,
}

/// Pairs of one source over the candidates of an iteration, and the model that learnt from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// Who said which answers are best and worst.
    pub source: PairSource,
    /// The name of the model that came out; absent where there was no pair to learn from, as by the
    /// implicit reward of an M1 that was not fine-tuned.
    pub model: Option<String>,
    /// Pairs made.
    pub pairs: usize,
    /// Prompts that gave no pair, by reason: `equal_rewards` are ties.
    pub dropped: Vec<(NoPairReason, usize)>,
    /// How the scores' differences agree with the evaluator's on these pairs.
    pub agreement: Option<Agreement>,
    /// The share of pairs in the same order as the evaluator's, over the prompts on which every source
    /// made a pair, and their number: a source that leaves hard prompts out gains nothing here.
    pub agreement_in_common: Option<(f64, usize)>,
    /// Seconds that scoring the candidates took, since the last start of the run.
    pub scoring_seconds: f64,
    /// Pairs trained on, those of earlier iterations included where they accumulate.
    pub trained_pairs: usize,
    /// Optimiser steps.
    pub steps: u64,
    /// Seconds of training.
    pub training_seconds: f64,
}

/// One iteration: M(t) makes pairs, M(t+1) learns from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IterationReport {
    /// The model that made the pairs: `m1`, `m2`, …
    pub model: String,
    /// New tasks.
    pub tasks: TaskCounts,
    /// Their answers.
    pub candidates: CandidateCounts,
    /// What could be read of the judgements.
    pub judged: JudgementCounts,
    /// The judge's pairs first, then those of the sources that are compared with it.
    pub branches: Vec<Branch>,
}

/// How a model judges pairs that somebody else has put in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgeReport {
    /// Judgements.
    pub judgements: usize,
    /// The share of them that states a score.
    pub parse_rate: f64,
    /// Pairs with a score on both sides.
    pub pairs: usize,
    /// The share of these whose chosen answer has the higher score, ties counting one half, with a
    /// bootstrap interval over pairs; absent without any.
    pub agreement: Option<Interval>,
    /// Pairs with equal scores.
    pub ties: usize,
    /// Correlation of its scores with the evaluator's over all these answers (Pearson, Spearman);
    /// absent without an evaluator, or where one of them does not vary.
    pub correlation: Option<(f64, f64)>,
    /// Mean score; absent without any.
    pub mean_score: Option<f64>,
}

/// One model of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelReport {
    /// `sft`, `m1`, `m2`, …; branches bear their source, as `m2-implicit_reward`.
    pub name: String,
    /// Its answers against those of `sft`; absent without an evaluator.
    pub answers: Option<AnswerReport>,
    /// Perplexity of held-out good answers; absent without any.
    pub perplexity: Option<f64>,
    /// Mean score of the second scorer; absent without one.
    pub task_accuracy: Option<f64>,
    /// How it judges; absent for `sft`, for branches, and without pairs to judge.
    pub judge: Option<JudgeReport>,
    /// Agreement with held-out rankings; absent for `sft`, for branches, and without ranked answers to
    /// judge.
    #[serde(default)]
    pub ranks: Option<RankReport>,
    /// Optimiser steps of the training that made it.
    pub steps: u64,
}

/// Everything that a run found out.
#[derive(Debug, Clone)]
pub struct SelfRewardingOutcome<M> {
    /// `sft`, `m1`, then of each iteration the judge's model and those of its branches.
    pub models: Vec<ModelReport>,
    /// The models themselves, untracked, without adapters, in the same order.
    pub weights: Vec<M>,
    /// What happened between them.
    pub iterations: Vec<IterationReport>,
    /// Why the loop ended early, if it did: what the last model could not do.
    pub stopped: Option<String>,
    /// What was cut of `sft`'s and `m1`'s texts and of the held-out ones.
    pub tokenize: BTreeMap<String, TokenizeReport>,
    /// Answers of one model against those of another, by name as `m2_vs_m1`.
    pub comparisons: BTreeMap<String, AnswerReport>,
    /// Demonstrations, judgements and task examples learnt from.
    pub seed_data: (usize, usize, usize),
    /// Counts of the judgements that were made of ranked answers; absent without ranked answers.
    pub eft: Option<EftReport>,
    /// Who compared the answers.
    pub evaluator: Option<String>,
    /// Seconds of the whole run.
    pub seconds: f64,
}

/// A line for each model, and why the loop ended early, if it did.
impl<M> fmt::Display for SelfRewardingOutcome<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for model in &self.models {
            let mut line = format!("{:<20}", model.name);
            if let Some(answers) = &model.answers {
                line += &format!(
                    "score {:.3}  win rate {:.3}  ",
                    answers.mean_score.estimate, answers.win_rate.estimate
                );
            }
            if let Some(judge) = &model.judge {
                line += &format!("judge: parsed {:.2}", judge.parse_rate);
                if let Some(agreement) = &judge.agreement {
                    line += &format!(", agrees {:.3}", agreement.estimate);
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        match &self.stopped {
            Some(reason) => writeln!(f, "the loop ended early: {reason}"),
            None => Ok(()),
        }
    }
}

impl<M> SelfRewardingOutcome<M> {
    /// The report of a model.
    pub fn model(&self, name: &str) -> Option<&ModelReport> {
        self.models.iter().find(|model| model.name == name)
    }
}
