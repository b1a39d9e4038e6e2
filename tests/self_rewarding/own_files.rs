//! Runs on the user's own model and files.

use std::collections::HashSet;
use std::fs;

use serde_json::json;

use crate::common::{json, run, succeed, text, write_rows};
use crate::{prompts_of, rows, share, tiny};

#[test]
fn a_model_and_files_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = tiny(folder, json!({"recipe": {"compare": []}}));
    let short = ["--iterations", "1", "--out", "world"];
    succeed(
        "self-rewarding",
        folder,
        &[&["--config", &config], &short[..]].concat(),
    );
    // The world's formats for a run on files, in which the given model is M1.
    let options = json!({
        "recipe": {
            "rubric": json(&folder.join("world/config.json"))["recipe"]["rubric"],
            "judge": {"sampling": {"max_new_tokens": 16}, "style": "text", "min_parse_rate": 0.1},
            "tasks": {
                "template": json(&folder.join("world/config.json"))["recipe"]["tasks"]["template"],
                "per_iteration": 20,
                "sampling": {"max_new_tokens": 20, "temperature": 1.0, "top_p": 1.0},
            },
        },
    });
    fs::write(folder.join("own.json"), options.to_string()).unwrap();
    // The same prompts twice: a duplicate is one task.
    let prompts: Vec<String> = rows(&folder.join("world/answers/sft.jsonl"))
        .iter()
        .chain(&rows(&folder.join("world/answers/sft.jsonl")))
        .map(|row| json!({"prompt": row["prompt"]}).to_string())
        .collect();
    write_rows(&folder.join("prompts.jsonl"), &prompts);
    let arguments = [
        "--config",
        "own.json",
        "--model",
        "world/models/m1",
        "--seed-prompts",
        "prompts.jsonl",
        "--evaluator-rule",
        "short",
        "--max-length",
        "128",
        "--response-tokens",
        "20",
        "--iterations",
        "1",
        "--lr",
        "1e-4",
        "--out",
        "own",
    ];
    succeed("self-rewarding", folder, &arguments);
    let summary = json(&folder.join("own/summary.json"));
    share(&summary["win_rate"]["m2_vs_m1"]);
    assert_eq!(summary["win_rate"]["m1_vs_sft"], 0.5, "the same model");
    assert_eq!(summary["evaluator"], "the rule of --evaluator-rule");
    assert_eq!(
        summary["seed_data"],
        json!({"ift": 0, "eft": 0, "tasks": 0})
    );
    // 24 prompts, each twice: a tenth is held out, and no prompt is on both sides.
    let held_out: HashSet<String> = prompts_of(&folder.join("own/answers/m1.jsonl"));
    let tasks = rows(&folder.join("own/m1/tasks.jsonl"));
    assert!(
        !held_out.is_empty() && held_out.len() < 12,
        "{}",
        held_out.len()
    );
    for row in tasks.iter().filter(|row| row["refused"].is_null()) {
        assert!(!held_out.contains(row["prompt"].as_str().unwrap()));
    }
    let branches = summary["iterations"][0]["branches"].as_array().unwrap();
    assert_eq!(branches[1]["source"], "implicit_reward");
    // A benchmark's file of questions is read too; these are too few for this model.
    let questions: Vec<String> = (0..3)
        .map(|i| json!({"instruction": format!("ask {i}"), "output": ""}).to_string())
        .collect();
    write_rows(&folder.join("questions.jsonl"), &questions);
    let mut again = arguments.map(str::to_owned);
    for argument in &mut again {
        match argument.as_str() {
            "prompts.jsonl" => *argument = "questions.jsonl".to_owned(),
            "own" => *argument = "asked".to_owned(),
            _ => {}
        }
    }
    let again: Vec<&str> = again.iter().map(String::as_str).collect();
    let output = run("self-rewarding", folder, &again);
    let error = text(&output.stderr);
    assert!(
        error.contains("no prompt is left to evaluate on"),
        "{error}"
    );
    // Nothing was learnt before M1, so its implicit reward prefers no answer.
    assert_eq!(
        (&branches[1]["pairs"], &branches[1]["steps"]),
        (&json!(0), &json!(0))
    );
    assert!(branches[1]["model"].is_null());
}
