//! Decoding of ids to text, one id at a time.

use super::text_tokenizer::TextTokenizer;
use crate::error::DataError;

/// Character that a decoder writes for bytes that are not a complete character.
const INCOMPLETE: char = '\u{FFFD}';

/// Number of bytes of the longest character, and so the most ids that a character needs.
const LONGEST: usize = 4;

/// Number of ids of a prompt with which its continuation is decoded.
const CONTEXT: usize = 8;

/// Largest number of ids that wait for a character to become complete. The cost of each id grows
/// with the length of the window.
const PATIENCE: usize = 64;

/// The text of a growing list of ids, equal to [`TextTokenizer::decode`] of the whole list.
///
/// A character whose bytes are spread over several ids appears with the last of them. Special
/// tokens are left out. Bytes may form no characters at all. In the whole list, a decoder with byte
/// fallback then also spoils the valid characters beside them. The stream keeps characters that
/// were complete before.
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
    /// Ids since the start of the piece before the last. A decoder may treat the first id of a list
    /// specially (no space before it), so a piece is decoded together with the previous piece.
    window: Vec<u32>,
    /// Number of ids of the window whose text was returned already.
    read: usize,
    /// Text of the ids that were returned already, decoded alone.
    before: String,
    text: String,
}

impl<'a> TextStream<'a> {
    /// Starts a stream of ids that follow the ids of a prompt. The text is the part of the whole
    /// list's text after the prompt, with the space that many decoders omit at the beginning of a
    /// list.
    ///
    /// # Errors
    /// [`DataError::Tokenize`] if the decoder fails.
    pub fn after(tokenizer: &'a TextTokenizer, prompt: &[u32]) -> Result<Self, DataError> {
        let mut stream = Self::new(tokenizer);
        // A decoder treats only the beginning of a list specially, so the end of a long prompt is
        // enough.
        let mut tail: Vec<u32> = prompt
            .iter()
            .rev()
            .copied()
            .filter(|&id| stream.writes(id))
            .take(CONTEXT)
            .collect();
        tail.reverse();
        stream.before = tokenizer.decode(&tail)?;
        stream.read = tail.len();
        stream.window = tail;
        Ok(stream)
    }

    /// Starts an empty stream.
    pub fn new(tokenizer: &'a TextTokenizer) -> Self {
        Self {
            tokenizer,
            window: Vec::new(),
            read: 0,
            before: String::new(),
            text: String::new(),
        }
    }

    /// Adds an id and returns the text that is complete now, often an empty text.
    ///
    /// # Errors
    /// [`DataError::Tokenize`] if the decoder fails.
    pub fn push(&mut self, id: u32) -> Result<&str, DataError> {
        let start = self.text.len();
        if self.writes(id) {
            self.window.push(id);
            self.advance()?;
        }
        Ok(&self.text[start..])
    }

    /// Returns the rest at the end. Bytes that never became a character appear as U+FFFD.
    ///
    /// # Errors
    /// [`DataError::Tokenize`] if the decoder fails.
    pub fn finish(&mut self) -> Result<&str, DataError> {
        let start = self.text.len();
        let all = self.tokenizer.decode(&self.window)?;
        let rest = self.unread(&all)?;
        self.text.push_str(&rest);
        self.read = self.window.len();
        self.before = all;
        Ok(&self.text[start..])
    }

    /// Returns true if a decoder uses an id: the id is known and not a special token.
    fn writes(&self, id: u32) -> bool {
        let tokenizer = self.tokenizer.inner();
        let special = tokenizer.get_added_vocabulary();
        let token = tokenizer.id_to_token(id);
        token.is_some_and(|token| !special.is_special_token(&token))
    }

    /// Appends the text that is complete.
    fn advance(&mut self) -> Result<(), DataError> {
        let all = self.tokenizer.decode(&self.window)?;
        let full = self.window.len() - self.read >= PATIENCE;
        if all.ends_with(INCOMPLETE) {
            return if full { self.give_up(&all) } else { Ok(()) };
        }
        let piece = self.unread(&all)?;
        if !piece.is_empty() {
            self.text.push_str(&piece);
            self.window.drain(..self.read);
            self.read = self.window.len();
            self.before = self.tokenizer.decode(&self.window)?;
        } else if full {
            // Drop ids without text.
            self.window.truncate(self.read);
        }
        Ok(())
    }

    /// Returns the text of the window that was not returned yet.
    fn unread(&self, all: &str) -> Result<String, DataError> {
        match all.strip_prefix(self.before.as_str()) {
            Some(piece) => Ok(piece.to_owned()),
            // A bad byte spoiled the good ones before it, but those were already returned.
            None => self.tokenizer.decode(&self.window[self.read..]),
        }
    }

    /// Appends text that has waited too long, except for the last ids, which may begin a character.
    /// If possible, it cuts at a place where the two parts decode to the same text as the whole.
    fn give_up(&mut self, all: &str) -> Result<(), DataError> {
        let latest = self.window.len() - (LONGEST - 1);
        let mut cut = latest;
        for at in (latest + 1 - LONGEST..=latest).rev() {
            let (head, tail) = self.window.split_at(at);
            if self.tokenizer.decode(head)? + &self.tokenizer.decode(tail)? == all {
                cut = at;
                break;
            }
        }
        let rest = self.window.split_off(cut);
        let head = self.tokenizer.decode(&self.window)?;
        let piece = self.unread(&head)?;
        self.text.push_str(&piece);
        self.window = rest;
        self.read = 0;
        self.before.clear();
        Ok(())
    }

    /// Returns all text that is complete so far.
    pub fn text(&self) -> &str {
        &self.text
    }
}
