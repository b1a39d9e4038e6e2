//! Two files of answers, by rules and by servers.

use super::*;

/// Writes two files over q1 to q3, with answers that have no partner. The rule `happy` counts
/// different words of joy, up to 8, in texts of distinct groups of words: 3/8, 0, 4/8 against 0, 0,
/// 5/8.
pub(crate) fn two_files(folder: &Path) {
    rows(
        &folder.join("a.jsonl"),
        &[
            answer("q1", "happy love fun", "x"),
            answer("only a", "what is this", "x"),
            answer("q2", "a b c", "x"),
            answer("q3", "happy love fun joy", "y"),
            answer("q1", "once more", "x"),
        ],
    );
    // A model's answers in the format of AlpacaEval.
    let b = json!([
        {"instruction": "q3", "output": "happy smile laugh joy fun", "generator": "m"},
        {"instruction": "q1", "output": "x y z"},
        {"instruction": "q2", "output": "u v w"},
        {"instruction": "only b", "output": "u v w"},
    ]);
    fs::write(folder.join("b.json"), b.to_string()).unwrap();
}

#[test]
fn answers_by_a_rule() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    two_files(folder);
    let arguments = [
        "answers",
        "--a",
        "a.jsonl",
        "--b",
        "b.json",
        "--judge-rule",
        "happy",
    ];
    let output = succeed(
        "eval",
        folder,
        &[&arguments[..], &["--out", "out"]].concat(),
    );
    let shown = text(&output.stdout);
    let words: Vec<&str> = shown.split_whitespace().collect();
    let row = "all 1 (33.3 %) 1 (33.3 %) 1 (33.3 %) 0 0.500";
    assert!(words.join(" ").contains(row), "{shown}");
    assert!(
        shown.contains("not compared: 2 answers of a and 1 of b"),
        "{shown}"
    );

    let summary = json(&folder.join("out/summary.json"));
    let input = json!({
        "answers_a": 5, "answers_b": 4, "questions_a": 4, "questions_b": 4, "questions": 3,
        "pairs": 3, "alone_a": 2, "alone_b": 1,
    });
    assert_eq!(summary["input"], input);
    let groups = summary["groups"].as_array().unwrap();
    let names: Vec<&str> = groups
        .iter()
        .map(|group| group["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["all", "x", "y"]);
    let all = &groups[0];
    let counts = json!({"win": 1, "tie": 1, "lose": 1, "undecided": 0});
    assert_eq!(all["by_score"]["counts"], counts);
    near(&all["by_score"]["win_rate"]["estimate"], 0.5);
    near(&all["a"]["score"]["estimate"], 7.0 / 24.0);
    near(&all["b"]["score"]["estimate"], 5.0 / 24.0);
    // 14, 5 and 18 characters against 5, 5 and 25.
    near(&all["a"]["characters"], 37.0 / 3.0);
    near(&all["b"]["characters"], 35.0 / 3.0);
    near(&groups[1]["by_score"]["win_rate"]["estimate"], 0.75);
    near(&groups[2]["by_score"]["win_rate"]["estimate"], 0.0);
    assert!(all["side_by_side"].is_null() && summary["position_bias"].is_null());
    // The answers have the same order by length and by score.
    near(&summary["score_and_length"]["a"]["spearman"], 1.0);

    let judged = lines(&folder.join("out/judgements.jsonl"));
    let outcomes: Vec<&Value> = judged.iter().map(|row| &row["by_score"]).collect();
    assert_eq!(outcomes, ["win", "tie", "lose"]);
    near(&judged[2]["score_b"], 0.625);
    let report = fs::read_to_string(folder.join("out/report.md")).unwrap();
    assert!(report.contains("## Who wins by score") && report.contains("plots/categories.svg"));

    // From the other side, wins are losses.
    let swapped = [
        "answers",
        "--a",
        "b.json",
        "--b",
        "a.jsonl",
        "--judge-rule",
        "happy",
    ];
    succeed(
        "eval",
        folder,
        &[&swapped[..], &["--out", "swapped"]].concat(),
    );
    let other = json(&folder.join("swapped/summary.json"));
    near(&other["groups"][0]["b"]["score"]["estimate"], 7.0 / 24.0);
    // Here 3/8 is a tie with 0, and so is 1/8.
    let wide = [&arguments[..], &["--tie-within", "0.4", "--out", "wide"]].concat();
    succeed("eval", folder, &wide);
    let ties = &json(&folder.join("wide/summary.json"))["groups"][0]["by_score"]["counts"]["tie"];
    assert_eq!(*ties, 3);
    // Results are not overwritten.
    let again = run(
        "eval",
        folder,
        &[&arguments[..], &["--out", "out"]].concat(),
    );
    assert!(text(&again.stderr).contains("--out out holds other results"));
}

/// A judge that likes answers called good: alone it gives 8 or 2; side by side it prefers the first
/// one if none or both are good.
pub(crate) fn judged(request: &Request) -> Reply {
    let question = server::prompt(request);
    let after = |start: &str, end: &str| {
        let rest = question.split_once(start).map(|(_, rest)| rest)?;
        Some(rest.split_once(end)?.0.contains("good"))
    };
    let first = after(
        "[The Start of Assistant A's Answer]",
        "[The End of Assistant A's Answer]",
    );
    let second = after(
        "[The Start of Assistant B's Answer]",
        "[The End of Assistant B's Answer]",
    );
    let says = match (first, second) {
        (Some(false), Some(true)) => "B is better. [[B]]",
        (Some(_), Some(_)) => "A is better. [[A]]",
        _ if question.contains("good") => "Fine. Rating: [[8]]",
        _ => "No. Rating: [[2]]",
    };
    reply(says)
}

pub(crate) fn reply(text: &str) -> Reply {
    let message = json!({"role": "assistant", "content": text});
    let choice = json!({"index": 0, "finish_reason": "stop", "message": message});
    let usage = json!({"prompt_tokens": 1, "completion_tokens": 1});
    Reply::good(&json!({"choices": [choice], "usage": usage}))
}

fn duels(folder: &Path) {
    let of = |answers: [&str; 4]| -> Vec<Value> {
        let rows = answers.iter().enumerate();
        rows.map(|(index, text)| answer(&format!("q{index}"), text, "c"))
            .collect()
    };
    rows(
        &folder.join("a.jsonl"),
        &of(["a good one", "plain", "bad", "same"]),
    );
    rows(
        &folder.join("b.jsonl"),
        &of(["bad", "simple", "good", "same"]),
    );
}

#[test]
fn answers_by_a_server_alone_and_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    duels(folder);
    let server = Server::start(judged);
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
        "--concurrency",
        "2",
        "--judge-cache",
        "cache.jsonl",
    ];
    let output = succeed(
        "eval",
        folder,
        &[&arguments[..], &["--out", "out"]].concat(),
    );
    let shown = text(&output.stdout);
    assert!(
        shown.contains("8 of 8 judgements parsed (100.0 %); 7 new"),
        "{shown}"
    );
    let summary = json(&folder.join("out/summary.json"));
    let all = &summary["groups"][0];
    // Good against bad, plain against simple, bad against good, and the same.
    let counts = json!({"win": 1, "tie": 2, "lose": 1, "undecided": 0});
    assert_eq!(all["by_score"]["counts"], counts);
    assert_eq!(all["side_by_side"]["counts"], counts);
    near(&all["a"]["score"]["estimate"], 3.5);
    let bias = &summary["position_bias"];
    // Equal answers are not shown; between the plain ones only the position decides.
    assert_eq!(
        (&bias["consistent"], &bias["first_shown"]),
        (&json!(2), &json!(1))
    );
    near(&bias["consistency_rate"], 2.0 / 3.0);
    // Seven different answers alone, three pairs in both orders.
    assert_eq!(server.requests(), 7 + 6);
    assert!(server.peak() <= 2);
    let judged = lines(&folder.join("out/judgements.jsonl"));
    assert_eq!(judged[0]["side_by_side"]["outcome"], "win");
    assert_eq!(judged[0]["votes_a"][0]["text"], "Fine. Rating: [[8]]");

    // The cache knows all judgements, whatever is asked.
    let again = [&arguments[..], &["--ask", "pairwise", "--out", "again"]].concat();
    succeed("eval", folder, &again);
    assert_eq!(server.requests(), 7 + 6);
    let again = json(&folder.join("again/summary.json"));
    assert_eq!(again["groups"][0]["side_by_side"], all["side_by_side"]);
    assert!(again["groups"][0]["by_score"].is_null());
}

