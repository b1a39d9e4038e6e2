//! Answers that refuse, or that are not those of a hub.
#![cfg(feature = "download")]

mod common;
mod server;

use std::fs;

use collimate_hub::{HubError, Token, Wanted, Watch};
use common::{files, hub, model, repo_folder};
use server::{At, COMMIT, Reply, Request, Server, Site};

const BIG: &str = "model.safetensors";

fn site() -> Site {
    Site::model(&[(BIG, b"weights"), ("config.json", b"{}")])
}

fn error(
    hook: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static,
    token: Option<&str>,
) -> HubError {
    let server = Server::start(site(), hook);
    let cache = tempfile::tempdir().unwrap();
    let token = token.map(|token| Token::new(token).unwrap());
    let hub = hub(cache.path(), &server.url()).token(token);
    let wanted = Wanted::everything();
    let error = hub
        .folder(&model("org/name"), &wanted, &Watch::default())
        .unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(
        !shown.contains("hf_secret") && !shown.contains("Signature"),
        "{shown}"
    );
    assert!(!error.to_string().contains('\n'), "{error}");
    assert!(!repo_folder(cache.path()).join("refs").exists());
    error
}

fn at_file(request: &Request) -> bool {
    request.path.contains("/resolve/")
}

#[test]
fn refusals_say_what_to_do() {
    let gated = [("X-Error-Code", "GatedRepo")];
    for (status, headers, token, says) in [
        (401, &[][..], None, "set HF_TOKEN"),
        (401, &gated[..], None, "accept the terms on"),
        (
            403,
            &gated[..],
            Some("hf_secret"),
            "with the account of the token",
        ),
        (401, &[][..], Some("hf_secret"), "renew HF_TOKEN"),
        (403, &[][..], Some("hf_secret"), "renew HF_TOKEN"),
        (
            401,
            &[("X-Error-Message", "your token hf_secret is bad")][..],
            Some("hf_secret"),
            "your token [token] is bad",
        ),
    ] {
        let headers: Vec<(String, String)> = headers
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        for only_file in [false, true] {
            let headers = headers.clone();
            let refused = error(
                move |request| {
                    let reply = Reply::Send(status, headers.clone(), "no".to_owned());
                    (!only_file || at_file(request)).then_some(reply)
                },
                token,
            );
            assert!(matches!(refused, HubError::Refused { .. }), "{refused}");
            let shown = refused.to_string();
            assert!(
                shown.contains(says) && shown.contains(&status.to_string()),
                "{shown}"
            );
        }
    }
}

#[test]
fn a_cached_folder_serves_if_the_hub_refuses() {
    let cache = tempfile::tempdir().unwrap();
    let snapshot = repo_folder(cache.path()).join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(snapshot.join("config.json"), "{}").unwrap();
    let server = Server::start(site(), |_| Some(Reply::status(401, &[])));
    let hub = hub(cache.path(), &server.url());
    let name = model(&format!("org/name@{COMMIT}"));
    let wanted = Wanted::new().require("config.json").allow("vocab.json");
    assert_eq!(
        hub.folder(&name, &wanted, &Watch::default()).unwrap(),
        snapshot
    );
    assert_eq!(server.seen().len(), 1);
    let more = wanted.require(BIG);
    assert!(hub.folder(&name, &more, &Watch::default()).is_err());
}

#[test]
fn answers_that_are_not_a_hubs_are_refused() {
    let send = |text: &str| Reply::Send(200, Vec::new(), text.to_owned());
    for (path, text, says) in [
        ("/revision", "<html>", "not a hub's"),
        (
            "/revision",
            r#"{"sha": "main"}"#,
            "sha does not hold a commit",
        ),
        (
            "/revision",
            r#"{"sha": "../../../../../../../../../../../../../../"}"#,
            "sha",
        ),
        ("/revision", "{}", "sha"),
        ("/tree", "{}", "not a hub's"),
        (
            "/tree",
            r#"[{"type": "file", "path": "a", "oid": "x", "size": 1}]"#,
            "SHA-1",
        ),
        (
            "/tree",
            r#"[{"type": "file", "path": "a", "size": -1}]"#,
            "not a hub's",
        ),
    ] {
        let reply = send(text);
        let refused = error(
            move |request| request.path.contains(path).then(|| reply.clone()),
            None,
        );
        assert!(matches!(refused, HubError::Answer { .. }), "{refused}");
        assert!(refused.to_string().contains(says), "{refused}");
    }
}

