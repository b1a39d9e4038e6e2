//! Grading of one answer at a time.

use std::ops::Deref;

use collimate_core::{Generator, Range};
use serde::{Deserialize, Serialize};

use crate::ask::Request;
use crate::error::JudgeError;
use crate::item::{AnswerPair, Item};
use crate::judge::Judge;
use crate::options::EmptyAnswers;
use crate::parse::Unparsed;
use crate::places::TemplateKind;
use crate::record::{Outcome, Record};
use crate::report::ParseReport;
use crate::rubric::Rubric;

/// One judgement of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vote {
    /// The text of the judge, or the reason of a refusal.
    pub text: String,
    /// The score that the text states.
    pub score: Option<f64>,
    /// Reason why the text states no score.
    pub unparsed: Option<Unparsed>,
}

/// The judgements of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grade {
    /// The mean of the scores that parsed, or `None` if none did.
    pub score: Option<f64>,
    /// All judgements. Empty for an empty answer that was not shown to the judge.
    pub votes: Vec<Vote>,
}

/// The grades of items, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grades {
    /// One grade per item.
    pub grades: Vec<Grade>,
    /// Counts of judgements that could and could not be parsed.
    pub report: ParseReport,
}

/// Duels decided by single scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreComparison {
    /// Outcomes for side a.
    pub record: Record,
    /// Grades of side a.
    pub a: Vec<Grade>,
    /// Grades of side b.
    pub b: Vec<Grade>,
    /// Counts of judgements that could and could not be parsed.
    pub report: ParseReport,
}

impl<P> Judge<P>
where
    P: Deref,
    P::Target: Generator,
{
    /// Grades each item by the mean of the scores that parsed, over
    /// [`JudgeOptions::samples`](crate::JudgeOptions) judgements. An answer without a parsed
    /// judgement has no score; it does not count as 0 or −1.
    ///
    /// Equal items are asked about once. Judgements in the cache are not requested again. A
    /// judgement that the generator refuses is [`Unparsed::Refused`]. It counts as unparsed and is
    /// requested again in the next call.
    ///
    /// # Errors
    /// [`JudgeError::NoItems`] without items. [`JudgeError::EmptyAnswers`] if the options refuse
    /// empty answers. [`JudgeError::Turns`] for an item that a two-turn template cannot show.
    /// Errors of the generator and the cache. [`JudgeError::ParseRate`] as soon as the
    /// `min_parse_rate` of the options can no longer be reached. [`JudgeError::Refused`] if there
    /// were only refusals. Judgements written before an error stay in the cache.
    pub fn grade(&self, rubric: &Rubric, items: &[Item]) -> Result<Grades, JudgeError> {
        if items.is_empty() {
            return Err(JudgeError::NoItems);
        }
        let shown = self.shown(items.len(), |index| items[index].is_empty())?;
        let mut requests = Vec::new();
        for (item, content) in items.iter().enumerate().filter(|&(item, _)| shown[item]) {
            let values = values(rubric.template().kind(), item, content)?;
            requests.push(Request { item, values });
        }
        let samples = self.options().effective_samples();
        let parses = |judgement: &_| rubric.format().parse(judgement, rubric.range()).is_ok();
        let asked = self.ask(rubric.template(), &requests, samples, parses)?;
        let mut report = ParseReport::new(&asked, items.len() - requests.len());
        let mut judged = asked.judgements.into_iter();
        let mut grades = Vec::with_capacity(items.len());
        for shown in shown {
            let judgements = if shown { judged.next() } else { None };
            let mut votes = Vec::new();
            for judgement in judgements.unwrap_or_default() {
                let parsed = judgement.read(|text| rubric.format().parse(text, rubric.range()));
                let text = judgement.into_text();
                report.count(&text, parsed);
                votes.push(Vote {
                    text,
                    score: parsed.ok(),
                    unparsed: parsed.err(),
                });
            }
            let score = mean(votes.iter().filter_map(|vote| vote.score));
            grades.push(Grade { score, votes });
        }
        Ok(Grades { grades, report })
    }

    /// Grades both sides of each duel and lets the higher score win, as in appendix D.4 of SER
    /// ([arXiv:2411.00418](https://arxiv.org/abs/2411.00418)). Scores that differ by at most
    /// `tie_within` are a tie; MT-bench's code uses 0.1. There is an outcome only if both sides
    /// have a score.
    ///
    /// # Errors
    /// As [`Judge::grade`], where side a of duel i is item i, and the b sides follow.
    /// [`JudgeError::Option`] for a `tie_within` that is negative or not finite.
    /// [`JudgeError::Questions`] for sides that answer different questions.
    pub fn compare_by_score(
        &self,
        rubric: &Rubric,
        duels: &[AnswerPair],
        tie_within: f64,
    ) -> Result<ScoreComparison, JudgeError> {
        Range::NotNegative.check("tie_within", tie_within)?;
        let turns = rubric.template().kind() == TemplateKind::TwoTurns;
        let mut record = Record::new(duels, turns)?;
        let sides = |side: fn(&AnswerPair) -> &Item| duels.iter().map(side).cloned();
        let items: Vec<Item> = sides(|duel| &duel.a).chain(sides(|duel| &duel.b)).collect();
        let Grades {
            grades: mut a,
            report,
        } = self.grade(rubric, &items)?;
        let b = a.split_off(duels.len());
        let outcome =
            |(a, b): (&Grade, &Grade)| Some(Outcome::by_score(a.score?, b.score?, tie_within));
        record.outcomes = a.iter().zip(&b).map(outcome).collect();
        Ok(ScoreComparison {
            record,
            a,
            b,
            report,
        })
    }

    /// Returns for each of `n` items or duels whether it is shown to the judge. `is_empty` names
    /// those with an empty answer.
    pub(crate) fn shown(
        &self,
        n: usize,
        is_empty: impl Fn(usize) -> bool,
    ) -> Result<Vec<bool>, JudgeError> {
        let policy = self.options().empty_answers;
        if policy == EmptyAnswers::Judge {
            return Ok(vec![true; n]);
        }
        let empty: Vec<usize> = (0..n).filter(|&index| is_empty(index)).collect();
        match empty.first() {
            Some(&index) if policy == EmptyAnswers::Refuse => Err(JudgeError::EmptyAnswers {
                count: empty.len(),
                index,
            }),
            _ => Ok((0..n).map(|index| !is_empty(index)).collect()),
        }
    }
}

/// Returns the texts for the places of a template that shows one answer.
pub(crate) fn values(
    shows: TemplateKind,
    index: usize,
    item: &Item,
) -> Result<Vec<String>, JudgeError> {
    let answer = item.answer.text.clone();
    if shows != TemplateKind::TwoTurns {
        return Ok(vec![item.question(), answer]);
    }
    let [first, reply, second] = item.turns().ok_or(JudgeError::Turns { index })?;
    Ok(vec![first.into(), reply.into(), second.into(), answer])
}

fn mean(scores: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_u32);
    for score in scores {
        sum += score;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}
