//! State of one growing completion.

use collimate_core::{Finish, GenerateError, Key, Purpose};
use collimate_data::DataError;
use rand::RngExt;

use super::sample::SampleRule;
use super::text::GrowingText;
use super::watch::Place;

/// A growing completion.
pub(super) struct Row<'a> {
    pub(super) place: Place,
    /// Key of its random numbers, without the position.
    key: Key,
    pub(super) tokens: Vec<u32>,
    /// Ids of prompt and completion, each once and sorted; empty if no rule needs them.
    seen: Vec<u32>,
    pub(super) text: GrowingText<'a>,
    /// Largest number of tokens.
    pub(super) limit: usize,
}

impl<'a> Row<'a> {
    pub(super) fn new(
        place: Place,
        key: Key,
        seen: &[u32],
        text: GrowingText<'a>,
        limit: usize,
    ) -> Self {
        let mut seen = seen.to_vec();
        seen.sort_unstable();
        seen.dedup();
        Self {
            place,
            key,
            tokens: Vec::new(),
            seen,
            text,
            limit,
        }
    }

    /// Returns the token that the model reads next.
    pub(super) fn last(&self) -> u32 {
        self.tokens.last().copied().unwrap_or_default()
    }

    /// Chooses the next token, with the random number of this position.
    pub(super) fn choose(&self, rule: &SampleRule, logits: &[f32]) -> Result<u32, GenerateError> {
        let point = if rule.is_random() {
            let position = self.key.with(self.tokens.len() as u64);
            position.rng(Purpose::Sampling).random::<f64>()
        } else {
            0.0
        };
        rule.choose(logits, &self.seen, point)
            .map_err(|_| GenerateError::NotFinite {
                index: self.place.prompt,
                tokens: self.tokens.len(),
            })
    }

    /// Adds a token; `ending` is set if it ends every completion. Returns the reason if this one
    /// ends.
    pub(super) fn take(
        &mut self,
        id: u32,
        ending: Option<Finish>,
        remember: bool,
    ) -> Result<Option<Finish>, GenerateError> {
        let prompt = self.place.prompt;
        let unreadable = |error: DataError| GenerateError::Prompt {
            index: prompt,
            message: format!("the completion cannot be written: {error}"),
        };
        self.tokens.push(id);
        if remember && let Err(place) = self.seen.binary_search(&id) {
            self.seen.insert(place, id);
        }
        let mut stopped = ending.is_none() && self.text.push(id).map_err(unreadable)?;
        let at_limit = self.tokens.len() == self.limit;
        let ending = ending.or(at_limit.then_some(Finish::Length));
        if ending.is_some() && !stopped {
            stopped = self.text.finish().map_err(unreadable)?;
        }
        Ok(if stopped { Some(Finish::Stop) } else { ending })
    }
}
