//! The example `eval`: its numbers, what it keeps, and what it refuses.

mod common;
#[path = "../crates/collimate-remote/tests/server/mod.rs"]
mod server;

use std::fs;
use std::path::Path;

use common::{fixture, json, run, succeed, text, write_rows};
use serde_json::{Value, json};
use server::{Reply, Request, Server};

/// The rows of a file of JSON lines.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn rows(path: &Path, rows: &[Value]) {
    let rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    write_rows(path, &rows);
}

#[track_caller]
fn near(value: &Value, expected: f64) {
    let value = value.as_f64().unwrap_or(f64::NAN);
    assert!((value - expected).abs() < 1e-6, "{value} {expected}");
}

fn answer(prompt: &str, completion: &str, category: &str) -> Value {
    json!({"prompt": prompt, "completion": completion, "category": category})
}

/// Fails unless the command ends with one line of error that holds all of `says` and leaves no `out`.
#[track_caller]
fn refused(folder: &Path, arguments: &[&str], says: &[&str]) {
    let mut all = arguments.to_vec();
    all.extend(["--out", "out"]);
    let output = run("eval", folder, &all);
    let stderr = text(&output.stderr);
    assert!(!output.status.success(), "{all:?}");
    assert_eq!(stderr.lines().count(), 1, "{all:?}: {stderr}");
    assert!(stderr.starts_with("error: "), "{all:?}: {stderr}");
    for part in says {
        assert!(
            stderr.contains(part),
            "{part:?} is not in: {all:?}: {stderr}"
        );
    }
    assert!(!folder.join("out").exists(), "{all:?} left something");
}

/// Two files over q1 to q3, with answers that have no partner. The rule `happy` counts different words
/// of joy, up to 8, in texts of distinct groups of words: 3/8, 0, 4/8 against 0, 0, 5/8.
fn two_files(folder: &Path) {
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
    // As AlpacaEval keeps a model's answers.
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
        shown.contains("left out: 2 answers of a and 1 of b"),
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
    // Equally ordered by length and by score.
    near(&summary["score_and_length"]["a"]["spearman"], 1.0);

    let judged = lines(&folder.join("out/judgements.jsonl"));
    let outcomes: Vec<&Value> = judged.iter().map(|row| &row["by_score"]).collect();
    assert_eq!(outcomes, ["win", "tie", "lose"]);
    near(&judged[2]["score_b"], 0.625);
    let report = fs::read_to_string(folder.join("out/report.md")).unwrap();
    assert!(report.contains("## Who wins by score") && report.contains("plots/categories.svg"));

    // From the other side wins are losses.
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
    // 3/8 is a tie with 0 here, 1/8 too.
    let wide = [&arguments[..], &["--tie-within", "0.4", "--out", "wide"]].concat();
    succeed("eval", folder, &wide);
    let ties = &json(&folder.join("wide/summary.json"))["groups"][0]["by_score"]["counts"]["tie"];
    assert_eq!(*ties, 3);
    // Results are not written over.
    let again = run(
        "eval",
        folder,
        &[&arguments[..], &["--out", "out"]].concat(),
    );
    assert!(text(&again.stderr).contains("--out out: holds results"));
}

