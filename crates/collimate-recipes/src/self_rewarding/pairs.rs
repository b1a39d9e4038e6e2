//! Pairs made from scored candidates.

use std::collections::BTreeMap;

use collimate_core::{Completion, Prompt};
use collimate_data::TokenizedPair;
use collimate_irm::{CutPolicy, NoPairReason, Response, bootstrap_pairs};
use collimate_nn::CausalLm;
use serde_json::json;

use super::candidates::{CandidateRow, is_usable, tokens};
use super::session::Session;
use crate::answers::response_logps;
use crate::sera::Agreement;
use crate::{AnswerScorer, RecipeError};

/// Score of each candidate of each prompt; `None` for a candidate that takes no part.
pub(super) type Scores = Vec<Vec<Option<f64>>>;

/// Pairs that one source makes from the candidates.
pub(super) struct Made {
    pub(super) pairs: Vec<TokenizedPair>,
    pub(super) dropped: Vec<(NoPairReason, usize)>,
    pub(super) agreement: Option<Agreement>,
    /// Prompts of these pairs, each with the evaluator's gap if there is an evaluator.
    gaps: Vec<(usize, Option<f64>)>,
    /// Pairs as rows that TRL and others can train on.
    pub(super) lines: String,
}

/// Pairs the candidates with the highest and the lowest score of each prompt; equal scores make no
/// pair. `truth` are the evaluator's scores for comparison.
pub(super) fn best_and_worst(
    rows: &[CandidateRow],
    scores: &Scores,
    truth: Option<&Scores>,
) -> Made {
    let scored = |row: usize| -> Vec<(usize, f64)> {
        let all = scores[row].iter().enumerate();
        all.filter_map(|(index, score)| Some((index, (*score)?)))
            .collect()
    };
    let indices: Vec<Vec<(usize, f64)>> = (0..rows.len()).map(scored).collect();
    let responses: Vec<Vec<Response<'_>>> = rows
        .iter()
        .zip(&indices)
        .map(|(row, scored)| {
            let response = |&(index, reward): &(usize, f64)| Response {
                text: &row.candidates[index].text,
                reward,
                finished: true,
                unlikely: false,
            };
            scored.iter().map(response).collect()
        })
        .collect();
    let found = bootstrap_pairs(&responses, CutPolicy::Drop);
    let (mut pairs, mut lines) = (Vec::new(), String::new());
    let (mut margins, mut gaps) = (Vec::new(), Vec::new());
    let mut by_prompt = Vec::new();
    for (prompt, pair) in found.pairs() {
        let row = &rows[prompt];
        let [chosen, rejected] = [pair.chosen, pair.rejected].map(|at| indices[prompt][at]);
        let ids = |index: usize| row.candidates[index].tokens.clone().unwrap_or_default();
        pairs.push(TokenizedPair {
            prompt: row.ids.clone(),
            chosen: ids(chosen.0),
            rejected: ids(rejected.0),
            ..TokenizedPair::default()
        });
        let answer = |index: usize| answer(&row.prompt, &row.candidates[index]);
        let line = json!({
            "prompt": row.prompt,
            "chosen": answer(chosen.0),
            "rejected": answer(rejected.0),
            "score_chosen": chosen.1,
            "score_rejected": rejected.1,
        });
        lines += &format!("{line}\n");
        let truth = |index: usize| truth.and_then(|truth| truth[prompt][index]);
        let both = truth(chosen.0).zip(truth(rejected.0));
        let gap = both.map(|(better, worse)| better - worse);
        by_prompt.push((prompt, gap));
        if let Some(gap) = gap {
            margins.push(pair.margin);
            gaps.push(gap);
        }
    }
    Made {
        pairs,
        dropped: found.dropped_by_reason(),
        agreement: Agreement::of(&margins, &gaps),
        gaps: by_prompt,
        lines,
    }
}

/// Returns for each source the share of pairs in the evaluator's order, and their number, over the
/// prompts on which all sources made a pair.
pub(super) fn agreement_in_common(made: &[Made]) -> Vec<Option<(f64, usize)>> {
    let of = |made: &Made| -> BTreeMap<usize, f64> {
        let known = made.gaps.iter();
        known
            .filter_map(|(prompt, gap)| Some((*prompt, (*gap)?)))
            .collect()
    };
    let all: Vec<BTreeMap<usize, f64>> = made.iter().map(of).collect();
    let common = |prompt: &usize| all.iter().all(|gaps| gaps.contains_key(prompt));
    let share = |gaps: &BTreeMap<usize, f64>| {
        let right: Vec<f64> = gaps
            .iter()
            .filter(|(prompt, _)| common(prompt))
            .map(|(_, &gap)| match gap {
                gap if gap > 0.0 => 1.0,
                gap if gap < 0.0 => 0.0,
                _ => 0.5,
            })
            .collect();
        let n = right.len();
        (n > 0).then(|| (right.iter().sum::<f64>() / n as f64, n))
    };
    all.iter().map(share).collect()
}

/// Formats an answer; TRL expects conversational answers with a conversational prompt.
fn answer(prompt: &Prompt, completion: &Completion) -> serde_json::Value {
    match prompt {
        Prompt::Text(_) => json!(completion.text),
        Prompt::Chat(_) => json!([{"role": "assistant", "content": completion.text}]),
    }
}

