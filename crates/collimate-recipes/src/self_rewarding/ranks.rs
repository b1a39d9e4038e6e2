//! Judgement of a model on answers that others have ranked.

use collimate_core::{Key, Prompt};
use collimate_eval::{
    Bootstrap, EvalError, Groups, Interval, RankAgreement, RankedScores, is_exact, rank_agreement,
    ranked_outcomes,
};
use collimate_judge::{Grade, Item};
use collimate_nn::CausalLm;
use collimate_train::hash_json;
use serde::{Deserialize, Serialize};

use super::check::judge_tokens;
use super::data::SelfRewardingData;
use super::judging::{grade, parsed};
use super::session::Session;
use crate::RecipeError;

/// Agreement of a model with held-out rankings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankReport {
    /// Number of judgements.
    pub judgements: usize,
    /// Share of judgements that state a score.
    pub parse_rate: f64,
    /// Number of answers without a score; they are left out of their lists.
    pub unscored: usize,
    /// Number of unscored answers whose judge's prompt is longer than the model's context.
    pub too_long: usize,
    /// Agreement over the answers with a score.
    pub agreement: RankAgreement,
    /// Pairwise accuracy with a bootstrap interval over lists; absent without pairs.
    pub pairwise: Option<Interval>,
    /// Share of lists in exactly the right order, with an interval; absent without lists.
    pub exact_match: Option<Interval>,
}

/// Grades of a list's answers.
#[derive(Serialize, Deserialize)]
struct RankRow {
    prompt: Prompt,
    merits: Vec<f64>,
    /// `None` if the judge's prompt is too long.
    grades: Vec<Option<Grade>>,
}

/// Lets a model judge the held-out lists; returns `None` without lists. A model whose parse rate is
/// below `least` is refused.
pub(super) fn rank_test<M: CausalLm>(
    session: &mut Session<'_>,
    name: &str,
    model: &M,
    hash: &str,
    data: &SelfRewardingData<'_>,
    least: f64,
) -> Result<Option<RankReport>, RecipeError> {
    let lists = &data.rank_test;
    if lists.is_empty() {
        return Ok(None);
    }
    let inputs = (hash, hash_json(lists), least);
    let (rows, _) = session.rows("rank_test", name, &inputs, |session| {
        let context = model.max_positions();
        let (mut items, mut fits) = (Vec::new(), Vec::new());
        for list in lists {
            for answer in &list.answers {
                let item = Item::new(list.prompt.clone(), answer.as_str());
                fits.push(judge_tokens(session, &item)? < context);
                if fits.last() == Some(&true) {
                    items.push(item);
                }
            }
        }
        let stage = format!("{name} rank test");
        let mut grades = match items.is_empty() {
            true => Vec::new(),
            false => grade(session, &stage, model, hash, &items, least)?,
        }
        .into_iter();
        let mut fits = fits.into_iter();
        let rows = lists.iter().map(|list| RankRow {
            prompt: list.prompt.clone(),
            merits: list.merits.clone(),
            grades: (0..list.answers.len())
                .map(|_| {
                    if fits.next() == Some(true) {
                        grades.next()
                    } else {
                        None
                    }
                })
                .collect(),
        });
        Ok(rows.collect())
    })?;
    let key = session.key("rank test interval");
    let top = session.config.rubric.range().max;
    Ok(Some(report(&rows, top, key)?))
}

fn report(rows: &[RankRow], top: f64, key: Key) -> Result<RankReport, EvalError> {
    let counts = parsed(rows.iter().flat_map(|row| row.grades.iter().flatten()));
    let (mut lists, mut unscored, mut too_long) = (Vec::new(), 0, 0);
    for row in rows {
        let (mut scores, mut merits) = (Vec::new(), Vec::new());
        for (grade, merit) in row.grades.iter().zip(&row.merits) {
            too_long += usize::from(grade.is_none());
            match grade.as_ref().and_then(|grade| grade.score) {
                Some(score) => {
                    scores.push(score);
                    merits.push(*merit);
                }
                None => unscored += 1,
            }
        }
        if scores.len() > 1 {
            lists.push(RankedScores { scores, merits });
        }
    }
    let agreement = rank_agreement(&lists, top)?;
    let (outcomes, groups) = ranked_outcomes(&lists);
    let exact: Vec<f64> = lists
        .iter()
        .map(|list| f64::from(u8::from(is_exact(list))))
        .collect();
    let interval = |values: &[f64], groups| match values.is_empty() {
        true => Ok(None),
        false => Bootstrap::default().mean(values, groups, key).map(Some),
    };
    Ok(RankReport {
        judgements: counts.judgements,
        parse_rate: counts.parsed as f64 / counts.judgements.max(1) as f64,
        unscored,
        too_long,
        agreement,
        pairwise: interval(&outcomes, Groups::By(&groups))?,
        exact_match: interval(&exact, Groups::Items)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_without_a_score_leave_their_list() {
        let graded = |score| {
            Some(Grade {
                score,
                votes: Vec::new(),
            })
        };
        let row = |grades: Vec<Option<Grade>>| RankRow {
            prompt: Prompt::from("p"),
            merits: vec![0.0, -1.0, -2.0],
            grades,
        };
        let rows = [
            row(vec![graded(Some(5.0)), graded(None), graded(Some(1.0))]),
            row(vec![
                graded(Some(5.0)),
                graded(Some(5.0)),
                graded(Some(2.0)),
            ]),
            row(vec![None, graded(None), graded(Some(2.0))]),
        ];
        let found = report(&rows, 5.0, Key::new(0, "test")).unwrap();
        assert_eq!((found.unscored, found.too_long), (3, 1));
        // One pair of the first list, three of the second with a tie; the third is too short.
        let agreement = found.agreement;
        assert_eq!(
            (agreement.lists, agreement.pairs, agreement.ties),
            (2, 4, 1)
        );
        assert_eq!(agreement.pairwise, Some(3.5 / 4.0));
        assert_eq!(found.pairwise.map(|p| p.estimate), Some(3.5 / 4.0));
        assert_eq!(found.exact_match.map(|p| p.estimate), Some(0.5));
        // Two of three fives are the best of their lists.
        assert_eq!(agreement.top_share, Some(2.0 / 3.0));
        let found = report(&rows[2..], 5.0, Key::new(0, "test")).unwrap();
        assert_eq!((found.pairwise, found.exact_match), (None, None));
    }
}