#[test]
fn a_listing_cannot_write_outside_the_cache() {
    let server_names = [
        "../../../evil",
        "/evil",
        "a/../../evil",
        "a\\\\evil",
        "C:evil",
        "a//b",
    ];
    for name in server_names {
        let oid = "0".repeat(40);
        let text = format!(r#"[{{"type": "file", "path": "{name}", "oid": "{oid}", "size": 0}}]"#);
        let refused = error(
            move |request| {
                let reply = Reply::Send(200, Vec::new(), text.clone());
                request.path.contains("/tree").then_some(reply)
            },
            None,
        );
        assert!(matches!(refused, HubError::Path { .. }), "{refused}");
    }
}

#[test]
fn a_listing_without_end_is_refused() {
    let refused = error(
        |request| {
            let next = format!("<{}>; rel=\"next\"", request.path);
            let headers = vec![("Link".to_owned(), next)];
            let reply = Reply::Send(200, headers, "[]".to_owned());
            request.path.contains("/tree").then_some(reply)
        },
        None,
    );
    assert!(refused.to_string().contains("no end"), "{refused}");
}

#[test]
fn headers_that_contradict_the_listing_are_refused() {
    for (name, value, says) in [
        ("X-Repo-Commit", "f".repeat(40), "instead of"),
        (
            "X-Linked-Etag",
            format!("\"{}\"", "f".repeat(64)),
            "but the list of files has",
        ),
        (
            "X-Linked-Size",
            "8".to_owned(),
            "8 bytes, but the list of files has 7",
        ),
    ] {
        let refused = error(
            move |request| {
                let sha256 = &site().files[BIG].sha256();
                let mut headers = vec![
                    ("X-Repo-Commit".to_owned(), COMMIT.to_owned()),
                    ("X-Linked-Etag".to_owned(), format!("\"{sha256}\"")),
                    ("X-Linked-Size".to_owned(), "7".to_owned()),
                ];
                headers.retain(|(known, _)| known != name);
                headers.push((name.to_owned(), value.clone()));
                let big = at_file(request) && request.path.ends_with(BIG);
                big.then(|| Reply::Send(200, headers, "weights".to_owned()))
            },
            None,
        );
        assert!(matches!(refused, HubError::Answer { .. }), "{refused}");
        assert!(refused.to_string().contains(says), "{refused}");
    }
}

#[test]
fn etags_may_be_weak_plain_or_foreign() {
    let oid = &site().files["config.json"].oid();
    for etag in [
        format!("W/\"{oid}\""),
        format!("\"{oid}\""),
        oid.clone(),
        "\"x-gzip\"".into(),
    ] {
        let server = Server::start(site(), move |request| {
            let headers = vec![("ETag".to_owned(), etag.clone())];
            let small = request.path.ends_with("config.json");
            small.then(|| Reply::Send(200, headers, "{}".to_owned()))
        });
        let cache = tempfile::tempdir().unwrap();
        let hub = hub(cache.path(), &server.url());
        let watch = Watch::default();
        let folder = hub
            .folder(&model("org/name"), &Wanted::everything(), &watch)
            .unwrap();
        assert_eq!(files(&folder).len(), 2);
    }
}

#[test]
fn redirects_without_a_good_target_are_refused() {
    for (target, says) in [
        ("ftp://127.0.0.1/x", "not a web URL"),
        ("file:///etc/passwd", "not a web URL"),
        ("http://user:hf_secret@127.0.0.1/x", "not a web URL"),
        ("/org/name/resolve/loop", "more than 10 times"),
    ] {
        let refused = error(
            move |request| {
                let reply = Reply::status(302, &[("Location", target)]);
                (request.at == At::Hub && at_file(request)).then_some(reply)
            },
            None,
        );
        assert!(matches!(refused, HubError::Redirect { .. }), "{refused}");
        assert!(refused.to_string().contains(says), "{refused}");
    }
}

#[test]
fn a_compressed_file_is_refused() {
    let refused = error(
        |request| {
            let encoding = Reply::With("Content-Encoding".to_owned(), "br".to_owned());
            (request.at == At::Cdn).then_some(encoding)
        },
        None,
    );
    assert!(refused.to_string().contains("encoded as br"), "{refused}");
}

#[test]
fn an_unreachable_hub_is_named_with_the_remedy() {
    let cache = tempfile::tempdir().unwrap();
    let hub = common::closed(cache.path());
    let watch = Watch::default();
    let error = hub
        .folder(&model("org/name"), &Wanted::everything(), &watch)
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("http://127.0.0.1:1/api/models/org/name/revision/main"),
        "{text}"
    );
    assert!(
        text.contains("after 1 attempt") && text.contains("HF_HUB_OFFLINE=1"),
        "{text}"
    );
}
