//! Grading one answer at a time.

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
    /// The text of the judge; the reason if the judge refused.
    pub text: String,
    /// The score that it states.
    pub score: Option<f64>,
    /// Why it states none.
    pub unparsed: Option<Unparsed>,
}

/// The judgements of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grade {
    /// The mean of the scores that parsed; absent where none did.
    pub score: Option<f64>,
    /// All judgements; none for an empty answer that was not shown.
    pub votes: Vec<Vote>,
}

/// The grades of items, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grades {
    /// One for each item.
    pub grades: Vec<Grade>,
    /// How many judgements could be parsed.
    pub report: ParseReport,
}

/// Duels decided by single scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreComparison {
    /// Outcomes, seen from side a.
    pub record: Record,
    /// Grades of side a.
    pub a: Vec<Grade>,
    /// Grades of side b.
    pub b: Vec<Grade>,
    /// How many judgements could be parsed.
    pub report: ParseReport,
}

impl<P> Judge<P>
where
    P: Deref,
    P::Target: Generator,
{
    /// Grades each item: [`JudgeOptions::samples`](crate::JudgeOptions) judgements, the mean of the
    /// scores that parsed. An answer none of whose judgements parsed has no score: it is not 0 and
    /// not −1.
    ///
    /// Equal items are asked about once. What the cache knows is not asked about at all. A judgement
    /// that the generator refuses is [`Unparsed::Refused`]: it counts as one that did not parse, and
    /// is asked for again next time.
    ///
    /// # Errors
    /// [`JudgeError::NoItems`]; [`JudgeError::EmptyAnswers`] where the options refuse them;
    /// [`JudgeError::Turns`] for an item that a two-turn template cannot show; what the generator or
    /// the cache says; [`JudgeError::ParseRate`] as soon as the options' `min_parse_rate` cannot be
    /// reached any more; [`JudgeError::Refused`] where nothing but refusals came. Judgements written
    /// before an error stay in the cache.
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

    /// Grades both sides of each duel and lets the higher score win, as in SER's appendix D.4
    /// ([arXiv:2411.00418](https://arxiv.org/abs/2411.00418)). Scores that differ by at most
    /// `tie_within` are a tie (MT-bench's code takes 0.1); without a score on both sides there is no
    /// outcome.
    ///
    /// # Errors
    /// As [`Judge::grade`], where side a of duel i is item i and the b sides follow;
    /// [`JudgeError::Option`] for a `tie_within` that is negative or not finite;
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

    /// Which of `n` things are shown to the judge, given which have an empty answer.
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

/// What stands at the places of a template that shows one answer.
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
