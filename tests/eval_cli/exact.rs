//! Questions with one exact answer.

use super::*;

/// Returns the greedy answers of a model to these prompts, written by another command.
fn greedy(folder: &Path, model: &str, prompts: &[Value]) -> Vec<String> {
    rows(&folder.join("prompts.jsonl"), prompts);
    let arguments = [
        "--model",
        model,
        "--prompts",
        "prompts.jsonl",
        "--temperature",
        "0",
        "--top-p",
        "1",
        "--max-new-tokens",
        "12",
        "--out",
        "written.jsonl",
    ];
    succeed("generate", folder, &arguments);
    let rows = lines(&folder.join("written.jsonl"));
    rows.iter()
        .map(|row| row["completions"][0]["text"].as_str().unwrap().to_owned())
        .collect()
}

/// Returns the text after the last mark, up to the end of the line.
fn behind(text: &str, mark: &str) -> Option<String> {
    let (_, rest) = text.rsplit_once(mark)?;
    let line = rest.trim_start().lines().next().unwrap_or_default();
    let line = line.trim_start_matches(':').trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[test]
fn greedy_answers_are_compared_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = fixture("llama-untied").display().to_string();
    let other = fixture("llama-gqa-tied").display().to_string();
    let questions = [
        "the cat ?",
        "a bar is ?",
        "no tea",
        "he had it",
        "so so ?",
        "bread and a cup",
    ];
    let prompts =
        questions.map(|question| json!({"prompt": format!("Question: {question}\nAnswer:")}));
    let written = greedy(folder, &model, &prompts);
    // The mark is a letter that the model writes; every second question has the right answer.
    let marks = ["e", "a", "t", "o", "n"];
    let found = |mark: &str| -> Vec<Option<String>> {
        written.iter().map(|text| behind(text, mark)).collect()
    };
    let seen = |mark: &&&str| found(mark).iter().step_by(2).any(Option::is_some);
    let mark = marks
        .iter()
        .find(seen)
        .unwrap_or_else(|| panic!("{written:?}"));
    let found = found(mark);
    let asked = questions
        .iter()
        .zip(&found)
        .enumerate()
        .map(|(at, (question, found))| {
            let answer = found.clone().filter(|_| at % 2 == 0);
            let answer = answer.unwrap_or_else(|| "another one".to_owned());
            json!({"question": question, "answer": format!("because\n#### {answer}")})
        });
    rows(&folder.join("q.jsonl"), &asked.collect::<Vec<_>>());
    let arguments = [
        "exact",
        "--data",
        "q.jsonl",
        "--model",
        &model,
        "--against",
        &other,
        "--after",
        *mark,
        "--max-new-tokens",
        "12",
        "--out",
        "exact",
    ];
    succeed("eval", folder, &arguments);
    let kept = lines(&folder.join("exact/exact.jsonl"));
    let expected: Vec<bool> = found
        .iter()
        .enumerate()
        .map(|(at, found)| at % 2 == 0 && found.is_some())
        .collect();
    for (at, row) in kept.iter().enumerate() {
        assert_eq!(
            row["model"]["text"], written[at],
            "greedy, as generate writes"
        );
        assert_eq!(row["model"]["answer"], json!(found[at]));
        assert_eq!(row["model"]["right"], expected[at], "{row}");
    }
    let summary = json(&folder.join("exact/summary.json"));
    let right = expected.iter().filter(|right| **right).count() as f64;
    near(&summary["model"]["accuracy"]["estimate"], right / 6.0);
    assert_eq!(summary["model"]["accuracy"]["right"], right);
    let others = kept
        .iter()
        .filter(|row| row["against"]["right"] == true)
        .count();
    let gap = (right - others as f64) / 6.0;
    near(&summary["difference"]["accuracy"]["estimate"], gap);
    let report = fs::read_to_string(folder.join("exact/report.md")).unwrap();
    assert!(report.contains("Model minus --against"), "{report}");
    // Without a mark the last number counts, and this model writes none.
    let plain = [
        "exact",
        "--data",
        "q.jsonl",
        "--model",
        &model,
        "--max-new-tokens",
        "12",
        "--json",
    ];
    let told = succeed("eval", folder, &plain);
    let summary: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(summary["model"]["accuracy"]["estimate"], 0.0);
    let notes = summary["notes"].to_string();
    assert!(notes.contains("the last number is the answer"), "{notes}");
}

#[test]
fn wrong_exact_questions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = fixture("llama-untied").display().to_string();
    rows(
        &folder.join("q.jsonl"),
        &[json!({"question": "the cat ?", "answer": 4})],
    );
    rows(
        &folder.join("bad.jsonl"),
        &[json!({"question": "q", "answer": "so ####  "})],
    );
    rows(
        &folder.join("list.jsonl"),
        &[json!({"question": "q", "answer": [1]})],
    );
    let refuse = |file: &str, more: &[&str], says: &[&str]| {
        let data = ["exact", "--data", file, "--model", &model];
        refused(folder, &[&data[..], more].concat(), says);
    };
    refuse(
        "bad.jsonl",
        &[],
        &["bad.jsonl:1", "the question or the answer is empty"],
    );
    refuse(
        "list.jsonl",
        &[],
        &["list.jsonl:1", "neither a text nor a number"],
    );
    refuse("q.jsonl", &["--after", " "], &["--after"]);
    refuse("q.jsonl", &["--first", "0"], &["--first is 0"]);
    refuse(
        "q.jsonl",
        &["--max-new-tokens", "0"],
        &["--max-new-tokens is 0"],
    );
}
