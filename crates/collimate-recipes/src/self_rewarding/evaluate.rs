//! Measurements of a model: its answers, its judgement, and the perplexity of good answers.

use collimate_core::{Completion, Key, Prompt, outcome};
use collimate_data::TokenizedExample;
use collimate_direct::perplexity;
use collimate_eval::{Bootstrap, Groups, pearson, spearman};
use collimate_judge::{Grade, Item};
use collimate_nn::CausalLm;
use serde::{Deserialize, Serialize};

use super::data::SelfRewardingData;
use super::judging::{grade, item, parsed};
use super::outcome::JudgeReport;
use super::session::Session;
use crate::answers::{Answers, answer};
use crate::sft::EVALUATION_TOKENS;
use crate::{AnswerScorer, RecipeError};

/// An answer to a held-out prompt.
#[derive(Serialize, Deserialize)]
struct AnswerRow {
    prompt: Prompt,
    completion: Completion,
    score: f64,
}

/// Returns a model's answers to the held-out prompts, from the run folder or written now.
pub(super) fn answers<M: CausalLm>(
    session: &mut Session<'_>,
    name: &str,
    model: &M,
    hash: &str,
    data: &SelfRewardingData<'_>,
    judge: &AnswerScorer<'_>,
) -> Result<Answers, RecipeError> {
    let prompts = &data.prompts;
    let inputs = (hash, prompts, &judge.name);
    let (rows, _) = session.rows("answers", name, &inputs, |session| {
        let sampler = session.sampler();
        let ids = sampler.prompts(prompts)?;
        let key = session.key("answers");
        let answers = answer(&sampler, key, name, model, prompts, &ids, judge)?;
        let completions = answers.completions.into_iter().flatten();
        let rows = prompts.iter().zip(completions).zip(answers.scores);
        Ok(rows
            .map(|((prompt, completion), score)| AnswerRow {
                prompt: prompt.clone(),
                completion,
                score,
            })
            .collect())
    })?;
    let scores = rows.iter().map(|row| row.score).collect();
    let completions = rows.into_iter().map(|row| vec![row.completion]);
    Ok(Answers {
        completions: completions.collect(),
        scores,
    })
}

/// Returns the mean score of the answers by a second scorer.
pub(super) fn mean_score(
    judge: &AnswerScorer<'_>,
    prompts: &[Prompt],
    answers: &Answers,
) -> Result<Option<f64>, RecipeError> {
    let rows = prompts.iter().zip(&answers.completions);
    let items: Vec<(Prompt, Completion)> = rows
        .map(|(prompt, answers)| (prompt.clone(), answers[0].clone()))
        .collect();
    let scores = judge.scores(&items)?;
    let sum: f64 = scores.iter().sum();
    Ok((!scores.is_empty()).then(|| sum / scores.len() as f64))
}

/// Returns the perplexity of held-out good answers; `None` without answers.
pub(super) fn held_out<M: CausalLm>(
    model: &M,
    examples: &[TokenizedExample],
) -> Result<Option<f64>, RecipeError> {
    match examples.is_empty() {
        true => Ok(None),
        false => Ok(Some(perplexity(model, examples, EVALUATION_TOKENS)?)),
    }
}

/// The grades of a pair's answers.
#[derive(Serialize, Deserialize)]
struct TestRow {
    prompt: Prompt,
    chosen: Grade,
    rejected: Grade,
}

/// Lets a model judge the pairs of the judge test. A model whose parse rate is below `least` is
/// refused.
pub(super) fn judge_test<M: CausalLm>(
    session: &mut Session<'_>,
    name: &str,
    model: &M,
    hash: &str,
    data: &SelfRewardingData<'_>,
    least: f64,
) -> Result<Option<JudgeReport>, RecipeError> {
    let pairs = &data.judge_test;
    if pairs.is_empty() {
        return Ok(None);
    }
    let inputs = (hash, collimate_train::hash_json(pairs), least);
    let (rows, _) = session.rows("judge_test", name, &inputs, |session| {
        let sides = pairs.iter().flat_map(|pair| {
            [&pair.chosen, &pair.rejected].map(|answer| item(&pair.prompt, answer))
        });
        let items: Vec<Item> = sides.collect();
        let stage = format!("{name} judge test");
        let mut grades = grade(session, &stage, model, hash, &items, least)?.into_iter();
        let mut next = || {
            grades.next().unwrap_or(Grade {
                score: None,
                votes: Vec::new(),
            })
        };
        Ok(pairs
            .iter()
            .map(|pair| TestRow {
                prompt: pair.prompt.clone(),
                chosen: next(),
                rejected: next(),
            })
            .collect())
    })?;
    let truth = match &data.evaluator {
        Some(evaluator) => Some(evaluator.both(pairs)?),
        None => None,
    };
    let key = session.key("judge test interval");
    Ok(Some(report(&rows, truth.as_deref(), key)?))
}

