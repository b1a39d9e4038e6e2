//! Judgements of two answers side by side, in both orders.

use std::ops::Deref;

use collimate_core::{Generator, Key, Purpose};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::ask::{Judgement, Request};
use crate::bias::PositionBias;
use crate::error::JudgeError;
use crate::item::AnswerPair;
use crate::judge::Judge;
use crate::parse::Unparsed;
use crate::places::TemplateKind;
use crate::record::{Outcome, Record};
use crate::report::ParseReport;
use crate::template::Template;
use crate::verdict::{Verdict, parse_verdict};

/// A side of a pair of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The side whose wins are counted.
    A,
    /// The other side.
    B,
}

/// One judgement of a pair of answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairJudgement {
    /// The side that the judge saw first, under the name "A".
    pub shown_first: Side,
    /// The text of the judge, or the reason of a refusal.
    pub text: String,
    /// The verdict, in the names that the judge saw.
    pub verdict: Option<Verdict>,
    /// Reason why there is no verdict.
    pub unparsed: Option<Unparsed>,
}

impl PairJudgement {
    fn new(shown_first: Side, judgement: Judgement) -> Self {
        let parsed = judgement.read(parse_verdict);
        Self {
            shown_first,
            text: judgement.into_text(),
            verdict: parsed.ok(),
            unparsed: parsed.err(),
        }
    }

    /// Returns the outcome for side a.
    fn outcome(&self) -> Option<Outcome> {
        Some(match (self.verdict?, self.shown_first) {
            (Verdict::Tie, _) => Outcome::Tie,
            (Verdict::A, Side::A) | (Verdict::B, Side::B) => Outcome::Win,
            (Verdict::A, Side::B) | (Verdict::B, Side::A) => Outcome::Lose,
        })
    }
}

/// The outcome of a pair of answers and the judgements that it follows from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairResult {
    /// The outcome for side a.
    pub outcome: Option<Outcome>,
    /// The judgements in both orders, in the order of the questions. Empty if the judge was not
    /// asked.
    pub ballots: Vec<PairJudgement>,
}

/// Duels that were judged in both orders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// One result per duel.
    pub results: Vec<PairResult>,
    /// Outcomes for side a, for win rates.
    pub record: Record,
    /// Effect of the order of the answers on the verdict.
    pub bias: PositionBias,
    /// Counts of judgements that could and could not be parsed.
    pub report: ParseReport,
}

