//! Tests the server over real sockets: allowed callers, refusals, hostile texts.
#![cfg(feature = "server")]

#[path = "common/http.rs"]
mod http;

#[path = "common/running.rs"]
mod running;

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use collimate_label::{Ended, LabelError, Server};
use http::{post, request, send};
use running::{desk, page, plain};
use serde_json::json;

#[test]
fn a_pair_is_decided_once_and_taken_back() {
    let running = plain();
    let first = running.state();
    assert_eq!((&first["done"], &first["total"]), (&json!(0), &json!(9)));
    let answer = running.decide(&first["token"], "left");
    assert_eq!(answer.status, 200);
    let second = answer.json();
    assert_eq!(second["numbers"]["labels"], 1);
    assert_ne!(second["pair"], first["pair"]);
    // The second tab still shows the first pair.
    let stale = running.decide(&first["token"], "right");
    assert_eq!(stale.status, 409);
    assert!(
        stale.json()["error"]
            .as_str()
            .unwrap()
            .contains("another tab")
    );
    assert_eq!(running.state(), second);
    let undo = json!({ "labeller": "anna", "token": second["token"] });
    let back = running.post("/api/undo", &undo).json();
    assert_eq!(back["pair"], first["pair"]);
    assert_eq!(running.post("/api/undo", &undo).status, 409);
    let none = running.post(
        "/api/undo",
        &json!({ "labeller": "anna", "token": back["token"] }),
    );
    assert_eq!(none.status, 400);
    assert!(none.body.contains("nothing is left to take back"));
}

#[test]
fn the_whole_labelling_ends_with_the_numbers() {
    let running = plain();
    let mut state = running.state();
    for choice in ["left", "right", "tie", "skip"].iter().cycle() {
        if state["pair"].is_null() {
            break;
        }
        state = running.decide(&state["token"], choice).json();
    }
    assert_eq!(state["done"], state["total"]);
    assert_eq!(state["next"], "collimate ser");
    assert_eq!(running.decide(&state["token"], "left").status, 400);
    running.post("/api/finish", &json!({ "labeller": "anna" }));
    let (address, key) = (running.address, running.key.clone());
    let (desk, ended) = running.server.wait(|| false);
    assert_eq!(ended, Ended::Finished);
    let kept = desk.unwrap().session().labels().len();
    assert_eq!(state["numbers"]["labels"], kept);
    let late = post(address, &key, "/api/state", &json!({ "labeller": "anna" }));
    assert_eq!(late.status, 503);
}

#[test]
fn another_host_or_page_is_refused() {
    let running = plain();
    let port = running.address.port();
    for host in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("LOCALHOST:{port}"),
        format!("[::1]:{port}"),
    ] {
        assert_eq!(running.with(&[("host", &host)]).status, 200, "{host}");
        let origin = format!("http://{host}");
        assert_eq!(running.with(&[("origin", &origin)]).status, 200, "{origin}");
    }
    for host in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        "127.0.0.1".to_owned(),
        "127.0.0.1:1".to_owned(),
        format!("127.0.0.2:{port}"),
    ] {
        assert_eq!(running.with(&[("host", &host)]).status, 403, "{host}");
        let page = request("GET", running.address, "/", &[("host", &host)], b"");
        assert_eq!(send(running.address, &page).status, 403, "{host}");
    }
    for origin in [
        "http://evil.example".to_owned(),
        "null".to_owned(),
        String::new(),
        format!("https://127.0.0.1:{port}"),
        "http://127.0.0.1:1".to_owned(),
        format!("http://127.0.0.1:{port}@evil.example"),
    ] {
        assert_eq!(running.with(&[("origin", &origin)]).status, 403, "{origin}");
    }
    for site in ["cross-site", "same-site", "none"] {
        assert_eq!(
            running.with(&[("sec-fetch-site", site)]).status,
            403,
            "{site}"
        );
    }
    assert_eq!(
        running.with(&[("sec-fetch-site", "same-origin")]).status,
        200
    );
    for key in [
        "",
        "0",
        &running.key[1..],
        &running.key.to_uppercase().replace('0', "1"),
    ] {
        assert_eq!(
            running.with(&[("x-collimate-key", key)]).status,
            403,
            "{key}"
        );
    }
    // Content types that a form of another page can send.
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        assert_eq!(
            running.with(&[("content-type", kind)]).status,
            415,
            "{kind}"
        );
    }
    assert_eq!(running.state()["done"], 0);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let running = plain();
    let address = running.address;
    for (method, path, status) in [
        ("GET", "/favicon.ico", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/labels.jsonl", 404),
        ("POST", "/api", 404),
        ("POST", "/", 405),
        ("GET", "/api/state", 405),
        ("OPTIONS", "/api/decide", 405),
        ("DELETE", "/api/undo", 405),
    ] {
        let answer = send(address, &request(method, address, path, &[], b""));
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(
            answer.header("allow").is_some(),
            status == 405,
            "{}",
            answer.head
        );
    }
    let token = running.state()["token"].clone();
    let good = json!({ "labeller": "anna", "token": token, "choice": "left", "seconds": 1.0 });
    for (key, value) in [
        ("choice", json!("best")),
        ("choice", json!(null)),
        ("seconds", json!(-1)),
        ("seconds", json!("1")),
        ("labeller", json!("")),
        ("labeller", json!("a\u{202e}b")),
        ("token", json!(7)),
        ("pair", json!(3)),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        let answer = running.post("/api/decide", &bad);
        assert_eq!(answer.status, 400, "{bad}: {}", answer.body);
    }
    for body in ["", "{", "[]", "\u{0}", "{\"labeller\":\"anna\"} x"] {
        let headers = [
            ("content-type", "application/json"),
            ("x-collimate-key", &running.key),
        ];
        let bytes = request("POST", address, "/api/state", &headers, body.as_bytes());
        assert_eq!(send(address, &bytes).status, 400, "{body}");
    }
    let long = json!({ "labeller": "x".repeat(1_000_000) });
    assert_eq!(running.post("/api/state", &long).status, 413);
    assert_eq!(running.state()["done"], 0);
}

