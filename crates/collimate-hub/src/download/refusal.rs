//! Errors for requests without success.

use std::io;
use std::time::SystemTime;

use ureq::http::header::RETRY_AFTER;
use ureq::http::{HeaderMap, Response};
use ureq::{Body, Error, Timeout};

use super::client::{CONNECT, Client, Subject, text};
use super::fault::{Fault, retry_after};
use super::url::shown;
use crate::HubError;

/// Number of bytes of an error's body that are read for the message.
const MOST_ERROR: u64 = 16 << 10;
/// Number of characters of a server's message that an error shows.
const MOST_MESSAGE: usize = 300;

impl Client<'_> {
    pub(super) fn interrupted(&self) -> HubError {
        HubError::Interrupted {
            repo: self.repo.to_string(),
        }
    }

    /// Makes the fault for a request without a complete answer.
    pub(super) fn lost(&self, url: &str, error: &Error, attempts: usize) -> Fault {
        if self.stop.is_asked() {
            return Fault::last(self.interrupted());
        }
        let problem = match error {
            Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                format!("no connection within {} s", CONNECT.as_secs())
            }
            Error::Timeout(_) => {
                format!("the server was silent for {} s", self.timeout.as_secs_f64())
            }
            other => self.line(&other.to_string()),
        };
        let passing = matches!(
            error,
            Error::Io(_)
                | Error::Timeout(_)
                | Error::ConnectionFailed
                | Error::ConnectProxyFailed(_)
                | Error::BodyStalled
                | Error::Protocol(_)
        );
        // No server is there, and a wait of seconds will not bring one.
        let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        let absent = matches!(error, Error::Io(error) if refused(error));
        Fault {
            again: passing && !absent,
            ..Fault::last(HubError::Network {
                url: shown(url),
                attempts,
                problem,
            })
        }
    }

    /// Makes the fault for a status other than success.
    pub(super) fn refused(
        &self,
        url: &str,
        trusted: bool,
        subject: Subject<'_>,
        attempts: usize,
        mut response: Response<Body>,
    ) -> Fault {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let message = self.message(&headers, response.body_mut());
        let code = text(&headers, "x-error-code").unwrap_or_default();
        let error = match (trusted, status, code) {
            (true, 401 | 403, _) => self.no_access(status, code, message),
            (true, _, "RevisionNotFound") => HubError::NoRevision {
                repo: self.repo.repository(),
                revision: self.repo.revision().to_owned(),
            },
            (true, 404, code) => self.not_found(code, subject),
            _ => HubError::Status {
                url: shown(url),
                status,
                attempts,
                message,
            },
        };
        // A signed URL of another host expires with 403. A repetition gets a fresh URL.
        let expired = !trusted && status == 403;
        let passing = matches!(status, 408 | 425 | 429)
            || (status >= 500 && !matches!(status, 501 | 505))
            || expired;
        Fault {
            again: passing,
            retry_after: text(&headers, RETRY_AFTER.as_str())
                .and_then(|value| retry_after(value, SystemTime::now())),
            error,
        }
    }

    fn no_access(&self, status: u16, code: &str, message: String) -> HubError {
        let page = self.page();
        let advice = match (code, &self.token) {
            ("GatedRepo", None) => {
                format!("the repository is gated: accept the terms on {page} and set HF_TOKEN")
            }
            ("GatedRepo", Some(_)) => {
                format!(
                    "the repository is gated: accept the terms on {page} with the account of the token"
                )
            }
            (_, None) => "the repository is private or gated, or does not exist: check the name, \
                          accept the terms of a gated repository, and set HF_TOKEN"
                .to_owned(),
            (_, Some(_)) => format!(
                "the token is not valid or has no access to {page}: renew HF_TOKEN, or accept the \
                 terms of a gated repository"
            ),
        };
        HubError::Refused {
            repo: self.repo.to_string(),
            status,
            advice,
            message,
        }
    }

    fn not_found(&self, code: &str, subject: Subject<'_>) -> HubError {
        match (code, subject) {
            ("EntryNotFound" | "", Subject::File(file)) => HubError::NoFile {
                repo: self.repo.to_string(),
                wanted: vec![file.to_owned()],
                has: vec!["the file in the list of files, but not the file itself".to_owned()],
            },
            _ => HubError::NoRepository {
                endpoint: self.endpoint.to_owned(),
                kind: self.repo.kind().noun(),
                repo: self.repo.repository(),
            },
        }
    }

    pub(super) fn no_hub(&self, url: &str, problem: String) -> HubError {
        HubError::Answer {
            url: shown(url),
            problem: self.line(&problem),
        }
    }

    /// Returns the server's message about a failure: a header, a field of JSON, or the text.
    fn message(&self, headers: &HeaderMap, body: &mut Body) -> String {
        if let Some(message) = text(headers, "x-error-message") {
            return self.line(message);
        }
        // If the message does not arrive, the status is enough.
        let body = body.with_config().limit(MOST_ERROR).read_to_vec();
        let body = body.unwrap_or_default();
        let json: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        match json.as_ref().and_then(|json| json.get("error")) {
            Some(serde_json::Value::String(said)) => self.line(said),
            _ if json.is_some() => self.line(&String::from_utf8_lossy(&body)),
            // A page of HTML says nothing in 300 characters.
            _ if body.trim_ascii_start().starts_with(b"<") => String::new(),
            _ => self.line(&String::from_utf8_lossy(&body)),
        }
    }

    /// Prepares text from outside for an error: on one line, without the token, and shortened.
    pub(super) fn line(&self, text: &str) -> String {
        let text = match &self.token {
            Some(token) => token.redact(text),
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