fn report(
    rows: &[TestRow],
    truth: Option<&[[f32; 2]]>,
    key: Key,
) -> Result<JudgeReport, RecipeError> {
    let parse = parsed(rows.iter().flat_map(|row| [&row.chosen, &row.rejected]));
    let both: Vec<(f64, f64)> = rows
        .iter()
        .filter_map(|row| row.chosen.score.zip(row.rejected.score))
        .collect();
    let right: Vec<f64> = both
        .iter()
        .map(|(chosen, rejected)| outcome(chosen.total_cmp(rejected)))
        .collect();
    let (mut scores, mut golds) = (Vec::new(), Vec::new());
    for (row, truth) in rows.iter().zip(truth.unwrap_or_default()) {
        for (grade, gold) in [&row.chosen, &row.rejected].into_iter().zip(truth) {
            if let Some(score) = grade.score {
                scores.push(score);
                golds.push(f64::from(*gold));
            }
        }
    }
    let all: Vec<f64> = rows
        .iter()
        .flat_map(|row| [row.chosen.score, row.rejected.score])
        .flatten()
        .collect();
    let agreement = match right.is_empty() {
        true => None,
        false => Some(Bootstrap::default().mean(&right, Groups::Items, key)?),
    };
    let n = all.len();
    Ok(JudgeReport {
        judgements: parse.judgements,
        parse_rate: parse.parsed as f64 / parse.judgements.max(1) as f64,
        pairs: both.len(),
        agreement,
        ties: both.iter().filter(|(a, b)| a == b).count(),
        correlation: pearson(&scores, &golds)
            .ok()
            .zip(spearman(&scores, &golds).ok()),
        mean_score: (n > 0).then(|| all.iter().sum::<f64>() / n as f64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use collimate_judge::Vote;

    fn graded(score: Option<f64>) -> Grade {
        Grade {
            score,
            votes: vec![Vote {
                text: String::new(),
                score,
                unparsed: None,
            }],
        }
    }

    #[test]
    fn pairs_without_a_score_count_in_no_agreement() {
        let row = |chosen, rejected| TestRow {
            prompt: Prompt::from("p"),
            chosen: graded(chosen),
            rejected: graded(rejected),
        };
        let rows = [
            row(Some(4.0), Some(1.0)),
            row(Some(2.0), Some(2.0)),
            row(Some(1.0), Some(3.0)),
            row(None, Some(3.0)),
        ];
        let truth = [[0.9, 0.1], [0.5, 0.4], [0.2, 0.7], [0.6, 0.7]];
        let key = Key::new(0, "test");
        let found = report(&rows, Some(&truth), key).unwrap();
        assert_eq!((found.pairs, found.ties, found.judgements), (3, 1, 8));
        let agreement = found.agreement.unwrap();
        assert_eq!((agreement.estimate, found.parse_rate), (0.5, 7.0 / 8.0));
        assert!(agreement.low < 0.5 && agreement.high > 0.5);
        assert_eq!(found.mean_score, Some(16.0 / 7.0));
        // Ranks of the scores 4 1 2 2 1 3 3 and of the truth 0.9 0.1 0.5 0.4 0.2 0.7 0.7 by hand:
        // 7 1.5 3.5 3.5 1.5 5.5 5.5 and 7 1 4 3 2 5.5 5.5; their sums of products about the mean 4.
        let spearman = 26.5 / (26.5_f64 * 27.5).sqrt();
        let (_, found) = found.correlation.unwrap();
        assert!((found - spearman).abs() < 1e-12, "{found} {spearman}");
        // A model that no longer judges has no agreement, which is not an agreement of 0.
        let found = report(&[row(None, Some(3.0))], None, key).unwrap();
        assert_eq!((found.pairs, found.agreement), (0, None));
    }
}