#[test]
fn connections_that_say_nothing_hinder_nobody() {
    let running = plain();
    let mut silent: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(running.address).unwrap())
        .collect();
    for stream in &mut silent[..10] {
        stream
            .write_all(b"POST /api/decide HTTP/1.1\r\ncontent-le")
            .unwrap();
    }
    assert_eq!(running.state()["done"], 0);
}

#[test]
fn the_page_forbids_everything_but_its_own_script() {
    let running = plain();
    let get = || {
        send(
            running.address,
            &request("GET", running.address, "/", &[], b""),
        )
    };
    let page = get();
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "connect-src 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    let nonce = policy.split("script-src 'nonce-").nth(1).unwrap();
    let nonce = &nonce[..32];
    assert!(policy.contains(&format!("style-src 'nonce-{nonce}'")));
    assert_eq!(
        page.body
            .matches(&format!("<script nonce=\"{nonce}\">"))
            .count(),
        1
    );
    assert_eq!(page.body.matches("<script").count(), 1);
    assert_eq!(page.body.matches("<style").count(), 1);
    assert_ne!(get().header("content-security-policy").unwrap(), policy);
    assert!(
        page.body
            .contains("data-labeller=\"&quot;&gt;&lt;script&gt;")
    );
    assert!(!page.body.contains("{{"));
    assert!(!page.body.contains(&running.key));
    for header in ["cache-control", "referrer-policy", "x-content-type-options"] {
        assert!(page.header(header).is_some(), "{header}");
    }
    // The page loads nothing from elsewhere.
    for elsewhere in ["https://", "http://", "src=", "@import", "url("] {
        assert!(!page.body.contains(elsewhere), "{elsewhere}");
    }
}

#[test]
fn only_this_computer_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let rows = || vec![("q".into(), "a".to_owned(), "b".to_owned())];
    for ip in [[0, 0, 0, 0], [192, 168, 0, 7]] {
        let error = Server::start((ip, 0).into(), desk(folder.path(), rows()), page()).unwrap_err();
        assert!(matches!(error, LabelError::NotLoopback(_)), "{error}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = Server::start(address, desk(folder.path(), rows()), page()).unwrap_err();
    assert!(matches!(error, LabelError::Port { .. }), "{error}");
    assert!(error.to_string().contains("give another --port"), "{error}");
}

#[test]
fn a_wish_to_stop_ends_the_server() {
    let running = plain();
    running.decide(&running.state()["token"], "tie");
    let (desk, ended) = running.server.wait(|| true);
    assert_eq!(ended, Ended::Stopped);
    assert_eq!(desk.unwrap().session().summary().all.ties, 1);
}
