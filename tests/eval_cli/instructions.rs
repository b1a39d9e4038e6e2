//! Instructions that a program checks.

use super::*;

fn prompt(text: &str, ids: &[&str], arguments: &[Value]) -> Value {
    json!({"key": 7, "prompt": text, "instruction_id_list": ids, "kwargs": arguments})
}

#[test]
fn answers_are_checked_alone_and_beside_another_model() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = fixture("llama-untied").display().to_string();
    let other = fixture("llama-gqa-tied").display().to_string();
    let words = |count| json!({"relation": "at least", "num_words": count});
    rows(
        &folder.join("p.jsonl"),
        &[
            prompt(
                "the cat ?",
                &["length_constraints:number_words"],
                &[words(1)],
            ),
            prompt(
                "a bar is ?",
                &[
                    "length_constraints:number_words",
                    "detectable_format:json_format",
                ],
                &[words(500), json!({"num_bullets": null})],
            ),
        ],
    );
    let arguments = [
        "instructions",
        "--data",
        "p.jsonl",
        "--model",
        &model,
        "--against",
        &other,
        "--chat-fallback",
        "plain",
        "--max-new-tokens",
        "12",
        "--out",
        "o",
    ];
    succeed("eval", folder, &arguments);
    let kept = lines(&folder.join("o/instructions.jsonl"));
    let of = |side: &str| -> Vec<Vec<bool>> {
        kept.iter()
            .map(|row| {
                let text = row[side]["text"].as_str().unwrap();
                let word = |c: char| c.is_alphanumeric() || c == '_';
                let found = [
                    text.split(|c| !word(c)).any(|word| !word.is_empty()),
                    serde_json::from_str::<Value>(text).is_ok(),
                ];
                match row["line"].as_u64() {
                    Some(1) => vec![found[0]],
                    _ => vec![false, found[1]],
                }
            })
            .collect()
    };
    for side in ["model", "against"] {
        let expected = of(side);
        for (row, expected) in kept.iter().zip(&expected) {
            assert_eq!(row[side]["strict"], json!(expected), "{row}");
        }
        let summary = json(&folder.join("o/summary.json"));
        let share =
            |all: &[bool]| all.iter().filter(|right| **right).count() as f64 / all.len() as f64;
        let whole: Vec<bool> = expected.iter().map(|row| row.iter().all(|x| *x)).collect();
        near(&summary[side]["prompt_strict"]["estimate"], share(&whole));
        near(
            &summary[side]["instruction_strict"]["estimate"],
            share(&expected.concat()),
        );
        assert_eq!(summary[side]["instruction_strict"]["count"], 3);
    }
    let report = fs::read_to_string(folder.join("o/report.md")).unwrap();
    assert!(report.contains("detectable_format:json_format"), "{report}");
}

#[test]
fn wrong_instructions_are_refused_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = fixture("llama-untied").display().to_string();
    let good = prompt("the cat ?", &["punctuation:no_comma"], &[json!({})]);
    let refuse = |row: Value, says: &str| {
        rows(&folder.join("p.jsonl"), &[good.clone(), row]);
        let data = ["instructions", "--data", "p.jsonl", "--model", &model];
        refused(folder, &data, &["p.jsonl:2", says]);
    };
    refuse(
        prompt("p", &["no_comma"], &[json!({})]),
        "no instruction has the id",
    );
    refuse(
        prompt("p", &["punctuation:no_comma"], &[]),
        "1 instruction ids but 0",
    );
    refuse(
        prompt(
            "p",
            &["detectable_format:number_bullet_lists"],
            &[json!({})],
        ),
        "num_bullets",
    );
    refuse(
        prompt(" ", &["punctuation:no_comma"], &[json!({})]),
        "prompt",
    );
}
