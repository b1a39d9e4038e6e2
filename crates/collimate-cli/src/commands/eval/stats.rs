//! Statistics of groups of cases: all, each category, each turn.

use std::collections::BTreeMap;

use collimate::core::Key;
use collimate::eval::{Bootstrap, Groups, Interval, pearson, spearman};
use collimate::judge::{Counts, LengthControl, Outcome, Record};
use serde::Serialize;

use super::cases::Case;
use super::sheet::{Sheet, Single, chars, length_difference};
use crate::common::Failure;

/// Property that a group of cases shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum By {
    All,
    Category,
    Turn,
}

/// Cases that make one row of a table.
#[derive(Debug)]
struct Group {
    by: By,
    name: String,
    cases: Vec<usize>,
}

/// The statistics of one group.
#[derive(Debug, Serialize)]
pub(crate) struct GroupStats {
    pub(crate) by: By,
    pub(crate) name: String,
    pub(crate) cases: usize,
    pub(crate) a: Side,
    pub(crate) b: Option<Side>,
    pub(crate) by_score: Option<Rate>,
    pub(crate) side_by_side: Option<Rate>,
}

/// One side of a group.
#[derive(Debug, Serialize)]
pub(crate) struct Side {
    /// Mean score with its interval; absent if no answer has a score.
    pub(crate) score: Option<Interval>,
    /// Number of answers with a score.
    pub(crate) scored: usize,
    /// Mean length in characters.
    pub(crate) characters: f64,
    /// Number of answers without a visible character.
    pub(crate) empty: usize,
}

/// Wins of side a, as counts and rates.
#[derive(Debug, Serialize)]
pub(crate) struct Rate {
    pub(crate) counts: Counts,
    /// Percentages of wins, ties and losses among the decided cases.
    pub(crate) per_cent: Option<[f64; 3]>,
    /// Win rate; absent if no case is decided.
    pub(crate) win_rate: Option<Interval>,
    /// Win rate at equal length; absent if `no_length_control` gives a reason.
    pub(crate) length_controlled: Option<f64>,
    pub(crate) no_length_control: Option<String>,
}

/// Correlation of an answer's score with its length in characters.
#[derive(Debug, Serialize)]
pub(crate) struct LengthCorrelation {
    pub(crate) answers: usize,
    /// Pearson's coefficient; absent if score or length does not vary.
    pub(crate) pearson: Option<f64>,
    pub(crate) spearman: Option<f64>,
}

/// Returns the groups in order: all cases, categories in order of appearance, turns. Categories or
/// turns with a single value form no groups.
fn groups(cases: &[Case]) -> Vec<Group> {
    let mut groups = vec![Group {
        by: By::All,
        name: "all".to_owned(),
        cases: (0..cases.len()).collect(),
    }];
    let mut split = |by: By, name_of: &dyn Fn(&Case) -> String| {
        let mut parts: Vec<Group> = Vec::new();
        for (index, case) in cases.iter().enumerate() {
            let name = name_of(case);
            match parts.iter_mut().find(|part| part.name == name) {
                Some(part) => part.cases.push(index),
                None => parts.push(Group {
                    by,
                    name,
                    cases: vec![index],
                }),
            }
        }
        if parts.len() > 1 {
            groups.extend(parts);
        }
    };
    split(By::Category, &|case| {
        case.category.clone().unwrap_or_else(|| "(none)".to_owned())
    });
    split(By::Turn, &|case| format!("turn {}", case.turn));
    groups
}

/// Computes the statistics of all groups.
pub(crate) fn stats(cases: &[Case], sheet: &Sheet) -> Result<Vec<GroupStats>, Failure> {
    let all = groups(cases).into_iter().map(|group| {
        let pick = |outcomes: &[Option<Outcome>]| -> Result<Option<Rate>, Failure> {
            match outcomes.is_empty() {
                true => Ok(None),
                false => rate(&group, cases, outcomes).map(Some),
            }
        };
        let by_score = match &sheet.single {
            Some(single) => pick(&single.outcomes)?,
            None => None,
        };
        let side_by_side = match &sheet.pairwise {
            Some(pairwise) => {
                let outcomes: Vec<_> = pairwise.results.iter().map(|r| r.outcome).collect();
                pick(&outcomes)?
            }
            None => None,
        };
        let scores = |of: fn(&Single) -> &[Option<f64>]| sheet.single.as_ref().map(of);
        let has_b = cases.iter().all(|case| case.b.is_some());
        let b = || side(&group, cases, scores(|single| &single.b), true);
        Ok(GroupStats {
            by: group.by,
            name: group.name.clone(),
            cases: group.cases.len(),
            a: side(&group, cases, scores(|single| &single.a), false)?,
            b: has_b.then(b).transpose()?,
            by_score,
            side_by_side,
        })
    });
    all.collect()
}

