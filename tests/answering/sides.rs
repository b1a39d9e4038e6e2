//! `chat` with two models and a reward model, and the commands that change sampling.

use super::*;
use crate::common::succeed;

/// Returns the lines that `chat` writes to standard output.
#[track_caller]
fn lines(folder: &Path, arguments: &[&str], input: &str) -> Vec<String> {
    let short = ["--temperature", "0", "--max-new-tokens", "6"];
    let output = piped("chat", folder, &[arguments, &short].concat(), input);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

fn name(dir: &Path) -> String {
    dir.display().to_string()
}

#[test]
fn two_models_answer_each_with_its_own_conversation() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [a, b] = ["llama-gqa-tied", "llama-untied"].map(|of| name(&model(folder, of)));
    let input = "the cat\na dog\n/system be mild\n/retry\n/reset\nthe cat\n";
    let [of_a, of_b] = [&a, &b].map(|model| lines(folder, &["--model", model], input));
    assert_eq!(of_a.len(), 4);
    assert_ne!(of_a, of_b);
    let both = lines(folder, &["--model", &a, "--against", &b], input);
    let marked = |mark: &str, all: &[String]| -> Vec<String> {
        all.iter().map(|line| format!("{mark}: {line}")).collect()
    };
    let pairs = marked("A", &of_a).into_iter().zip(marked("B", &of_b));
    let expected: Vec<String> = pairs.flat_map(|(a, b)| [a, b]).collect();
    assert_eq!(both, expected);
}

#[test]
fn a_reward_model_scores_every_answer() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [a, b] = ["llama-gqa-tied", "llama-untied"].map(|of| name(&model(folder, of)));
    let reward = name(&model(folder, "llama-reward"));
    let system = ["--system", "be mild"];
    let options = ["--model", &a, "--against", &b, "--reward", &reward];
    let found = lines(
        folder,
        &[&options[..], &system].concat(),
        "the cat\na dog\n",
    );
    assert_eq!(found.len(), 6);
    // Rows for `score`: every answer after the conversation of its own side.
    let (mut rows, mut histories) = (String::new(), [Vec::new(), Vec::new()]);
    for (turn, message) in ["the cat", "a dog"].iter().enumerate() {
        for (side, history) in histories.iter_mut().enumerate() {
            if turn == 0 {
                history.push(json!({"role": "system", "content": "be mild"}));
            }
            history.push(json!({"role": "user", "content": message}));
            let answer = found[3 * turn + side].split_once(": ").unwrap().1;
            let completion = json!([{"role": "assistant", "content": answer}]);
            rows += &format!("{}\n", json!({"prompt": history, "completion": completion}));
            history.push(json!({"role": "assistant", "content": answer}));
        }
    }
    fs::write(folder.join("rows.jsonl"), rows).unwrap();
    let scored = [
        "--model",
        &reward,
        "--data",
        "rows.jsonl",
        "--out",
        "scored.jsonl",
    ];
    succeed("score", folder, &scored);
    let scored = fs::read_to_string(folder.join("scored.jsonl")).unwrap();
    let scores: Vec<f64> = scored
        .lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            row["score"].as_f64().unwrap()
        })
        .collect();
    for turn in 0..2 {
        let expected = format!(
            "reward: A {:.4}, B {:.4}",
            scores[2 * turn],
            scores[2 * turn + 1]
        );
        assert_eq!(found[3 * turn + 2], expected);
    }
    // One model alone needs no mark.
    let alone = ["--model", &a, "--reward", &reward];
    let found = lines(folder, &[&alone[..], &system].concat(), "the cat\n");
    assert_eq!(found[1], format!("reward: {:.4}", scores[0]));
}

#[test]
fn sampling_changes_within_a_conversation() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = name(&model(folder, "llama-gqa-tied"));
    let drawn = ["--model", &model, "--max-new-tokens", "6"];
    let run = |more: &[&str], input: &str| {
        let output = piped("chat", folder, &[&drawn[..], more].concat(), input);
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    for (command, option) in [
        ("/temperature 0", ["--temperature", "0"]),
        ("/temperature 3", ["--temperature", "3"]),
        ("/top-k 1", ["--top-k", "1"]),
        ("/top-p 0.01", ["--top-p", "0.01"]),
        ("/repetition-penalty 9", ["--repetition-penalty", "9"]),
        ("/seed 11", ["--seed", "11"]),
    ] {
        let found = run(&[], &format!("{command}\nthe cat\n")).0;
        assert_eq!(found, run(&option, "the cat\n").0, "{command}");
    }
    let cut = run(&["--temperature", "0"], "/max-new-tokens 1\nthe cat\n").0;
    assert_eq!(cut.split_whitespace().count(), 1, "{cut}");
    let told = run(&[], "/temperature 0.5\n/settings\n").1;
    assert!(told.contains("temperature 0.5, top-p 1, top-k 0"), "{told}");
    assert!(told.contains("stop none, seed"), "{told}");
    let told = run(&["--stop", "dog"], "/settings\n").1;
    assert!(told.contains("stop [\"dog\"], seed"), "{told}");
    for (line, says) in [
        (
            "/temperature -1",
            "/temperature is -1 but must be a number of at least 0",
        ),
        ("/temperature hot", "/temperature hot: give a number"),
        ("/top-p 2", "/top-p is 2 but must be above 0, at most 1"),
        ("/top-k -1", "/top-k -1: give a whole number"),
        (
            "/max-new-tokens 0",
            "/max-new-tokens is 0 but must be at least 1",
        ),
        ("/reset now", "/reset now: no such command"),
    ] {
        refused("chat", folder, &drawn, &format!("{line}\n"), &[says]);
    }
}

#[test]
fn wrong_second_models_and_reward_models_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let a = name(&model(folder, "llama-gqa-tied"));
    let plain = name(&fixture("llama-untied"));
    let reward = name(&fixture("llama-reward"));
    for (more, says) in [
        (["--against", "none"], ["--against none", "no such folder"]),
        (["--against", &plain], ["--against", "has no chat template"]),
        (["--against", &reward], ["--against", "no language model"]),
        (["--reward", "none"], ["--reward none", "no such folder"]),
        (["--reward", &a], ["llama-gqa-tied", "reward"]),
    ] {
        refused(
            "chat",
            folder,
            &[&["--model", &a], &more[..]].concat(),
            "the cat\n",
            &says,
        );
    }
}
