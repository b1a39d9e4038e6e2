//! Answers to requests.

use oxhttp::model::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use oxhttp::model::{Body, HeaderName, HeaderValue, Response, StatusCode, Version};
use serde::Serialize;
use serde_json::json;

/// An answer to a request, before it is sent.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    kind: &'static str,
    body: Vec<u8>,
    further: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    /// Answers with a value as JSON.
    pub(super) fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self {
                status: StatusCode::OK,
                kind: "application/json",
                body,
                further: Vec::new(),
            },
            Err(error) => Self::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    /// Answers with an error as JSON, in one sentence.
    pub(super) fn error(status: StatusCode, text: &str) -> Self {
        Self {
            status,
            ..Self::json(&json!({ "error": text }))
        }
    }

    /// Answers with a page, and with the policy for the content that it may load.
    pub(super) fn page(text: String, policy: &str) -> Self {
        let policy = HeaderValue::from_str(policy);
        Self {
            status: StatusCode::OK,
            kind: "text/html; charset=utf-8",
            body: text.into_bytes(),
            further: policy
                .map(|policy| (CONTENT_SECURITY_POLICY, policy))
                .into_iter()
                .collect(),
        }
    }

    /// Refuses a method.
    pub(super) fn method(allowed: &'static str) -> Self {
        let mut reply = Self::error(
            StatusCode::METHOD_NOT_ALLOWED,
            &format!("this address accepts only {allowed}"),
        );
        reply
            .further
            .push((ALLOW, HeaderValue::from_static(allowed)));
        reply
    }

    /// Returns the answer with the headers that all answers have.
    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        // The server cannot close a connection by a header. A client of version 1.0 closes the
        // connection itself.
        *response.version_mut() = Version::HTTP_10;
        let headers = response.headers_mut();
        let fixed = [
            (CONTENT_TYPE, self.kind),
            (CACHE_CONTROL, "no-store"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (
                HeaderName::from_static("cross-origin-resource-policy"),
                "same-origin",
            ),
            (
                HeaderName::from_static("cross-origin-opener-policy"),
                "same-origin",
            ),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.extend(
            self.further
                .into_iter()
                .map(|(name, value)| (Some(name), value)),
        );
        response
    }
}
