//! The key of a server, which must never be printed.

use std::env::VarError;

use secrecy::{ExposeSecret, SecretString};

use crate::RemoteError;

/// A server's key. It has no `Display`, `Debug` does not show it, and its memory is wiped on drop.
///
/// # Examples
/// ```
/// use collimate_remote::ApiKey;
/// let key = ApiKey::new("sk-123")?;
/// assert_eq!(format!("{key:?}"), "ApiKey(SecretBox<str>([REDACTED]))");
/// # Ok::<(), collimate_remote::RemoteError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ApiKey(SecretString);

impl ApiKey {
    /// Makes a key from a text. White space around the text is removed.
    ///
    /// # Errors
    /// [`RemoteError::Key`] for a key that is empty or that no HTTP header can carry.
    pub fn new(key: &str) -> Result<Self, RemoteError> {
        Self::read("the key", Some(key))
    }

    /// Reads the key from an environment variable.
    ///
    /// # Errors
    /// [`RemoteError::Key`] if the variable is not set or has no valid key.
    pub fn from_env(variable: &str) -> Result<Self, RemoteError> {
        let value = match std::env::var(variable) {
            Ok(value) => Some(value),
            Err(VarError::NotPresent) => None,
            Err(VarError::NotUnicode(value)) => Some(value.to_string_lossy().into_owned()),
        };
        Self::read(
            &format!("environment variable {variable}"),
            value.as_deref(),
        )
    }

    fn read(name: &str, value: Option<&str>) -> Result<Self, RemoteError> {
        let wrong = |what: &str| {
            Err(RemoteError::Key {
                message: format!("{name} {what}"),
            })
        };
        match value.map(str::trim) {
            None => wrong(
                "is not set: set it to the server's key, or api_key_env to null if the server \
                 wants none",
            ),
            Some("") => wrong("is empty: set it to the server's key"),
            Some(key) if !key.bytes().all(|byte| byte.is_ascii_graphic()) => {
                wrong("has characters other than visible ASCII: set it to the server's key alone")
            }
            Some(key) => Ok(Self(key.into())),
        }
    }

    /// Returns the header value. Use it only where the request is written.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.0.expose_secret())
    }

    /// Removes the key from a text, since a server may quote the key in its answer.
    pub(crate) fn redact(&self, text: &str) -> String {
        text.replace(self.0.expose_secret(), "[key]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_no_header_carries_are_refused_unshown() {
        for (key, says) in [
            ("", "is empty"),
            (" \n", "is empty"),
            ("a b", "visible ASCII"),
            ("schlüssel", "visible ASCII"),
        ] {
            let error = ApiKey::new(key).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(key.trim().is_empty() || !error.contains(key), "{error}");
        }
        assert_eq!(ApiKey::new("sk-1\n").unwrap().bearer(), "Bearer sk-1");
        let error = ApiKey::from_env("COLLIMATE_NO_SUCH_VARIABLE")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("COLLIMATE_NO_SUCH_VARIABLE is not set"),
            "{error}"
        );
    }
}
