//! A real browser, driven over the HTTP protocol of WebDriver.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{request, send};

/// Maximum time for anything on the page to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Keys without a character, as WebDriver names them.
pub(crate) const LEFT: &str = "\u{e012}";
pub(crate) const RIGHT: &str = "\u{e014}";
pub(crate) const DOWN: &str = "\u{e015}";
pub(crate) const BACKSPACE: &str = "\u{e003}";
pub(crate) const ESCAPE: &str = "\u{e00c}";
pub(crate) const TAB: &str = "\u{e004}";
pub(crate) const ENTER: &str = "\u{e007}";

/// A browser with one session.
pub(crate) struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// Starts the browser for a test. Without chromedriver, reports that the test is skipped and returns
    /// `None`.
    ///
    /// The report goes past the macros of the standard library, because a test that passes shows
    /// nothing of their output. `.ci/run` installs no browser, so a missing browser is not an error
    /// there either.
    pub(crate) fn start_or_skip(test: &str) -> Option<Self> {
        let started = Self::start();
        if started.is_none() {
            let line = format!(
                "SKIPPED {test}: there is no chromedriver (apt-get install chromium chromium-driver)\n"
            );
            // A closed standard error does not matter to the test.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        started
    }

    /// Starts the browser; `None` if there is no chromedriver.
    fn start() -> Option<Self> {
        let probe = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        let driver = Command::new("chromedriver")
            .arg(format!("--port={}", address.port()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self {
            driver,
            address,
            session: String::new(),
            _profile: profile,
        };
        browser.wait_for("chromedriver", |_| {
            std::net::TcpStream::connect(address).is_ok()
        });
        let profile = format!("--user-data-dir={}", browser._profile.path().display());
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--window-size=1200,900",
            &profile,
        ];
        let options = json!({ "args": args });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let made = browser.call("POST", "/session", &wanted);
        browser.session = made["sessionId"].as_str().unwrap().to_owned();
        Some(browser)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let headers = [("content-type", "application/json")];
        let body = match method {
            "GET" | "DELETE" => String::new(),
            _ => body.to_string(),
        };
        let bytes = request(method, self.address, path, &headers, body.as_bytes());
        let answer = send(self.address, &bytes);
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        answer.json()["value"].clone()
    }

    fn of_session(&self, method: &str, path: &str, body: &Value) -> Value {
        self.call(method, &format!("/session/{}{path}", self.session), body)
    }

    pub(crate) fn open(&self, url: &str) {
        self.of_session("POST", "/url", &json!({ "url": url }));
    }

    pub(crate) fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height });
        self.of_session("POST", "/window/rect", &size);
    }

    /// Opens a second tab and switches to it. Returns the names of the first and the second tab.
    pub(crate) fn new_tab(&self) -> [String; 2] {
        let first = self.of_session("GET", "/window", &Value::Null);
        let second = self.of_session("POST", "/window/new", &json!({ "type": "tab" }));
        let second = second["handle"].as_str().unwrap().to_owned();
        self.go_to(&second);
        [first.as_str().unwrap().to_owned(), second]
    }

    pub(crate) fn go_to(&self, tab: &str) {
        self.of_session("POST", "/window", &json!({ "handle": tab }));
    }

    /// Evaluates an expression in the page.
    pub(crate) fn value(&self, expression: &str) -> Value {
        let script = json!({ "script": format!("return ({expression});"), "args": [] });
        self.of_session("POST", "/execute/sync", &script)
    }

    pub(crate) fn text(&self, id: &str) -> String {
        let expression = format!("document.getElementById('{id}').innerText");
        self.value(&expression).as_str().unwrap().trim().to_owned()
    }

    pub(crate) fn press(&self, key: &str) {
        let strokes: Vec<Value> = ["keyDown", "keyUp"]
            .iter()
            .map(|kind| json!({ "type": kind, "value": key }))
            .collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.of_session("POST", "/actions", &json!({ "actions": [keyboard] }));
    }

    /// Returns the errors that the page has logged.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.of_session("POST", "/se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().unwrap().iter();
        entries
            .map(|entry| entry["message"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Waits until a condition holds.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !holds(self) {
            assert!(begin.elapsed() < PATIENCE, "never came: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.of_session("DELETE", "", &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
