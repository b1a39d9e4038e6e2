//! A judge's server that refuses some questions, or fails halfway.

use super::answers::reply;
use super::*;

const ITEMS: usize = 20;

fn write(folder: &Path, file: &str, says: &str) {
    let row = |index: usize| {
        answer(
            &format!("Tell about {index}."),
            &format!("{index} {says}"),
            "c",
        )
    };
    let all: Vec<Value> = (0..ITEMS).map(row).collect();
    rows(&folder.join(file), &all);
}

fn judge(folder: &Path, server: &Server, ask: &str) -> std::process::Output {
    let url = server.url();
    let arguments = [
        "answers",
        "--a",
        "a.jsonl",
        "--b",
        "b.jsonl",
        "--judge-url",
        &url,
        "--judge-model",
        "m",
        "--ask",
        ask,
        "--concurrency",
        "1",
        "--judge-cache",
        "cache.jsonl",
        "--out",
        "out",
    ];
    let _ = fs::remove_dir_all(folder.join("out"));
    run("eval", folder, &arguments)
}

fn asks(request: &Request, what: &str) -> bool {
    server::prompt(request).contains(what)
}

#[test]
fn one_refusal_leaves_one_judgement_out() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "a.jsonl", "is happy");
    write(folder, "b.jsonl", "is sad");
    for ask in ["single", "pairwise"] {
        let _ = fs::remove_file(folder.join("cache.jsonl"));
        let server = Server::start(|request| match asks(request, "7 is happy") {
            true => Reply::status(400),
            false => reply("Fine. [[A]] Rating: [[7]]"),
        });
        let output = judge(folder, &server, ask);
        let shown = text(&output.stdout);
        assert!(output.status.success(), "{}", text(&output.stderr));
        // Both orders, or both answers, of 7 and of 17.
        let refused = if ask == "pairwise" { 4 } else { 2 };
        let kept = 2 * ITEMS - refused;
        let says = format!("{refused} refused, the first: {}", server.url());
        assert!(shown.contains(&says), "{shown}");
        assert!(shown.contains("status 400 on purpose"), "{shown}");
        assert_eq!(lines(&folder.join("cache.jsonl")).len(), kept);
        assert_eq!(server.requests(), 2 * ITEMS);
        let all = &json(&folder.join("out/summary.json"))["groups"][0];
        let by = if ask == "pairwise" {
            "side_by_side"
        } else {
            "by_score"
        };
        assert_eq!(all[by]["counts"]["undecided"], 2, "{all}");
        // The next start asks only about these.
        assert!(judge(folder, &server, ask).status.success());
        assert_eq!(server.requests(), 2 * ITEMS + refused);
    }
}

#[test]
fn what_was_answered_before_an_outage_is_not_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "a.jsonl", "is happy");
    write(folder, "b.jsonl", "is sad");
    let server = Server::start(|request| match request.number {
        6 => Reply::status(401),
        _ => reply("Fine. Rating: [[7]]"),
    });
    let output = judge(folder, &server, "single");
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("error: the judge: ") && error.contains("401"),
        "{error}"
    );
    // The next request may already be under way when the error is seen; it is waited for.
    let kept = lines(&folder.join("cache.jsonl")).len();
    assert!((6..=7).contains(&kept), "{kept}");
    assert_eq!(server.requests(), kept + 1);
    assert!(judge(folder, &server, "single").status.success());
    assert_eq!(server.requests(), 2 * ITEMS + 1);
}
