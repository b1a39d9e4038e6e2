//! The longest sequence that a tokenizer's model was trained with.

use serde_json::json;

use super::text_tokenizer::TextTokenizer;

/// Key of the length in `tokenizer_config.json`.
pub(super) const MAX_LENGTH: &str = "model_max_length";

/// Largest valid length. Hugging Face writes 1e30 if there is no limit.
const LONGEST: usize = 1_000_000;

impl TextTokenizer {
    /// Returns the length of the longest sequence that the model was trained with, in tokens. This
    /// is `model_max_length` of `tokenizer_config.json` if that is an integer from 1 to 1,000,000.
    ///
    /// The tokenizer does not cut to this length. [`encode_pair`](Self::encode_pair) and the other
    /// methods take their own length.
    pub fn max_length(&self) -> Option<usize> {
        let length = usize::try_from(self.config.get(MAX_LENGTH)?.as_u64()?).ok()?;
        (1..=LONGEST).contains(&length).then_some(length)
    }

    /// Returns the tokenizer with another longest sequence, which [`save`](Self::save) writes as
    /// `model_max_length`. A length outside 1 to 1,000,000 means no limit.
    #[must_use]
    pub fn with_max_length(mut self, length: usize) -> Self {
        if (1..=LONGEST).contains(&length) {
            self.config.insert(MAX_LENGTH.to_owned(), json!(length));
        } else {
            self.config.remove(MAX_LENGTH);
        }
        self
    }
}
