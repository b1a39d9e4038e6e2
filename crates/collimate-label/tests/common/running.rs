//! A running server, for tests over real sockets. No test file uses all of it.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::path::Path;

use collimate_core::Prompt;
use collimate_label::{Desk, Page, PairSet, Server, Session, SessionOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{Answer, parts, post, request, send};

/// A running server over the given pairs.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    pub(crate) folder: TempDir,
}

pub(crate) const LOCAL: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

pub(crate) fn page() -> Page {
    Page {
        labeller: "\"><script>alert(1)</script>".to_owned(),
        next: "collimate ser".to_owned(),
        ceiling: Some("--ceiling".to_owned()),
    }
}

pub(crate) fn desk(folder: &Path, rows: Vec<(Prompt, String, String)>) -> Desk {
    let rows = rows.into_iter().map(|(p, a, b)| (p, a.into(), b.into()));
    let session = Session::new(PairSet::new(rows), SessionOptions::default()).unwrap();
    Desk::open(session, &folder.join("labels.jsonl")).unwrap().0
}

pub(crate) fn start(rows: Vec<(Prompt, String, String)>) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(LOCAL.into(), desk(folder.path(), rows), page()).unwrap();
    let (address, key) = parts(&server.url());
    Running {
        server,
        address,
        key,
        folder,
    }
}

pub(crate) fn plain() -> Running {
    start(
        (0..8)
            .map(|i| (format!("q {i}").into(), format!("a {i}"), format!("b {i}")))
            .collect(),
    )
}

impl Running {
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        post(self.address, &self.key, path, body)
    }

    pub(crate) fn state(&self) -> Value {
        let answer = self.post("/api/state", &json!({ "labeller": "anna" }));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    pub(crate) fn decide(&self, token: &Value, choice: &str) -> Answer {
        let body = json!({ "labeller": "anna", "token": token, "choice": choice, "seconds": 1.5 });
        self.post("/api/decide", &body)
    }

    /// Returns the answer to a state request whose headers are the page's, replaced or extended by
    /// the given ones.
    pub(crate) fn with(&self, headers: &[(&str, &str)]) -> Answer {
        let mut all = vec![
            ("content-type", "application/json"),
            ("x-collimate-key", self.key.as_str()),
        ];
        all.retain(|(name, _)| !headers.iter().any(|(other, _)| other == name));
        all.extend(headers);
        let bytes = request(
            "POST",
            self.address,
            "/api/state",
            &all,
            br#"{"labeller":"anna"}"#,
        );
        send(self.address, &bytes)
    }
}