/// Likes answers that are called good: 8 and 2 alone; side by side the first one if none or both are.
fn judged(request: &Request) -> Reply {
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

fn reply(text: &str) -> Reply {
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
    // Equal answers are not shown; the plain ones are a matter of place.
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

    // The cache knows all of it, whatever is asked of it.
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
    // Nothing parses, and that was asked for: no score, no outcome.
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

fn questions(folder: &Path) {
    let long = "a ".repeat(70);
    rows(
        &folder.join("questions.jsonl"),
        &[
            json!({"question_id": 81, "category": "tea", "turns": ["the tea ?", "the cat ?"]}),
            json!({"question_id": 82, "category": "bread", "turns": ["a bar ?"]}),
            json!({"question_id": 83, "category": "bread", "turns": [long, "a"]}),
        ],
    );
}

#[test]
fn prompts_with_second_turns() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    questions(folder);
    let model = fixture("llama-untied").display().to_string();
    let arguments = [
        "prompts",
        "--prompts",
        "questions.jsonl",
        "--model",
        &model,
        "--against",
        &model,
        "--chat-fallback",
        "plain",
        "--temperature",
        "0",
        "--max-new-tokens",
        "3",
        "--judge-rule",
        "short",
    ];
    let long = [
        "question 83, turn 1",
        "takes 64 in all",
        "--on-long-prompt drop",
    ];
    let output = run("eval", folder, &arguments);
    let error = text(&output.stderr);
    assert!(!output.status.success());
    assert!(long.iter().all(|part| error.contains(part)), "{error}");

    let drop = ["--on-long-prompt", "drop", "--out", "out"];
    let output = succeed("eval", folder, &[&arguments[..], &drop].concat());
    assert!(text(&output.stdout).contains("left out: 2 turns that were too long"));
    let answers = lines(&folder.join("out/answers.jsonl"));
    let asked: Vec<(&Value, &Value)> = answers
        .iter()
        .map(|row| (&row["question_id"], &row["turn"]))
        .collect();
    let expected = [
        (json!("81"), json!(1)),
        (json!("82"), json!(1)),
        (json!("81"), json!(2)),
    ];
    let expected: Vec<(&Value, &Value)> = expected.iter().map(|(id, turn)| (id, turn)).collect();
    assert_eq!(asked, expected);
    // The second question comes after the model's first answer.
    let said = |role: &str, content: &Value| json!({"role": role, "content": content});
    let talk = json!([
        said("user", &json!("the tea ?")),
        said("assistant", &answers[0]["completion"]),
        said("user", &json!("the cat ?")),
    ]);
    assert_eq!(answers[2]["prompt"], talk);
    // What the example generate writes to the same messages.
    rows(&folder.join("talk.jsonl"), &[json!({"messages": talk})]);
    let generate = [
        "--model",
        &model,
        "--prompts",
        "talk.jsonl",
        "--chat-fallback",
        "plain",
        "--temperature",
        "0",
        "--max-new-tokens",
        "3",
        "--out",
        "generated.jsonl",
    ];
    succeed("generate", folder, &generate);
    let generated = &lines(&folder.join("generated.jsonl"))[0]["completions"][0]["text"];
    assert_eq!(&answers[2]["completion"], generated);
    // A model is as good as itself, by category and by turn.
    assert_eq!(lines(&folder.join("out/answers-against.jsonl")), answers);
    let summary = json(&folder.join("out/summary.json"));
    let groups = summary["groups"].as_array().unwrap();
    let rows: Vec<(&str, u64)> = groups
        .iter()
        .map(|group| {
            let ties = &group["by_score"]["counts"]["tie"];
            (group["name"].as_str().unwrap(), ties.as_u64().unwrap())
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("all", 3),
            ("tea", 2),
            ("bread", 1),
            ("turn 1", 2),
            ("turn 2", 1)
        ]
    );
    assert_eq!(summary["input"]["too_long"], 2);
    // The files of answers are files of answers.
    let compared = [
        "answers",
        "--a",
        "out/answers.jsonl",
        "--b",
        "out/answers-against.jsonl",
        "--judge-rule",
        "short",
        "--out",
        "compared",
    ];
    succeed("eval", folder, &compared);
    let compared = json(&folder.join("compared/summary.json"));
    assert_eq!(compared["groups"][0]["by_score"]["counts"]["tie"], 3);
    assert_eq!(compared["groups"][4]["name"], "turn 2");
}

#[test]
fn second_turns_are_shown_to_the_judge_with_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    questions(folder);
    let server = Server::start(judged);
    let url = server.url();
    let model = fixture("llama-untied").display().to_string();
    let arguments = [
        "prompts",
        "--prompts",
        "questions.jsonl",
        "--model",
        &model,
        "--first",
        "1",
        "--chat-fallback",
        "plain",
        "--max-new-tokens",
        "3",
        "--judge-url",
        &url,
        "--judge-model",
        "m",
        "--out",
        "out",
    ];
    succeed("eval", folder, &arguments);
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    let shown = |index: usize| seen[index].body["messages"][1]["content"].as_str().unwrap();
    let first = &lines(&folder.join("out/answers.jsonl"))[0]["completion"];
    let (one, two) = (shown(0), shown(1));
    assert!(one.contains("[Question]\nthe tea ?"), "{one}");
    for part in ["the tea ?", "the cat ?", first.as_str().unwrap()] {
        assert!(two.contains(part), "{part:?}: {two}");
    }
    let summary = json(&folder.join("out/summary.json"));
    near(&summary["groups"][0]["a"]["score"]["estimate"], 2.0);
    assert!(summary["groups"][0]["b"].is_null());
    // Judgements are kept where no file was named.
    assert_eq!(lines(&folder.join("out/judge-cache.jsonl")).len(), 2);
}

