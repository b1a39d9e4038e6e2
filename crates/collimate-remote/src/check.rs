//! Checks that several options share.

use collimate_core::OptionError;
use serde_json::{Map, Value};
use ureq::http::Uri;

use crate::RemoteError;

/// Returns the error of an option.
pub(crate) fn wrong<T>(
    option: &str,
    value: impl ToString,
    allowed: &str,
) -> Result<T, RemoteError> {
    Err(OptionError::new(option, value, allowed).into())
}

/// Refuses an extra field that is among the crate's own fields, since the field would occur twice.
pub(crate) fn check_extra(extra: &Map<String, Value>, own: &[&str]) -> Result<(), RemoteError> {
    match extra.keys().find(|name| own.contains(&name.as_str())) {
        Some(name) => {
            let allowed = "free of fields that other options set";
            wrong(
                "extra_body",
                format!("an object with the field {name}"),
                allowed,
            )
        }
        None => Ok(()),
    }
}

/// Checks a URL. A URL with a user contains a secret, so the error does not show it.
pub(crate) fn check_url(option: &'static str, url: &str) -> Result<(), RemoteError> {
    let allowed = "a URL with http:// or https://, a host, and a path without query or fragment";
    let authority = url
        .split("://")
        .nth(1)
        .and_then(|rest| rest.split('/').next());
    if authority.is_some_and(|authority| authority.contains('@')) {
        let allowed = "a URL without a user: put the key into an environment variable";
        return wrong(option, "a URL with a user (not shown)", allowed);
    }
    let fits = |uri: Uri| {
        let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        scheme && uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none()
    };
    match !url.contains('#') && url.parse().is_ok_and(fits) {
        true => Ok(()),
        false => wrong(option, format!("{url:?}"), allowed),
    }
}

/// Returns true if the text can be the name of an environment variable. Most keys cannot.
pub(crate) fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next();
    first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
