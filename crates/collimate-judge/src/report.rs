//! How many judgements could be read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ask::{Asked, Judgement};
use crate::error::{JudgeError, excerpt};
use crate::parse::Unparsed;

/// What came of asking a judge.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ParseReport {
    /// Judgements, those of repeated items included.
    pub judgements: usize,
    /// Judgements that state a score or a verdict.
    pub parsed: usize,
    /// The others, by reason.
    pub unparsed: BTreeMap<Unparsed, usize>,
    /// Items or duels that were not shown to the judge because an answer is empty.
    pub empty: usize,
    /// Judgements that the generator wrote now.
    pub generated: usize,
    /// Judgements that the cache had.
    pub cached: usize,
    /// Judgements taken from an equal item of the same call.
    pub repeated: usize,
    /// The beginning of the first judgement that could not be parsed.
    pub example: Option<String>,
    /// Why the first judgement that was refused was refused; `unparsed` counts them.
    #[serde(default)]
    pub refusal: Option<String>,
}

impl ParseReport {
    /// The share of judgements that parsed; absent where nothing had to be judged.
    pub fn parse_rate(&self) -> Option<f64> {
        (self.judgements > 0).then(|| self.parsed as f64 / self.judgements as f64)
    }

    pub(crate) fn new(asked: &Asked, empty: usize) -> Self {
        Self {
            empty,
            generated: asked.generated,
            cached: asked.cached,
            repeated: asked.repeated,
            ..Self::default()
        }
    }

    /// Judgements that could not be had.
    pub fn refused(&self) -> usize {
        let refused = self.unparsed.get(&Unparsed::Refused);
        refused.copied().unwrap_or_default()
    }

    pub(crate) fn count<T>(&mut self, text: &str, parsed: Result<T, Unparsed>) {
        self.judgements += 1;
        match parsed {
            Ok(_) => self.parsed += 1,
            Err(reason) => {
                *self.unparsed.entry(reason).or_insert(0) += 1;
                match reason {
                    // In full: its end may say what the server has against the question.
                    Unparsed::Refused => self.refusal.get_or_insert_with(|| text.to_owned()),
                    _ => self.example.get_or_insert_with(|| excerpt(text)),
                };
            }
        }
    }
}

/// Refuses a judge that does not follow its prompt, as soon as that is certain: when `least` would
/// be missed even if all that is still to come could be parsed. What stops early would have failed
/// at the end, whatever the order of the items.
#[derive(Debug)]
pub(crate) struct Tally {
    total: usize,
    least: f64,
    parsed: usize,
    unparsed: usize,
    refused: usize,
    example: Option<String>,
    refusal: Option<String>,
}

impl Tally {
    /// For `total` judgements, seen or to come.
    pub(crate) fn new(total: usize, least: f64) -> Self {
        Self {
            total,
            least,
            parsed: 0,
            unparsed: 0,
            refused: 0,
            example: None,
            refusal: None,
        }
    }

    /// A judgement that stands for as many items as ask the same.
    pub(crate) fn count(&mut self, judgement: &Judgement, parses: bool, times: usize) {
        match judgement {
            _ if parses => self.parsed += times,
            Judgement::Written(written) => {
                self.unparsed += times;
                self.example.get_or_insert_with(|| excerpt(&written.text));
            }
            Judgement::Refused(reason) => {
                self.refused += times;
                self.refusal.get_or_insert_with(|| reason.clone());
            }
        }
    }

    pub(crate) fn check(&self) -> Result<(), JudgeError> {
        let lost = self.unparsed + self.refused;
        let best = (self.total - lost) as f64 / self.total as f64;
        // Without judgements the quotient is no number, and nothing is refused.
        if best < self.least {
            let judgements = self.parsed + lost;
            let example = self.example.clone().or_else(|| self.refusal.clone());
            return Err(JudgeError::ParseRate {
                parsed: self.parsed,
                judgements,
                refused: self.refused,
                rate: self.parsed as f64 / judgements as f64,
                least: self.least,
                example: example.unwrap_or_default(),
            });
        }
        Ok(())
    }

    /// A judge that has answered nothing yet and refuses all it is asked hardly refuses single
    /// questions: the reason is worth more than the rest of the refusals.
    pub(crate) fn check_answers(&self) -> Result<(), JudgeError> {
        let silent = self.parsed + self.unparsed == 0 && self.least > 0.0;
        match &self.refusal {
            Some(reason) if silent => Err(JudgeError::Refused {
                questions: self.refused,
                reason: reason.clone(),
            }),
            _ => Ok(()),
        }
    }
}