/// Pairs in RewardBench's layout.
fn bench(folder: &Path) {
    let texts = [
        "the cat",
        "a bar",
        "the tea is",
        "bread and",
        "a cup",
        "he had it",
        "no",
        "so so",
    ];
    let subsets = [
        "math-prm",
        "hep-cpp",
        "hep-go",
        "math-prm",
        "donotanswer",
        "mine",
        "hep-go",
        "hep-go",
    ];
    let all: Vec<Value> = subsets
        .iter()
        .enumerate()
        .map(|(index, subset)| {
            let (chosen, rejected) = (texts[index], texts[(index + 3) % texts.len()]);
            json!({
                "prompt": format!("a {} ?", texts[(index + 1) % texts.len()]), "chosen": chosen,
                "rejected": rejected, "subset": subset, "id": index,
            })
        })
        .collect();
    rows(&folder.join("bench.jsonl"), &all);
}

/// 1, ½ or 0 for each pair, from columns that the example score writes.
fn right(rows: &[Value], reward: impl Fn(&Value, &str) -> f64) -> Vec<f64> {
    rows.iter()
        .map(
            |row| match reward(row, "chosen") - reward(row, "rejected") {
                gap if gap > 0.0 => 1.0,
                gap if gap < 0.0 => 0.0,
                _ => 0.5,
            },
        )
        .collect()
}

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.into_iter().collect();
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn pairs_by_a_reward_model_in_rewardbench_s_layout() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    bench(folder);
    let model = fixture("llama-reward").display().to_string();
    let data = ["--data", "bench.jsonl", "--model", &model];
    succeed(
        "score",
        folder,
        &[&data[..], &["--out", "scores.jsonl"]].concat(),
    );
    let score = |row: &Value, side: &str| row[format!("{side}_score")].as_f64().unwrap();
    let right = right(&lines(&folder.join("scores.jsonl")), score);
    // A model of which nothing is known is neither always right nor always wrong.
    assert!(right.contains(&1.0) && right.contains(&0.0), "{right:?}");

    let output = succeed(
        "eval",
        folder,
        &[&["pairs"], &data[..], &["--out", "out"]].concat(),
    );
    let shown = text(&output.stdout);
    assert!(
        shown.contains("mine (no section)") && shown.contains("hep-go (Reasoning)"),
        "{shown}"
    );
    assert!(shown.contains("2 of 4 sections"), "{shown}");
    let summary = json(&folder.join("out/summary.json"));
    near(&summary["accuracy"]["accuracy"], mean(right.clone()));
    near(&summary["interval"]["estimate"], mean(right.clone()));
    let bench = &summary["reward_bench"];
    assert_eq!(bench["sections"][0]["section"], "Safety");
    near(&bench["sections"][0]["score"], right[4]);
    // Mathematics is half, code by its pairs the other half.
    let code = mean([right[1], right[2], right[6], right[7]]);
    let reasoning = (mean([right[0], right[3]]) + code) / 2.0;
    near(&bench["sections"][1]["score"], reasoning);
    near(&bench["score"], (right[4] + reasoning) / 2.0);
    let by: Vec<(&Value, &Value)> = summary["by"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["name"], &row["accuracy"]["pairs"]))
        .collect();
    assert_eq!(by[2], (&json!("hep-go"), &json!(3)));
    let longer = &summary["by_length"]["chosen_longer"]["pairs"];
    let shorter = &summary["by_length"]["chosen_shorter"]["pairs"];
    // By hand, with chosen and the text three places on: 7/9, 5/5, 10/9, 9/2, 5/5, 9/7, 2/5, 5/10.
    assert_eq!((longer, shorter), (&json!(3), &json!(3)));
    let longer = &summary["by_length"]["chosen_longer"]["accuracy"];
    near(longer, mean([right[2], right[3], right[5]]));
    assert_eq!(
        lines(&folder.join("out/scores.jsonl"))[4]["label"],
        "donotanswer"
    );
}