fn side(
    group: &Group,
    cases: &[Case],
    scores: Option<&[Option<f64>]>,
    is_b: bool,
) -> Result<Side, Failure> {
    let (mut values, mut numbers) = (Vec::new(), Vec::new());
    let (mut length, mut empty) = (0.0, 0);
    for &index in &group.cases {
        let case = &cases[index];
        let item = match (&case.b, is_b) {
            (Some(b), true) => b,
            _ => &case.a,
        };
        length += chars(&item.answer.text);
        empty += usize::from(item.is_empty());
        if let Some(score) = scores.and_then(|scores| scores.get(index).copied().flatten()) {
            values.push(score);
            numbers.push(case.group);
        }
    }
    let score = match values.is_empty() {
        true => None,
        false => Some(Bootstrap::default().mean(&values, Groups::By(&numbers), key())?),
    };
    Ok(Side {
        score,
        scored: values.len(),
        characters: length / group.cases.len().max(1) as f64,
        empty,
    })
}

fn rate(group: &Group, cases: &[Case], outcomes: &[Option<Outcome>]) -> Result<Rate, Failure> {
    let of = |index: &usize| &cases[*index];
    let difference = |case: &Case| case.duel().map_or(0.0, |duel| length_difference(&duel));
    let record = Record {
        outcomes: group.cases.iter().map(|&index| outcomes[index]).collect(),
        prompts: group.cases.iter().map(|index| of(index).group).collect(),
        length_differences: group
            .cases
            .iter()
            .map(|index| difference(of(index)))
            .collect(),
    };
    let counts = record.counts();
    let win_rate = match counts.decided() {
        0 => None,
        _ => Some(record.win_rate(&Bootstrap::default(), key())?.interval),
    };
    let (length_controlled, no_length_control) =
        match record.length_controlled(&LengthControl::default()) {
            Ok(fit) => (Some(fit.win_rate), None),
            Err(error) => (None, Some(error.to_string())),
        };
    Ok(Rate {
        per_cent: counts.percentages(),
        counts,
        win_rate,
        length_controlled,
        no_length_control,
    })
}

/// Returns the key of every interval, so that equal answers give equal intervals.
pub(crate) fn key() -> Key {
    Key::new(0, "eval")
}

/// Computes correlations of score and length, over side a, side b, and both.
pub(crate) fn length_correlations(
    cases: &[Case],
    single: &Single,
) -> BTreeMap<&'static str, LengthCorrelation> {
    let a = cases.iter().map(|case| chars(&case.a.answer.text));
    let a: Vec<(f64, f64)> = scored(&single.a, a);
    let b = cases
        .iter()
        .filter_map(|case| Some(chars(&case.b.as_ref()?.answer.text)));
    let b: Vec<(f64, f64)> = scored(&single.b, b);
    let mut found = BTreeMap::from([("a", correlation(&a))]);
    if !single.b.is_empty() {
        found.insert("b", correlation(&b));
        found.insert("both", correlation(&[a, b].concat()));
    }
    found
}

fn scored(scores: &[Option<f64>], lengths: impl Iterator<Item = f64>) -> Vec<(f64, f64)> {
    let pairs = scores.iter().zip(lengths);
    pairs
        .filter_map(|(score, length)| Some(((*score)?, length)))
        .collect()
}

/// Computes the correlations of pairs (score, length).
pub(crate) fn correlation(pairs: &[(f64, f64)]) -> LengthCorrelation {
    let (scores, lengths): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    LengthCorrelation {
        answers: pairs.len(),
        // A correlation with a constant, or of one value, is undefined.
        pearson: pearson(&scores, &lengths).ok(),
        spearman: spearman(&scores, &lengths).ok(),
    }
}
