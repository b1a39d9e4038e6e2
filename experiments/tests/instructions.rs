//! Prompts with instructions.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

#[test]
fn prompts_get_instructions_of_ten_kinds_in_turn() {
    let place = tempfile::tempdir().unwrap();
    let prompts: String = (0..5)
        .map(|n| format!("{{\"turns\": [\"Q{n}? \", \"more\"]}}\n"))
        .chain((5..10).map(|n| format!("{{\"instruction\": \"Q{n}?\"}}\n")))
        .collect();
    fs::write(place.path().join("prompts.jsonl"), prompts).unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_collimate-experiments"));
        let command = command.current_dir(place.path()).arg("instructions");
        let output = command.args(args).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let said = run(&[
        "--prompts",
        "prompts.jsonl",
        "--each",
        "2",
        "--out",
        "rows.jsonl",
    ]);
    assert!(said.contains("wrote 20 rows"), "{said}");
    let rows = fs::read_to_string(place.path().join("rows.jsonl")).unwrap();
    let rows: Vec<Value> = rows
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    assert_eq!(rows[0]["prompt"], "Q0? Answer in less than 60 words.");
    assert_eq!(
        rows[0]["kwargs"],
        json!([{ "relation": "less than", "num_words": 60 }])
    );
    let mut ids: Vec<&str> = rows
        .iter()
        .map(|row| row["instruction_id_list"][0].as_str().unwrap())
        .collect();
    assert_ne!(ids[0], ids[1]);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 10);

    fs::write(place.path().join("bad.jsonl"), "{\"prompt\": \" \"}\n").unwrap();
    let said = run(&["--prompts", "bad.jsonl", "--out", "rows.jsonl"]);
    assert!(said.contains("bad.jsonl:1: no text in turns"), "{said}");
}