#[test]
fn prompts_as_messages() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    bench(folder);
    let mut chats = lines(&folder.join("bench.jsonl"));
    for row in &mut chats {
        let said = json!([{"role": "user", "content": row["prompt"]}]);
        let answer = |text: &Value| json!([{"role": "assistant", "content": text}]);
        (row["chosen"], row["rejected"]) = (answer(&row["chosen"]), answer(&row["rejected"]));
        row["prompt"] = said;
    }
    rows(&folder.join("chats.jsonl"), &chats);
    let model = fixture("llama-reward").display().to_string();
    let plain = ["--model", &model, "--chat-fallback", "plain"];
    let data = ["--data", "chats.jsonl", "--out", "scores.jsonl"];
    succeed("score", folder, &[&plain[..], &data].concat());
    let data = ["--data", "bench.jsonl", "--as-chat", "--out", "out"];
    succeed("eval", folder, &[&["pairs"], &plain[..], &data].concat());
    let scored = lines(&folder.join("scores.jsonl"));
    let evaluated = lines(&folder.join("out/scores.jsonl"));
    for (one, other) in scored.iter().zip(&evaluated) {
        assert_eq!(one["chosen_score"], other["chosen_score"]);
        assert_eq!(one["prompt"], other["prompt"]);
    }
}

#[test]
fn pairs_by_a_language_model() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    bench(folder);
    let model = fixture("llama-gqa-tied").display().to_string();
    let other = fixture("llama-untied").display().to_string();
    let score = |model: &str, out: &str| {
        let arguments = [
            "--logprobs",
            "--data",
            "bench.jsonl",
            "--model",
            model,
            "--out",
            out,
        ];
        succeed("score", folder, &arguments);
        lines(&folder.join(out))
    };
    let (own, reference) = (score(&model, "own.jsonl"), score(&other, "other.jsonl"));
    let get = |row: &Value, side: &str, what: &str| row[format!("{side}_{what}")].as_f64().unwrap();
    let eval = |more: &[&str], out: &str| {
        let arguments = [
            "pairs",
            "--data",
            "bench.jsonl",
            "--model",
            &model,
            "--by",
            "id",
        ];
        let output = succeed(
            "eval",
            folder,
            &[&arguments[..], more, &["--out", out]].concat(),
        );
        (
            text(&output.stdout),
            json(&folder.join(out).join("summary.json")),
        )
    };
    let (shown, summary) = eval(&[], "alone");
    assert!(shown.contains("mean log pi(y|x) per token"), "{shown}");
    let expected = right(&own, |row, side| {
        get(row, side, "logps") / get(row, side, "tokens")
    });
    near(&summary["accuracy"]["accuracy"], mean(expected));
    // Another column has no sections.
    assert_eq!(summary["column"], "id");
    assert!(summary["reward_bench"].is_null() && summary["by"].as_array().unwrap().len() == 8);

    let (shown, summary) = eval(&["--reference", &other], "implicit");
    assert!(shown.contains("log pi_ref(y|x)"), "{shown}");
    let both: Vec<Value> = own
        .iter()
        .zip(&reference)
        .map(|(own, other)| json!([own, other]))
        .collect();
    let expected = right(&both, |row, side| {
        get(&row[0], side, "logps") - get(&row[1], side, "logps")
    });
    near(&summary["accuracy"]["accuracy"], mean(expected));
    // Against itself every pair is a tie.
    let (_, summary) = eval(&["--reference", &model], "itself");
    assert_eq!(summary["accuracy"]["ties"], 8);
    near(&summary["accuracy"]["accuracy"], 0.5);
}

