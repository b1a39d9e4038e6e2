//! Results of a Self-Rewarding run.

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

/// Counts of the texts written as new tasks, by outcome.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskCounts {
    /// Number of texts written.
    pub written: usize,
    /// Number of new tasks kept.
    pub kept: usize,
    /// Number of texts that did not end within the largest number of tokens.
    pub cut: usize,
    /// Number of texts that are prompts of the evaluation.
    pub held_out: usize,
    /// Number of texts with too few words.
    pub too_short: usize,
    /// Number of texts with too many words.
    pub too_long: usize,
    /// Number of texts too similar to a known task.
    pub similar: usize,
    /// Number of texts written in the last round after enough were kept.
    pub surplus: usize,
    /// Seconds of writing.
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
            "{} texts were written: {} new tasks, {} unfinished, {} held-out prompts, {} too \
             short, {} too long, {} too similar to a known task, {} not needed",
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

/// Counts of the candidates of an iteration, by outcome.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CandidateCounts {
    /// Number of candidates written.
    pub written: usize,
    /// Number of candidates without a visible character.
    pub empty: usize,
    /// Number of candidates cut at the length limit; they are not judged and not in any pair.
    pub cut: usize,
    /// Number of candidates left unjudged because the judge's prompt would be longer than the
    /// model's context.
    pub too_long: usize,
    /// Number of judged candidates whose judgements could not be parsed; they are in no pair of the
    /// judge.
    pub unscored: usize,
    /// Mean number of tokens.
    pub mean_tokens: f64,
    /// Seconds of writing.
    pub seconds: f64,
}

/// Counts of the judgements of an iteration, and of those that state a score.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JudgementCounts {
    /// Number of judgements, including those of equal answers.
    pub judgements: usize,
    /// Number of judgements that state a score.
    pub parsed: usize,
    /// Beginning of the first judgement without a score.
    pub example: Option<String>,
}

/// Pairs of one source over the candidates of an iteration, and the model that learnt from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// Source of the scores that decide which answers are best and worst.
    pub source: PairSource,
    /// Name of the trained model. Absent if there was no pair to learn from, for example by the
    /// implicit reward of an M1 that was not fine-tuned.
    pub model: Option<String>,
    /// Number of pairs made.
    pub pairs: usize,
    /// Numbers of prompts that gave no pair, by reason; `equal_rewards` are ties.
    pub dropped: Vec<(NoPairReason, usize)>,
    /// Agreement of the pairs' score differences with the evaluator's.
    pub agreement: Option<Agreement>,
    /// Share of pairs in the evaluator's order, and number of pairs, over the prompts on which
    /// every source made a pair. A source that leaves out hard prompts gains nothing here.
    pub agreement_in_common: Option<(f64, usize)>,
    /// Seconds of scoring the candidates.
    pub scoring_seconds: f64,
    /// Number of pairs trained on, including those of earlier iterations if they accumulate.
    pub trained_pairs: usize,
    /// Number of optimiser steps.
    pub steps: u64,
    /// Seconds of training.
    pub training_seconds: f64,
}

/// Report of one iteration, in which M(t) makes pairs and M(t+1) learns from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IterationReport {
    /// Name of the model that made the pairs: `m1`, `m2`, …
    pub model: String,
    /// Counts of the new tasks.
    pub tasks: TaskCounts,
    /// Counts of the answers to the tasks.
    pub candidates: CandidateCounts,
    /// Counts of the judgements.
    pub judged: JudgementCounts,
    /// Branch of the judge, then those of the other sources.
    pub branches: Vec<Branch>,
}

/// Judgement of a model on pairs whose order is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgeReport {
    /// Number of judgements.
    pub judgements: usize,
    /// Share of judgements that state a score.
    pub parse_rate: f64,
    /// Number of pairs with a score for both answers.
    pub pairs: usize,
    /// Share of these pairs whose chosen answer has the higher score, with a bootstrap interval
    /// over pairs. A tie counts one half. Absent without such pairs.
    pub agreement: Option<Interval>,
    /// Number of pairs with equal scores.
    pub ties: usize,
    /// Correlation (Pearson, Spearman) of the model's scores with the evaluator's over all these
    /// answers. Absent without an evaluator, or if one of the scores does not vary.
    pub correlation: Option<(f64, f64)>,
    /// Mean score; absent without scores.
    pub mean_score: Option<f64>,
}

/// Report of one model of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelReport {
    /// Name of the model: `sft`, `m1`, `m2`, …; a branch's name ends with its source, such as
    /// `m2-implicit_reward`.
    pub name: String,
    /// Answers compared with those of `sft`; absent without an evaluator.
    pub answers: Option<AnswerReport>,
    /// Perplexity of held-out good answers; absent without held-out answers.
    pub perplexity: Option<f64>,
    /// Mean score of the second scorer; absent without a second scorer.
    pub task_accuracy: Option<f64>,
    /// Quality of the model as a judge, on the pairs of the judge test. `None` for `sft`, for
    /// branches, and if there are no pairs to judge.
    pub judge: Option<JudgeReport>,
    /// Agreement with held-out rankings; absent for `sft`, for branches, and without ranked answers
    /// to judge.
    #[serde(default)]
    pub ranks: Option<RankReport>,
    /// Number of optimiser steps of the model's last training.
    pub steps: u64,
}

/// Results of a run.
#[derive(Debug, Clone)]
pub struct SelfRewardingOutcome<M> {
    /// Reports of `sft`, `m1`, then for each iteration the judge's model and the branches' models.
    pub models: Vec<ModelReport>,
    /// The models, untracked, without adapters, in the same order.
    pub weights: Vec<M>,
    /// Reports of the iterations.
    pub iterations: Vec<IterationReport>,
    /// Reason why the loop ended early, if it did.
    pub stopped: Option<String>,
    /// Lengths and cuts of the texts of `sft` and `m1` and of the held-out answers.
    pub tokenize: BTreeMap<String, TokenizeReport>,
    /// Comparisons of two models' answers, by name, such as `m2_vs_m1`.
    pub comparisons: BTreeMap<String, AnswerReport>,
    /// Numbers of demonstrations, judgements and task examples learnt from.
    pub seed_data: (usize, usize, usize),
    /// Counts of the judgements made from ranked answers; absent without ranked answers.
    pub eft: Option<EftReport>,
    /// Name of the evaluator that compared the answers.
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
    /// Returns the report of the model with this name.
    pub fn model(&self, name: &str) -> Option<&ModelReport> {
        self.models.iter().find(|model| model.name == name)
    }
}
