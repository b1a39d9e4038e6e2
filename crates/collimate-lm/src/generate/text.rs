//! Text of a growing completion. Stop texts end it, and text that one could take back is not shown.

use collimate_data::{DataError, TextStream, TextTokenizer};

/// Returns the special tokens among some texts; such tokens never appear in text.
pub(super) fn special_ids(tokenizer: &TextTokenizer, texts: &[String]) -> Vec<u32> {
    let tokenizer = tokenizer.inner();
    let added = tokenizer.get_added_vocabulary();
    let special = texts.iter().filter(|text| added.is_special_token(text));
    special
        .filter_map(|text| tokenizer.token_to_id(text))
        .collect()
}

/// A growing text that detects stop texts.
#[derive(Debug)]
pub(super) struct GrowingText<'a> {
    stream: TextStream<'a>,
    stops: &'a [String],
    /// Number of bytes that were shown.
    shown: usize,
    /// Start of the first stop text, if one was found.
    cut: Option<usize>,
}

impl<'a> GrowingText<'a> {
    /// Creates the text of a completion of the prompt with these ids.
    pub(super) fn new(
        tokenizer: &'a TextTokenizer,
        prompt: &[u32],
        stops: &'a [String],
    ) -> Result<Self, DataError> {
        Ok(Self {
            stream: TextStream::after(tokenizer, prompt)?,
            stops,
            shown: 0,
            cut: None,
        })
    }

    /// Adds a token. Returns true if a stop text is now complete.
    pub(super) fn push(&mut self, id: u32) -> Result<bool, DataError> {
        let before = self.stream.text().len();
        self.stream.push(id)?;
        Ok(self.look_for_stops(before))
    }

    /// Ends the text. Returns true if the remaining bytes complete a stop text.
    pub(super) fn finish(&mut self) -> Result<bool, DataError> {
        let before = self.stream.text().len();
        self.stream.finish()?;
        Ok(self.look_for_stops(before))
    }

    /// Searches the text for stop texts, from the first place at which a stop text could begin that
    /// was not complete at `before`.
    fn look_for_stops(&mut self, before: usize) -> bool {
        let text = self.stream.text();
        let found = self.stops.iter().filter_map(|stop| {
            let start = text.floor_char_boundary((before + 1).saturating_sub(stop.len()));
            Some(start + text[start..].find(stop.as_str())?)
        });
        self.cut = found.min();
        self.cut.is_some()
    }

    /// Returns the text without the stop text that ended it.
    pub(super) fn text(&self) -> &str {
        let text = self.stream.text();
        &text[..self.cut.unwrap_or(text.len())]
    }

    /// Returns the text that was not shown yet and can be: all text at the end, otherwise only text
    /// that no stop text can take back.
    pub(super) fn show(&mut self, at_end: bool) -> &str {
        let text = self.text();
        let end = match at_end || self.cut.is_some() {
            true => text.len(),
            false => text.len() - self.held_back(text),
        };
        let from = std::mem::replace(&mut self.shown, end);
        &self.text()[from..end]
    }

    /// Returns the number of bytes at the end that could be the beginning of a stop text.
    fn held_back(&self, text: &str) -> usize {
        let begun = |stop: &String| {
            let ends = stop.char_indices().map(|(end, _)| end).rev();
            ends.into_iter().find(|&end| text.ends_with(&stop[..end]))
        };
        self.stops.iter().filter_map(begun).max().unwrap_or(0)
    }
}
