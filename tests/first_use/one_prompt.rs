//! Files whose rows have too few different prompts for the parts that measure.

use collimate::core::PreferencePair;
use collimate::data::split_by_hash;

use super::*;

#[test]
fn rows_of_one_prompt_are_refused_or_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let of = |prompt: &str| -> Vec<PreferencePair> {
        let pair = |i| PreferencePair::new(prompt, format!("a {i}"), format!("b {i}"));
        (0..30).map(pair).collect()
    };
    // Commands with a test part measure on more prompts than commands without one.
    let falls = |prompt: &str, shares: &[f64], part: usize| {
        !split_by_hash(of(prompt), shares).unwrap()[part].is_empty()
    };
    let prompts: Vec<String> = (0..99).map(|i| format!("question {i} ?")).collect();
    let find = |shares: &[f64], part| {
        prompts
            .iter()
            .find(|prompt| falls(prompt, shares, part))
            .unwrap()
    };
    let (held_out, learnt) = (find(&[0.1, 0.9], 0), find(&[0.2, 0.1, 0.7], 2));
    for (file, prompt) in [("held_out", held_out), ("learnt", learnt)] {
        let row = |pair: &PreferencePair| {
            json!({"prompt": prompt, "chosen": pair.chosen.text, "rejected": pair.rejected.text})
                .to_string()
        };
        let rows: Vec<String> = of(prompt).iter().map(row).collect();
        write_rows(&folder.join(format!("{file}.jsonl")), &rows);
    }
    let model = model();
    let of_model = ["--model", &model, "--max-length", "48", "--dry-run"];
    for command in ["dpo", "sera", "kto", "sft", "reward", "ser"] {
        let more: &[&str] = match command {
            "ser" => &["--simulate"],
            _ => &[],
        };
        let all = [&["--data", "held_out.jsonl"][..], &of_model, more].concat();
        let output = run(command, folder, &all);
        let said = text(&output.stderr);
        assert!(!output.status.success(), "{command}: {said}");
        assert!(
            said.contains("no row is left to learn from"),
            "{command}: {said}"
        );
        if command != "ser" {
            let all = [&["--data", "learnt.jsonl"][..], &of_model].concat();
            let said = text(&succeed(command, folder, &all).stderr);
            assert!(
                said.contains("a part that measures the model is empty"),
                "{command}: {said}"
            );
        }
    }
}
