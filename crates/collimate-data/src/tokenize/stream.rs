//! Ids to text, one at a time.

use super::text_tokenizer::TextTokenizer;
use crate::error::DataError;

/// What a decoder writes for bytes that are no whole character.
const INCOMPLETE: char = '\u{FFFD}';

/// Bytes of the longest character, and so the most ids that one needs.
const LONGEST: usize = 4;

/// Ids of a prompt that its continuation is decoded with.
const CONTEXT: usize = 8;

/// Ids that wait for a character to become whole, at most: every id costs as much as the window is
/// long.
const PATIENCE: usize = 64;

/// The text of a growing list of ids: what [`TextTokenizer::decode`] gives for the whole list.
///
/// A character whose bytes are spread over several ids appears with the last of them. Special tokens
/// are left out. Where bytes are no characters at all, a decoder that falls back to bytes spoils the
/// good ones beside them in the whole list; here those stay that were whole before.
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
    /// Ids that follow those of a prompt: the text is that of the whole list behind the prompt's,
    /// with the space that many decoders leave out at the beginning of a list.
    ///
    /// # Errors
    /// [`DataError::Tokenize`] if the decoder fails.
    pub fn after(tokenizer: &'a TextTokenizer, prompt: &[u32]) -> Result<Self, DataError> {
        let mut stream = Self::new(tokenizer);
        // A decoder looks at the beginning of a list only: the end of a long prompt does.
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
        if self.writes(id) {
            self.window.push(id);
            self.advance()?;
        }
        Ok(&self.text[start..])
    }

    /// Returns what is left at the end: bytes that never became a character, as U+FFFD.
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

    /// True if a decoder sees an id: it is known and no special token.
    fn writes(&self, id: u32) -> bool {
        let tokenizer = self.tokenizer.inner();
        let special = tokenizer.get_added_vocabulary();
        let token = tokenizer.id_to_token(id);
        token.is_some_and(|token| !special.is_special_token(&token))
    }

    /// Gives out what is whole.
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
            // Ids that write nothing.
            self.window.truncate(self.read);
        }
        Ok(())
    }

    /// What of the window's text was not given out.
    fn unread(&self, all: &str) -> Result<String, DataError> {
        match all.strip_prefix(self.before.as_str()) {
            Some(piece) => Ok(piece.to_owned()),
            // A bad byte took the good ones before it along, but those were given out.
            None => self.tokenizer.decode(&self.window[self.read..]),
        }
    }

    /// Gives out what waited too long, but for the last ids, which may begin a character. It is cut
    /// where the parts decode to what they are together, if there is such a place.
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

    /// Everything that is whole so far.
    pub fn text(&self) -> &str {
        &self.text
    }
}