/// Returns the evaluator's scores of the usable candidates.
pub(super) fn evaluated(
    session: &mut Session<'_>,
    folder: &str,
    judge: &AnswerScorer<'_>,
    rows: &[CandidateRow],
) -> Result<(Scores, f64), RecipeError> {
    let inputs = (&judge.name, collimate_train::hash_json(&rows));
    session.rows(folder, "evaluator_scores", &inputs, |_| {
        let items: Vec<(Prompt, Completion)> = rows
            .iter()
            .flat_map(|row| {
                row.candidates
                    .iter()
                    .map(|c| (row.prompt.clone(), c.clone()))
            })
            .collect();
        let mut left = judge.scores(&items)?.into_iter();
        Ok(rows
            .iter()
            .map(|row| {
                let score = |c: &Completion| left.next().filter(|_| is_usable(c));
                row.candidates.iter().map(score).collect()
            })
            .collect())
    })
}

/// Returns the implicit rewards of the usable candidates: how much more likely the model finds them
/// than the reference does.
pub(super) fn implicit<M: CausalLm>(
    session: &mut Session<'_>,
    folder: &str,
    model: &M,
    reference: &M,
    hashes: (&str, &str),
    rows: &[CandidateRow],
) -> Result<(Scores, f64), RecipeError> {
    let inputs = (hashes, collimate_train::hash_json(&rows));
    session.rows(folder, "implicit_rewards", &inputs, |session| {
        let kind = session.implicit_reward();
        let sampler = session.sampler();
        let label = format!("{folder} implicit rewards");
        let ids: Vec<Vec<u32>> = rows.iter().map(|row| row.ids.clone()).collect();
        let candidates: Vec<Vec<Completion>> =
            rows.iter().map(|row| row.candidates.clone()).collect();
        let of = |model: &M| response_logps(&sampler, &label, model, &ids, &candidates);
        let policy = of(model)?;
        let reference = match kind.needs_reference() {
            true => of(reference)?,
            false => vec![0.0; policy.len()],
        };
        let mut left = policy.into_iter().zip(reference);
        Ok(rows
            .iter()
            .map(|row| {
                let reward = |c: &Completion| {
                    let (policy, reference) = left.next()?;
                    let reward = kind.value(policy, reference, tokens(c).max(1));
                    is_usable(c).then_some(reward)
                };
                row.candidates.iter().map(reward).collect()
            })
            .collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(texts: &[&str]) -> CandidateRow {
        let candidate = |(index, text): (usize, &&str)| Completion {
            tokens: Some(vec![index as u32 + 10]),
            ..Completion::from(*text)
        };
        CandidateRow {
            prompt: Prompt::from("p"),
            ids: vec![1, 5],
            candidates: texts.iter().enumerate().map(candidate).collect(),
        }
    }

    #[test]
    fn highest_against_lowest_and_ties_make_no_pair() {
        let rows = [
            row(&["a", "b", "c", "d"]),
            row(&["a", "b", "c", "d"]),
            row(&["a", "b", "c", "d"]),
        ];
        let scores = vec![
            // The first candidate has no score, so it is not the worst.
            vec![None, Some(2.0), Some(4.5), Some(3.0)],
            vec![Some(3.0); 4],
            vec![None, None, None, Some(5.0)],
        ];
        let truth = vec![
            vec![Some(0.9), Some(0.3), Some(0.8), Some(0.1)],
            vec![Some(0.5); 4],
            vec![Some(0.5); 4],
        ];
        let made = best_and_worst(&rows, &scores, Some(&truth));
        assert_eq!(made.pairs.len(), 1);
        let pair = &made.pairs[0];
        assert_eq!(
            (&pair.chosen[..], &pair.rejected[..]),
            (&[12][..], &[11][..])
        );
        assert_eq!(
            made.dropped,
            [
                (NoPairReason::TooFewResponses, 1),
                (NoPairReason::EqualRewards, 1)
            ]
        );
        let agreement = made.agreement.unwrap();
        assert_eq!((agreement.pairs, agreement.same_sign), (1, 1.0));
        let line: serde_json::Value = serde_json::from_str(made.lines.trim()).unwrap();
        assert_eq!(line["chosen"], "c");
        assert_eq!(line["score_rejected"], 2.0);
    }

    #[test]
    fn sources_are_compared_where_all_made_a_pair() {
        let rows = [row(&["a", "b"]), row(&["a", "b"]), row(&["a", "b"])];
        let scored = |rows: [[f64; 2]; 3]| -> Scores {
            let rows = rows.iter();
            rows.map(|row| row.map(Some).to_vec()).collect()
        };
        let truth = scored([[0.9, 0.1], [0.2, 0.4], [0.5, 0.5]]);
        // The first source has a tie on the first prompt; the second source gets this prompt right.
        let one = best_and_worst(
            &rows,
            &scored([[1.0, 1.0], [1.0, 3.0], [2.0, 1.0]]),
            Some(&truth),
        );
        let two = best_and_worst(
            &rows,
            &scored([[2.0, 1.0], [3.0, 1.0], [2.0, 1.0]]),
            Some(&truth),
        );
        assert_eq!(one.agreement.unwrap().same_sign, 0.75);
        assert_eq!(two.agreement.unwrap().same_sign, 0.5);
        let common = agreement_in_common(&[one, two]);
        assert_eq!(common, [Some((0.75, 2)), Some((0.25, 2))]);
        let blind = best_and_worst(&rows, &truth, None);
        assert_eq!(agreement_in_common(&[blind]), [None]);
    }
}
