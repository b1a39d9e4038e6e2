//! Ids to text, one at a time.

use super::text_tokenizer::TextTokenizer;
use crate::error::DataError;

/// What a decoder writes for bytes that are no whole character.
const INCOMPLETE: char = '\u{FFFD}';

/// The text of a growing list of ids: what [`TextTokenizer::decode`] gives for the whole list.
///
/// A character whose bytes are spread over several ids appears with the last of them. Special tokens
/// are left out. Where bytes are no characters at all, a decoder that falls back to bytes may count
/// them otherwise than it would in the whole list.
///
/// # Examples
/// ```
/// use collimate_data::{SpecialTokenIds, TextStream, TextTokenizer};
/// use tokenizers::{Tokenizer, decoders::byte_level::ByteLevel, models::bpe::{BPE, Vocab}};
/// // The two bytes of é are two tokens.
/// let vocab: Vocab = ["</s>", "a", "Ã", "©"].iter().zip(0..).map(|(t, i)| (t.to_string(), i)).collect();
/// let mut tokenizer = Tokenizer::new(BPE::builder().vocab_and_merges(vocab, vec![]).build().unwrap());
/// tokenizer.with_decoder(Some(ByteLevel::default()));
/// let special = SpecialTokenIds { bos: None, eos: 0, pad: None };
/// let tokenizer = TextTokenizer::new(tokenizer, special, None)?;
/// let mut stream = TextStream::new(&tokenizer);
/// assert_eq!(stream.push(1)?, "a");
/// assert_eq!(stream.push(2)?, "");
/// assert_eq!(stream.push(3)?, "é");
/// assert_eq!(stream.text(), "aé");
/// # Ok::<(), collimate_data::DataError>(())
/// ```
#[derive(Debug, Clone)]
pub struct TextStream<'a> {
    tokenizer: &'a TextTokenizer,
    /// Ids since the start of the piece before the last: a decoder may treat the first id of a list
    /// in its own way (no space before it), so a piece is decoded with the one before it.
    window: Vec<u32>,
    /// Ids of the window whose text was given out.
    read: usize,
    /// Their text, decoded alone.
    before: String,
    text: String,
}

impl<'a> TextStream<'a> {
    /// Nothing written yet.
    pub fn new(tokenizer: &'a TextTokenizer) -> Self {
        Self {
            tokenizer,
            window: Vec::new(),
            read: 0,
            before: String::new(),
            text: String::new(),
        }
    }

    /// Adds an id and returns the text that is whole now, often nothing.
    ///
    /// # Errors
    /// [`DataError::Tokenize`] if the decoder fails.
    pub fn push(&mut self, id: u32) -> Result<&str, DataError> {
        let start = self.text.len();
        self.window.push(id);
        let window = self.tokenizer.decode(&self.window)?;
        if !window.ends_with(INCOMPLETE)
            && let Some(piece) = window.strip_prefix(self.before.as_str())
            && !piece.is_empty()
        {
            self.text.push_str(piece);
            self.window.drain(..self.read);
            self.read = self.window.len();
            self.before = self.tokenizer.decode(&self.window)?;
        }
        Ok(&self.text[start..])
    }

    /// Returns what is left at the end: bytes that never became a character, as U+FFFD.
    ///
    /// # Errors
    /// [`DataError::Tokenize`] if the decoder fails.
    pub fn finish(&mut self) -> Result<&str, DataError> {
        let start = self.text.len();
        let window = self.tokenizer.decode(&self.window)?;
        if let Some(rest) = window.strip_prefix(self.before.as_str()) {
            self.text.push_str(rest);
        }
        self.read = self.window.len();
        self.before = window;
        Ok(&self.text[start..])
    }

    /// Everything that is whole so far.
    pub fn text(&self) -> &str {
        &self.text
    }
}