#[test]
fn a_judge_that_cannot_be_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    duels(folder);
    let server = Server::start(|_| reply("Once upon a time"));
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
    ];
    let output = run("eval", folder, &arguments);
    let error = text(&output.stderr);
    assert!(!output.status.success());
    let error = error.lines().last().unwrap();
    for part in [
        "0 of",
        "(0.0 %)",
        "at least 50.0 %",
        "--min-parse-rate",
        "Once upon a time",
    ] {
        assert!(error.contains(part), "{part:?}: {error}");
    }
    // No judgement can be parsed, and this was allowed: no score, no outcome.
    let lenient = ["--min-parse-rate", "0", "--out", "out"];
    succeed("eval", folder, &[&arguments[..], &lenient].concat());
    let all = &json(&folder.join("out/summary.json"))["groups"][0];
    assert_eq!(all["by_score"]["counts"]["undecided"], 4);
    // Equal answers are a tie without a judge.
    assert_eq!(all["side_by_side"]["counts"]["tie"], 1);
    assert!(all["a"]["score"].is_null());
}

#[test]
fn a_key_goes_to_the_server_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    duels(folder);
    let server = Server::start(|request| match request.authorization.as_deref() {
        Some("Bearer a-secret") => judged(request),
        _ => Reply::status(401),
    });
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
        "--judge-key-env",
        "EVAL_TEST_KEY",
        "--out",
        "out",
    ];
    let with_key = |key: &str| {
        let mut command = common::command("eval");
        let command = command
            .args(arguments)
            .current_dir(folder)
            .env("EVAL_TEST_KEY", key);
        command.output().unwrap()
    };
    let wrong = with_key("wrong-secret");
    let error = text(&wrong.stderr);
    assert!(!wrong.status.success() && error.contains("401") && !error.contains("wrong-secret"));
    assert!(with_key("a-secret").status.success());
    for (path, bytes) in common::files(&folder.join("out")) {
        assert!(!text(&bytes).contains("a-secret"), "{}", path.display());
    }
    let missing = run("eval", folder, &arguments[..11]);
    assert!(text(&missing.stderr).contains("EVAL_TEST_KEY"));
}
