//! The token of a hub, which must never be printed.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;

use collimate_files::FileError;
use secrecy::{ExposeSecret, SecretString};

use crate::HubError;

/// Largest size of a token file in bytes.
const MOST_BYTES: u64 = 16 << 10;

/// An access token of a hub. `Debug` does not show the token, there is no `Display`, and the memory
/// is wiped on drop.
///
/// # Examples
/// ```
/// use collimate_hub::Token;
/// let token = Token::new("hf_123")?;
/// assert_eq!(format!("{token:?}"), "Token(SecretBox<str>([REDACTED]))");
/// # Ok::<(), collimate_hub::HubError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Token(SecretString);

impl Token {
    /// Makes a token from a text. White space around the text is removed.
    ///
    /// # Errors
    /// [`HubError::Setting`] for a token that is empty or that no HTTP header can carry.
    pub fn new(token: &str) -> Result<Self, HubError> {
        Self::read("the token", token)?.ok_or_else(|| HubError::Setting {
            name: "the token".into(),
            problem: "is empty: use a token of the hub's settings page".into(),
        })
    }

    /// Reads the text of a variable or file called `name`. Returns `None` for white space.
    pub(crate) fn read(name: &str, text: &str) -> Result<Option<Self>, HubError> {
        let token = text.trim();
        if token.is_empty() {
            return Ok(None);
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(HubError::Setting {
                name: name.into(),
                problem: "has characters other than visible ASCII: it must hold the token alone"
                    .into(),
            });
        }
        Ok(Some(Self(token.into())))
    }
}

/// Place of the token. A file is read only before a download.
#[derive(Debug, Clone)]
pub(crate) enum TokenFrom {
    Nowhere,
    Value(Token),
    File(PathBuf),
}

impl Token {
    /// Returns the header value. Use it only where the request is written.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.0.expose_secret())
    }

    /// Removes the token from a text, since a server may quote the token in an answer.
    pub(crate) fn redact(&self, text: &str) -> String {
        text.replace(self.0.expose_secret(), "[token]")
    }
}

impl TokenFrom {
    /// Returns the token, if there is one.
    pub(crate) fn token(&self) -> Result<Option<Token>, HubError> {
        let path = match self {
            Self::Nowhere => return Ok(None),
            Self::Value(token) => return Ok(Some(token.clone())),
            Self::File(path) => path,
        };
        let fail = |source| {
            HubError::File(FileError {
                path: path.clone(),
                source,
            })
        };
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(fail)?,
        };
        let mut text = String::new();
        file.take(MOST_BYTES)
            .read_to_string(&mut text)
            .map_err(fail)?;
        let text = SecretString::from(text);
        Token::read(&path.display().to_string(), text.expose_secret())
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_no_header_carries_are_refused_unshown() {
        for (text, says) in [
            ("", "is empty"),
            (" \n", "is empty"),
            ("hf_ä", "visible ASCII"),
        ] {
            let error = Token::new(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(text.trim().is_empty() || !error.contains(text), "{error}");
        }
        let inner = Token::new("hf_a hf_b").unwrap_err().to_string();
        assert!(!inner.contains("hf_a"), "{inner}");
    }
}
