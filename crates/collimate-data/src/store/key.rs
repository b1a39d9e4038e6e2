//! Keys of stores.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use blake3::Hasher;

use super::{unreadable, wrong};
use crate::content::part;
use crate::error::DataError;
use crate::tokenize::TextTokenizer;

/// Bytes of a file that are read at once.
const BLOCK: usize = 1 << 20;

/// A digest of everything that determines the rows of a store.
///
/// Two keys are equal only if they were made of the same parts in the same order. Names and times
/// of files do not count.
///
/// # Examples
/// ```
/// use collimate_data::StoreKey;
/// let key = |text: &str| StoreKey::new("pairs").text(text).finish();
/// assert_eq!(key("max_length 512"), key("max_length 512"));
/// assert_ne!(key("max_length 512"), key("max_length 1024"));
/// assert_eq!(key("").len(), 64);
/// ```
#[derive(Debug, Clone)]
pub struct StoreKey(Hasher);

impl StoreKey {
    /// Begins a key. `purpose` separates keys of different purposes.
    pub fn new(purpose: &str) -> Self {
        Self(Hasher::new()).part("purpose", purpose)
    }

    /// Adds the bytes of a file. They are read in blocks.
    ///
    /// # Errors
    /// [`DataError::Store`] for a pipe or another path that is not a file, because the second
    /// reading would find other bytes. [`DataError::Missing`] if the file does not exist.
    /// [`DataError::Io`] if the file cannot be read.
    pub fn file(self, path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        // A pipe without a writer would wait, so the kind is checked before the file is opened.
        let kind = path.metadata().map_err(|error| match error.kind() {
            ErrorKind::NotFound => DataError::Missing {
                path: path.to_owned(),
            },
            _ => unreadable(path)(error),
        })?;
        if !kind.is_file() {
            let what = "not a file: a token store needs an input that can be read again";
            return Err(wrong(path, what));
        }
        let mut file = File::open(path).map_err(unreadable(path))?;
        let mut hasher = Hasher::new();
        let mut bytes = vec![0; BLOCK];
        loop {
            match file.read(&mut bytes) {
                Ok(0) => break,
                Ok(count) => hasher.update(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(path)(error)),
            };
        }
        Ok(self.part("file", &hasher.finalize().to_hex()))
    }

    /// Adds a text, such as an option.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.part("text", text)
    }

    /// Adds a tokenizer ([`TextTokenizer::fingerprint`]).
    ///
    /// # Errors
    /// As [`TextTokenizer::fingerprint`].
    pub fn tokenizer(self, tokenizer: &TextTokenizer) -> Result<Self, DataError> {
        Ok(self.part("tokenizer", &tokenizer.fingerprint()?))
    }

    /// Returns the key as 64 hexadecimal digits.
    pub fn finish(self) -> String {
        self.0.finalize().to_hex().to_string()
    }

    fn part(mut self, kind: &str, text: &str) -> Self {
        part(&mut self.0, kind);
        part(&mut self.0, text);
        self
    }
}