impl<P> Judge<P>
where
    P: Deref,
    P::Target: Generator,
{
    /// Asks the judge about each duel in both orders, one judgement each.
    ///
    /// | a shown first | b shown first | outcome for a |
    /// |---|---|---|
    /// | a better | a better | win |
    /// | b better | b better | loss |
    /// | tie | tie | tie |
    /// | anything else that parses | | tie |
    /// | one of them unparsed or refused | | none |
    ///
    /// This is the rule of SER (appendix C.2) and of MT-bench. Equal answers are a tie and are not
    /// shown to the judge. The order that is asked first is drawn from `key` and the texts of the
    /// duel. The draw depends neither on the other duels nor on which side is called a.
    ///
    /// # Errors
    /// As [`Judge::grade`]. [`JudgeError::Template`] for a template that shows one answer.
    /// [`JudgeError::Questions`] for sides that answer different questions.
    pub fn compare(
        &self,
        template: &Template,
        duels: &[AnswerPair],
        key: Key,
    ) -> Result<Comparison, JudgeError> {
        if !template.kind().is_pair() {
            return Err(JudgeError::Template {
                name: template.name().to_owned(),
                message: "the template shows one answer, but a comparison needs two".to_owned(),
            });
        }
        if duels.is_empty() {
            return Err(JudgeError::NoItems);
        }
        let turns = template.kind() == TemplateKind::PairTwoTurns;
        let mut record = Record::new(duels, turns)?;
        let has_empty = |index: usize| duels[index].a.is_empty() || duels[index].b.is_empty();
        let shown = self.shown(duels.len(), has_empty)?;

        // Both orders of each duel, in the order of the questions. Empty if both orders are the
        // same.
        let mut orders = Vec::with_capacity(duels.len());
        let mut requests = Vec::new();
        for (item, duel) in duels.iter().enumerate() {
            let a_first = values(duel, item, turns, Side::A)?;
            let b_first = values(duel, item, turns, Side::B)?;
            if !shown[item] || a_first == b_first {
                orders.push(&[][..]);
                continue;
            }
            let starts_with_b = starts_with_second(&a_first, &b_first, key);
            let both = [a_first, b_first].map(|values| Request { item, values });
            requests.extend(both);
            if starts_with_b {
                let end = requests.len();
                requests.swap(end - 2, end - 1);
                orders.push(&[Side::B, Side::A]);
            } else {
                orders.push(&[Side::A, Side::B]);
            }
        }
        let parses = |judgement: &_| parse_verdict(judgement).is_ok();
        let asked = self.ask(template, &requests, 1, parses)?;
        let empty = shown.iter().filter(|shown| !**shown).count();
        let mut report = ParseReport::new(&asked, empty);
        let mut judgements = asked.judgements.into_iter().flatten();
        let mut results = Vec::with_capacity(duels.len());
        for (sides, shown) in orders.iter().zip(shown) {
            let ballots: Vec<PairJudgement> = sides
                .iter()
                .zip(judgements.by_ref())
                .map(|(&side, judgement)| PairJudgement::new(side, judgement))
                .collect();
            for ballot in &ballots {
                report.count(&ballot.text, ballot.unparsed.map_or(Ok(()), Err));
            }
            let outcome = match ballots.as_slice() {
                [one, other] => both(one, other),
                // No judgements: the answers are equal, or one is empty.
                _ => shown.then_some(Outcome::Tie),
            };
            results.push(PairResult { outcome, ballots });
        }
        record.outcomes = results.iter().map(|result| result.outcome).collect();
        Ok(Comparison {
            bias: PositionBias::new(results.iter().map(|result| result.ballots.as_slice())),
            results,
            record,
            report,
        })
    }
}

/// Combines the outcomes of both orders.
fn both(one: &PairJudgement, other: &PairJudgement) -> Option<Outcome> {
    let (one, other) = (one.outcome()?, other.outcome()?);
    Some(if one == other { one } else { Outcome::Tie })
}

/// Returns the texts for the places of a template that shows two answers.
fn values(
    duel: &AnswerPair,
    index: usize,
    turns: bool,
    shown_first: Side,
) -> Result<Vec<String>, JudgeError> {
    let [first, second] = duel.question(index, turns)?;
    let (a, b) = match shown_first {
        Side::A => (&duel.a, &duel.b),
        Side::B => (&duel.b, &duel.a),
    };
    if !turns {
        return Ok(vec![first, a.answer.text.clone(), b.answer.text.clone()]);
    }
    let mut values = vec![first, second];
    for side in [a, b] {
        let [_, reply, _] = side.turns().ok_or(JudgeError::Turns { index })?;
        values.extend([reply.to_owned(), side.answer.text.clone()]);
    }
    Ok(values)
}

/// Flips a coin that depends on the two orders, but not on which of them shows side a first.
fn starts_with_second(first: &[String], second: &[String], key: Key) -> bool {
    let first_is_lower = first <= second;
    let mut hash = blake3::Hasher::new();
    for value in if first_is_lower { first } else { second } {
        hash.update(&(value.len() as u64).to_le_bytes());
        hash.update(value.as_bytes());
    }
    let mut word = [0; 8];
    hash.finalize_xof().fill(&mut word);
    let key = key.with(u64::from_le_bytes(word));
    let starts_with_lower: bool = key.rng(Purpose::AnswerOrder).random();
    starts_with_lower != first_is_lower
}
