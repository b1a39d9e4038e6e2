//! One HTTP request.

use std::time::{Duration, SystemTime};

use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use ureq::http::{HeaderMap, Uri};
use ureq::{Agent, Error, Proxy, Timeout};

use crate::{ApiKey, RemoteConfig, RemoteError};

/// Largest size of an answer in bytes. A larger answer is an error.
const MOST_BYTES: u64 = 256 << 20;
/// Number of characters of a server's message that an error shows.
const MOST_MESSAGE: usize = 300;

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Fault {
    /// If true, the same request may succeed later.
    pub(crate) again: bool,
    /// Wait that the server asks for.
    pub(crate) retry_after: Option<Duration>,
    /// Error for the caller, with the number of attempts so far.
    pub(crate) error: RemoteError,
}

impl Fault {
    /// Makes a fault that no repetition can remedy.
    pub(crate) fn last(error: RemoteError) -> Self {
        Self {
            again: false,
            retry_after: None,
            error,
        }
    }
}

/// A pool of connections to one URL.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    url: String,
    key: Option<ApiKey>,
    key_from: String,
    limits: (f64, f64),
}

impl Client {
    /// Makes a client from a checked configuration.
    pub(crate) fn new(config: &RemoteConfig, url: String, key: Option<ApiKey>) -> Self {
        let settings = Agent::config_builder()
            .http_status_as_error(false)
            // A redirected POST would lose its body and send the key to another address.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("collimate-remote/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs_f64(config.connect_timeout)))
            .timeout_global(Some(Duration::from_secs_f64(config.timeout)))
            .max_idle_connections(config.concurrency)
            .max_idle_connections_per_host(config.concurrency)
            .proxy(proxy(&url))
            .build();
        let key_from = match &config.api_key_env {
            Some(variable) => format!("the key in {variable}"),
            None => "the key (api_key_env is null: none is read)".to_owned(),
        };
        Self {
            agent: Agent::new_with_config(settings),
            url,
            key,
            key_from,
            limits: (config.connect_timeout, config.timeout),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request and returns the body of a successful answer. `attempts` appears in errors.
    pub(crate) fn post(&self, body: &[u8], attempts: usize) -> Result<Vec<u8>, Fault> {
        let mut request = self
            .agent
            .post(&self.url)
            .header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, key.bearer());
        }
        let mut response = request
            .send(body)
            .map_err(|error| self.lost(&error, attempts))?;
        let status = response.status();
        let headers = response.headers().clone();
        let body = response.body_mut().with_config().limit(MOST_BYTES);
        let body = body.read_to_vec();
        if status.is_success() {
            return body.map_err(|error| self.lost(&error, attempts));
        }
        // If the message does not arrive, the status is enough.
        let message = self.message(&body.unwrap_or_default());
        Err(self.refused(status.as_u16(), &headers, message, attempts))
    }

    /// Makes the fault for a status other than success.
    fn refused(&self, status: u16, headers: &HeaderMap, message: String, attempts: usize) -> Fault {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let advice = match status {
            300..=399 => {
                let to = self.shown(header(LOCATION).unwrap_or("nowhere"));
                format!(
                    "redirects are not followed: set the URL to the address of the redirect: {to}"
                )
            }
            401 | 403 => format!("the server does not accept {}", self.key_from),
            404 | 405 => "check the URL and the name of the model".to_owned(),
            400 | 413 | 422 => {
                "the server refuses the request: change the option or the prompt that it names"
                    .to_owned()
            }
            429 => "too many requests: lower concurrency or wait longer between them".to_owned(),
            _ => "the server failed".to_owned(),
        };
        Fault {
            again: matches!(status, 408 | 409 | 425 | 429)
                || (status >= 500 && !matches!(status, 501 | 505)),
            retry_after: header(RETRY_AFTER)
                .and_then(|value| retry_after(value, SystemTime::now())),
            error: RemoteError::Status {
                url: self.url.clone(),
                status,
                attempts,
                advice,
                message,
            },
        }
    }

    /// Makes the fault for a request without a complete answer.
    fn lost(&self, error: &Error, attempts: usize) -> Fault {
        let (connect, whole) = self.limits;
        let message = match error {
            Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                format!("no connection within {connect} s (connect_timeout)")
            }
            Error::Timeout(_) => format!("no complete answer within {whole} s (timeout)"),
            other => self.shown(&other.to_string()),
        };
        Fault {
            again: matches!(
                error,
                Error::Io(_)
                    | Error::Timeout(_)
                    | Error::HostNotFound
                    | Error::ConnectionFailed
                    | Error::ConnectProxyFailed(_)
                    | Error::BodyStalled
                    | Error::Protocol(_)
            ),
            ..Fault::last(RemoteError::Connection {
                url: self.url.clone(),
                attempts,
                message,
            })
        }
    }

    /// Returns the server's message about a failure: a usual field of JSON, or the text.
    fn message(&self, body: &[u8]) -> String {
        let text = String::from_utf8_lossy(body);
        let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        let said = json.as_ref().and_then(|json| {
            let places = ["/error/message", "/error", "/message", "/detail"];
            places.iter().find_map(|place| json.pointer(place))
        });
        match said {
            Some(serde_json::Value::String(said)) => self.shown(said),
            Some(other) => self.shown(&other.to_string()),
            None => self.shown(&text),
        }
    }

    /// Prepares text from outside for an error: on one line, shortened, and without the key. The
    /// key is removed before the text is shortened, so that no part of the key remains.
    pub(crate) fn shown(&self, text: &str) -> String {
        let text = match &self.key {
            Some(key) => key.redact(text),
            None => text.to_owned(),
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let line = words.join(" ");
        line.chars()
            .filter(|character| !character.is_control())
            .take(MOST_MESSAGE)
            .collect()
    }
}

/// Returns the proxy that the environment names, if any. Requests to this machine use no proxy.
fn proxy(url: &str) -> Option<Proxy> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.host()?.trim_matches(['[', ']']);
    let address: Option<std::net::IpAddr> = host.parse().ok();
    match host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        true => None,
        false => Proxy::try_from_env(),
    }
}

/// Reads the wait of a `Retry-After` header: seconds, or the time until an HTTP date. Returns
/// `None` for a past date and any other text.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return match seconds >= 0.0 {
            // Longer than any limit.
            true => Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)),
            false => None,
        };
    }
    httpdate::parse_http_date(value)
        .ok()?
        .duration_since(now)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        let seconds = |value| retry_after(value, now).map(|wait| wait.as_secs_f64());
        assert_eq!(seconds("2"), Some(2.0));
        assert_eq!(seconds(" 0.5 "), Some(0.5));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(30.0));
        assert_eq!(seconds("Sunday, 06-Nov-94 08:49:37 GMT"), Some(30.0));
        assert_eq!(seconds("Sat, 05 Nov 1994 08:49:37 GMT"), None);
        assert_eq!(retry_after("1e300", now), Some(Duration::MAX));
        for nothing in ["", "-1", "soon", "NaN", "-inf"] {
            assert_eq!(retry_after(nothing, now), None, "{nothing}");
        }
    }
}