#[test]
fn bad_input() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    two_files(folder);
    bench(folder);
    questions(folder);
    let model = fixture("llama-untied").display().to_string();
    let reward = fixture("llama-reward").display().to_string();
    let answers = |more: &[&str], says: &[&str]| {
        let arguments = ["answers", "--a", "a.jsonl", "--b", "b.json"];
        refused(folder, &[&arguments[..], more].concat(), says);
    };
    answers(&[], &["name one judge", "--judge-rule"]);
    answers(
        &["--judge-rule", "happy", "--judge", &reward],
        &["name one judge"],
    );
    answers(
        &["--judge-url", "http://127.0.0.1:1/v1"],
        &["--judge-model"],
    );
    answers(
        &["--judge-url", "nowhere", "--judge-model", "m"],
        &["base_url", "nowhere"],
    );
    answers(&["--judge", "none"], &["--judge none: no such folder"]);
    answers(
        &["--judge-rule", "happy", "--samples", "2"],
        &["--samples", "a rule gives scores"],
    );
    answers(
        &["--judge", &reward, "--rubric", "additive"],
        &["--rubric", "a reward model"],
    );
    answers(
        &["--judge-rule", "happy", "--tie-within", "-1"],
        &["--tie-within -1"],
    );
    answers(
        &["--judge-rule", "happy", "--as-chat"],
        &["--as-chat", "leave it out"],
    );
    answers(&["--judge-rule", "sad"], &["--judge-rule", "sad"]);
    let server = ["--judge-url", "http://127.0.0.1:1/v1", "--judge-model", "m"];
    let asked = |more: &[&str], says: &[&str]| answers(&[&server[..], more].concat(), says);
    asked(&["--samples", "2"], &["--samples 2", "--judge-temperature"]);
    asked(&["--samples", "0"], &["--samples 0", "at least 1"]);
    asked(&["--min-parse-rate", "2"], &["--min-parse-rate 2"]);
    asked(&["--judge-temperature", "-1"], &["--judge-temperature -1"]);
    asked(&["--concurrency", "0"], &["concurrency"]);
    asked(
        &["--ask", "pairwise", "--samples", "2"],
        &["--samples", "single"],
    );
    asked(
        &["--ask", "pairwise", "--rubric", "additive"],
        &["--rubric", "single"],
    );
    let files = |a: &str, b: &str, says: &[&str]| {
        refused(
            folder,
            &["answers", "--a", a, "--b", b, "--judge-rule", "happy"],
            says,
        );
    };
    files("none.jsonl", "b.json", &["none.jsonl: no such file"]);
    files(
        "a.jsonl",
        "bench.jsonl",
        &["bench.jsonl:1: no answer", "completion"],
    );
    rows(
        &folder.join("other.jsonl"),
        &[answer("q9", "x", "c"), answer("q8", "x", "c")],
    );
    let says = [
        "0 of the 4 prompts of a.jsonl",
        "the 2 of other.jsonl",
        "\"q1\"",
        "\"q9\"",
    ];
    files("a.jsonl", "other.jsonl", &says);

    let prompts = |model: &str, more: &[&str], says: &[&str]| {
        let arguments = ["prompts", "--model", model, "--judge-rule", "happy"];
        refused(folder, &[&arguments[..], more].concat(), says);
    };
    let file = ["--prompts", "questions.jsonl"];
    let with = |more: &[&str], says: &[&str]| prompts(&model, &[&file[..], more].concat(), says);
    with(&["--first", "0"], &["--first 0"]);
    with(&["--temperature", "-1"], &["--temperature -1"]);
    with(&["--against", "none"], &["--against none: no such folder"]);
    with(&["--tie-within", "1"], &["--tie-within", "one side"]);
    prompts(&reward, &file, &["--model", "LlamaForCausalLM"]);
    let twice = json!({"question_id": 4, "turns": ["a"]});
    rows(&folder.join("twice.jsonl"), &[twice.clone(), twice]);
    prompts(
        &model,
        &["--prompts", "twice.jsonl"],
        &["twice.jsonl:2: id 4", "line 1"],
    );
    let three = json!({"question_id": 1, "turns": ["a", "b", "c"]});
    rows(&folder.join("three.jsonl"), &[three]);
    prompts(
        &model,
        &["--prompts", "three.jsonl"],
        &["question 1 has 3 turns"],
    );

    let pairs = |more: &[&str], says: &[&str]| refused(folder, &[&["pairs"], more].concat(), says);
    pairs(
        &["--data", "none.jsonl", "--model", &model],
        &["none.jsonl: no such file"],
    );
    let data = ["--data", "bench.jsonl"];
    let with = |more: &[&str], says: &[&str]| pairs(&[&data[..], more].concat(), says);
    with(
        &["--model", &model, "--as-chat"],
        &["has no template", "--chat-fallback plain"],
    );
    with(&["--model", "none"], &["--model none: no such folder"]);
    with(
        &["--model", &model, "--by", "colour"],
        &["--by colour: no row"],
    );
    with(&["--model", &model, "--first", "0"], &["--first 0"]);
    with(
        &["--model", &reward, "--reference", &model],
        &["--reference", "leave it out"],
    );
    with(
        &["--model", &model, "--reference", &reward],
        &["--reference", "LlamaForCausalLM"],
    );
    with(
        &["--model", &model, "--reference", "none"],
        &["--reference none: no such folder"],
    );
    refused(folder, &["pair"], &["pair"]);
    let nothing = run("eval", folder, &[]);
    assert!(
        text(&nothing.stderr).contains("subcommand"),
        "{}",
        text(&nothing.stderr)
    );
}
