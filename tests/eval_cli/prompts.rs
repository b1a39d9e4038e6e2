//! Prompts that are answered and judged.

use super::*;
use crate::answers::judged;
use crate::pairs::bench;

pub(crate) fn questions(folder: &Path) {
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
    assert!(text(&output.stdout).contains("skipped: 2 turns that were too long"));
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
    // The text that the command `generate` writes for the same messages.
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
    // The answer files can be compared again.
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
    // Judgements are kept here if no file was named.
    assert_eq!(lines(&folder.join("out/judge-cache.jsonl")).len(), 2);
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
