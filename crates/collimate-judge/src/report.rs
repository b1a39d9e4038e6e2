//! Counts of judgements that could be parsed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ask::{Asked, Judgement};
use crate::error::{JudgeError, excerpt};
use crate::parse::Unparsed;

/// Counts of the judgements of a call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ParseReport {
    /// Number of judgements, including those of repeated items.
    pub judgements: usize,
    /// Number of judgements that state a score or a verdict.
    pub parsed: usize,
    /// Numbers of other judgements, by reason.
    pub unparsed: BTreeMap<Unparsed, usize>,
    /// Number of items or duels that were not shown to the judge because an answer is empty.
    pub empty: usize,
    /// Number of judgements that the generator wrote in this call.
    pub generated: usize,
    /// Number of judgements from the cache.
    pub cached: usize,
    /// Number of judgements taken from an equal item of the same call.
    pub repeated: usize,
    /// The beginning of the first judgement that could not be parsed.
    pub example: Option<String>,
    /// The reason of the first refused judgement. `unparsed` counts the refusals.
    #[serde(default)]
    pub refusal: Option<String>,
}

impl ParseReport {
    /// Returns the share of judgements that parsed, or `None` if there was nothing to judge.
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

    /// Returns the number of judgements that were refused.
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
                    // Keep the full text. Its end may contain the server's reason.
                    Unparsed::Refused => self.refusal.get_or_insert_with(|| text.to_owned()),
                    _ => self.example.get_or_insert_with(|| excerpt(text)),
                };
            }
        }
    }
}

/// Stops a judge that does not follow its prompt as soon as that is certain: when the share would
/// stay below `least` even if all remaining judgements parsed. A call that stops early would also
/// have failed at the end, whatever the order of the items.
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
    /// Makes a tally for `total` judgements, including those to come.
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

    /// Counts a judgement once for each of the `times` items with the same question.
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
        // Without judgements the quotient is NaN, and the check passes.
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

    /// Stops a judge that has answered nothing so far and refused everything. Such a judge hardly
    /// objects to single questions, and the first reason tells more than further refusals.
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
