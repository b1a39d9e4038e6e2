//! Multiple-choice questions, against transformers; `tests/fixtures/make_choice_expectations.py` makes the
//! table.

use super::*;

/// Reads the rows with the log-likelihoods that transformers gives.
fn table() -> Vec<Value> {
    serde_json::from_str(include_str!("../fixtures/choices.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap();
    list.iter().map(|v| v.as_f64().unwrap()).collect()
}

/// Returns the index of the largest value, the first of equal ones.
fn largest(values: &[f64]) -> usize {
    let best = values.iter().copied().fold(f64::MIN, f64::max);
    values.iter().position(|&value| value == best).unwrap()
}

/// Computes the shares of right choices by hand: plain, and per character.
fn shares(table: &[Value], form: &str) -> [f64; 2] {
    let share = |length: &dyn Fn(&str) -> f64| {
        let right = table.iter().filter(|row| {
            let logps = numbers(&row["logps"][form]);
            let choices = row["choices"].as_array().unwrap();
            let each = logps.iter().zip(choices);
            let values: Vec<f64> = each
                .map(|(logp, choice)| logp / length(choice.as_str().unwrap()))
                .collect();
            largest(&values) == row["answer"].as_u64().unwrap() as usize
        });
        right.count() as f64 / table.len() as f64
    };
    [share(&|_| 1.0), share(&|text| text.chars().count() as f64)]
}

#[test]
fn choices_are_scored_as_by_transformers() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let table = table();
    let asked = table.iter().map(|row| {
        json!({"question": row["question"], "choices": row["choices"], "answer": row["answer"]})
    });
    rows(&folder.join("q.jsonl"), &asked.collect::<Vec<_>>());
    let model = fixture("llama-untied").display().to_string();
    for form in ["text", "ending"] {
        let arguments = [
            "choices", "--data", "q.jsonl", "--model", &model, "--ask", form, "--out", form,
        ];
        succeed("eval", folder, &arguments);
        let found = lines(&folder.join(form).join("choices.jsonl"));
        assert_eq!(found.len(), 50);
        for (found, expected) in found.iter().zip(&table) {
            let (found, expected) = (numbers(&found["logps"]), numbers(&expected["logps"][form]));
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                let error = (found - expected).abs() / expected.abs().max(1.0);
                assert!(error < 1e-5, "{found} {expected}");
            }
        }
        let summary = json(&folder.join(form).join("summary.json"));
        let [plain, characters] = shares(&table, form);
        let measure = |name: &str| summary["model"][name]["estimate"].clone();
        near(&measure("accuracy"), plain);
        near(&measure("accuracy_norm"), characters);
        // All letters have one byte.
        near(&measure("accuracy_bytes"), characters);
        assert!(plain != characters, "the lengths decide some questions");
        assert!(summary["difference"].is_null());
    }
}

#[test]
fn two_models_are_compared_on_the_same_questions() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let subjects = ["law", "art"];
    let asked = table().into_iter().enumerate().map(|(at, row)| {
        json!({
            "question": row["question"], "choices": row["choices"], "answer": row["answer"],
            "subject": subjects[at % 2],
        })
    });
    rows(&folder.join("q.jsonl"), &asked.collect::<Vec<_>>());
    let model = fixture("llama-untied").display().to_string();
    let other = fixture("llama-gqa-tied").display().to_string();
    let data = ["choices", "--data", "q.jsonl", "--model", &model];
    let with = |more: &[&str]| -> Vec<String> {
        let all = data.iter().chain(more).map(|&text| text.to_owned());
        all.collect()
    };
    let run_with = |more: &[&str]| {
        let all = with(more);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        succeed("eval", folder, &all)
    };
    run_with(&["--against", &other, "--ask", "text", "--out", "two"]);
    let summary = json(&folder.join("two/summary.json"));
    let right = |row: &Value, side: &str| {
        let answer = row["answer"].as_u64().unwrap() as usize;
        f64::from(u8::from(largest(&numbers(&row[side])) == answer))
    };
    let found = lines(&folder.join("two/choices.jsonl"));
    let mean = |side: &str| found.iter().map(|row| right(row, side)).sum::<f64>() / 50.0;
    let (own, others) = (mean("logps"), mean("against_logps"));
    near(&summary["model"]["accuracy"]["estimate"], own);
    near(&summary["against"]["accuracy"]["estimate"], others);
    let difference = &summary["difference"]["accuracy"];
    near(&difference["estimate"], own - others);
    let ends = [&difference["low"], &difference["high"]].map(|end| end.as_f64().unwrap());
    assert!(ends[0] <= own - others && own - others <= ends[1] && ends[0] < ends[1]);
    let by = summary["model"]["accuracy"]["by"].as_array().unwrap();
    let names: Vec<&str> = by
        .iter()
        .map(|part| part["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        (names, &by[0]["questions"]),
        (vec!["law", "art"], &json!(25))
    );
    // A model compared with itself shows no difference.
    let told = run_with(&["--against", &model, "--ask", "text", "--json"]);
    let summary: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(summary["difference"]["accuracy_norm"]["estimate"], 0.0);
    assert_eq!(summary["difference"]["accuracy_norm"]["high"], 0.0);
    // Rows of MMLU are asked for by letters.
    run_with(&["--first", "1", "--out", "letters"]);
    let row = &lines(&folder.join("letters/choices.jsonl"))[0];
    let prompt = row["prompt"].as_str().unwrap();
    let choices = table()[0]["choices"].clone();
    let listed = ["A", "B"].iter().zip(choices.as_array().unwrap());
    let expected: String = listed
        .map(|(letter, choice)| format!("\n{letter}. {}", choice.as_str().unwrap()))
        .collect();
    assert!(
        prompt.contains(&expected) && prompt.ends_with("\nAnswer:"),
        "{prompt}"
    );
    assert_eq!(row["choices"][1], "B");
}

#[test]
fn wrong_questions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = fixture("llama-untied").display().to_string();
    let encoder = fixture("bert-mean").display().to_string();
    let good = json!({"question": "the cat ?", "choices": ["a bar", "no"], "answer": 0});
    let bad = json!({"question": "q", "choices": ["a", "b"], "answer": 2});
    rows(&folder.join("q.jsonl"), std::slice::from_ref(&good));
    rows(&folder.join("bad.jsonl"), &[good, bad]);
    let long = json!({"question": "the cat ".repeat(40), "choices": ["a bar", "no"], "answer": 0});
    rows(&folder.join("long.jsonl"), &[long]);
    let refuse = |file: &str, more: &[&str], says: &[&str]| {
        let data = ["choices", "--data", file, "--model", &model];
        refused(folder, &[&data[..], more].concat(), says);
    };
    refuse("bad.jsonl", &[], &["bad.jsonl:2", "there are 2 choices"]);
    refuse("none.jsonl", &[], &["none.jsonl"]);
    refuse("q.jsonl", &["--first", "0"], &["--first is 0"]);
    refuse("q.jsonl", &["--against", "nowhere"], &["nowhere"]);
    let reward = ["choices", "--data", "q.jsonl", "--model", &encoder];
    refused(folder, &reward, &["no language model that writes"]);
    // The file is reported before the model is opened.
    let arguments = [
        "choices",
        "--data",
        "long.jsonl",
        "--model",
        &model,
        "--out",
        "out",
    ];
    let output = run("eval", folder, &arguments);
    let error = text(&output.stderr);
    assert!(
        error.contains("long.jsonl:1: ") && error.contains("takes 64"),
        "{error}"
    );
    assert!(!folder.join("out").exists());
}
