//! Input that is refused: judges that cannot judge, options, files.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::common::{self, run, text, write_rows};
use crate::tiny;

#[test]
fn a_model_that_cannot_judge_is_refused_with_its_rate() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let untaught = json!({
        "seed_data": {"ranked_lists": 0},
        "recipe": {"judge": {"min_parse_rate": 0.5}},
    });
    let config = tiny(folder, untaught);
    let output = run(
        "self-rewarding",
        folder,
        &["--config", &config, "--out", "run"],
    );
    let error = text(&output.stderr);
    assert!(!output.status.success());
    for part in [
        "m1 judge test: only ",
        " judgements (",
        " %) could be parsed",
        "at least 50.0 % must",
        "take a judge that follows the prompt",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(
        !folder.join("run/m1/tasks.jsonl").exists(),
        "before any work"
    );
    // Without pairs to judge, the judge is tried on a few answers.
    let config = tiny(
        folder,
        json!({
            "seed_data": {"ranked_lists": 0, "judge_test": 0},
            "recipe": {"judge": {"min_parse_rate": 0.5}},
        }),
    );
    let output = run(
        "self-rewarding",
        folder,
        &["--config", &config, "--out", "probed"],
    );
    let error = text(&output.stderr);
    assert!(error.contains("m1 as a judge: only "), "{error}");
    // A prompt that is too long for the model is not the judge's fault.
    let long = "judge ".repeat(200) + "{question} {answer}";
    let template = json!({"name": "long", "shows": "answer", "user": long});
    let mut change = json!({
        "seed_data": {"ranked_lists": 0, "judge_test": 0},
        "recipe": {"rubric": {"template": template, "range": {"min": 0.0, "max": 5.0}}},
    });
    change["recipe"]["rubric"]["format"] =
        json!({"last_line": {"label": "Score:", "numbers": "whole"}});
    let config = tiny(folder, change);
    let output = run(
        "self-rewarding",
        folder,
        &["--config", &config, "--out", "long"],
    );
    let error = text(&output.stderr);
    assert!(
        error.contains("tokens of the judge's prompt is 2") && error.contains("below 160"),
        "{error}"
    );
}

/// Checks files and options of ranked answers; `own` are the options of a run on files.
fn refused_ranks(folder: &Path, own: &[&str], refused: &dyn Fn(&[&str], &[&str])) {
    let row = |prompt: &str, ranks: [u8; 2]| {
        json!({"prompt": prompt, "responses": ["yes", "no"], "ranks": ranks}).to_string()
    };
    write_rows(
        &folder.join("r.jsonl"),
        &[row("q a ?", [0, 1]), row("q b ?", [1, 0])],
    );
    write_rows(&folder.join("same.jsonl"), &[row("q a ?", [0, 0])]);
    let with = |more: &[&'static str]| [own, more].concat();
    // Files are reported before the error.
    let fails = |arguments: &[&str], says: &[&str]| {
        let output = run("self-rewarding", folder, arguments);
        let told = text(&output.stderr);
        let error = told.trim_end().lines().last().unwrap_or_default();
        assert!(!output.status.success(), "{arguments:?}");
        for part in says {
            assert!(error.contains(part), "{arguments:?}: {told}");
        }
        assert!(!folder.join("runs").exists(), "{arguments:?}");
    };
    refused(&["--ranked", "r.jsonl"], &["ranked needs --model"]);
    let twice = ["--ranked", "r.jsonl", "--rank-test", "r.jsonl"];
    fails(
        &with(&twice),
        &["--rank-test r.jsonl", "2 lists have a prompt of --ranked"],
    );
    let none = with(&["--ranked", "same.jsonl"]);
    fails(&none, &["1 lists without an order", "no list is left"]);
    let other = with(&["--ranked", "ift.jsonl"]);
    fails(&other, &["ift.jsonl:1", "neither `ranks` nor `scores`"]);
    let order = with(&["--eft-order", "weak"]);
    refused(&order, &["recipe.eft needs --ranked"]);
    refused(&with(&["--eft-order", "any"]), &["strict", "weak"]);
    refused(&with(&["--eft-judge", "x"]), &["eft_judge needs --ranked"]);
    let map = ["--ranked", "r.jsonl", "--rank-test", "same.jsonl"];
    fails(&with(&map), &["same.jsonl"]);
    refused(
        &with(&["--eft-source", "gold"]),
        &["eft_source works only with the synthetic world"],
    );
    let gold = ["--eft-source", "gold", "--eft-order", "weak"];
    refused(&gold, &["recipe.eft works only with ranked answers"]);
    refused(&["--eft-source", "luck"], &["ranks", "gold"]);
    let judged = ["--set", "seed_data.judgements=8"];
    refused(
        &judged,
        &["seed_data.judgements works only with --eft-source gold"],
    );
}

#[test]
fn bad_options_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = common::fixture("llama-untied").display().to_string();
    let encoder = common::fixture("bert-mean").display().to_string();
    fs::write(folder.join("empty.jsonl"), "").unwrap();
    let demonstrations: Vec<String> = (0..40)
        .map(|i| json!({"prompt": format!("q {i} ?"), "completion": "yes ."}).to_string())
        .collect();
    write_rows(&folder.join("ift.jsonl"), &demonstrations);
    let refused = |arguments: &[&str], says: &[&str]| {
        let output = run("self-rewarding", folder, arguments);
        let error = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert_eq!(error.trim_end().lines().count(), 1, "one line: {error}");
        for part in says {
            assert!(error.contains(part), "{arguments:?}: {error}");
        }
    };
    refused(&["--iterations", "0"], &["iterations is 0", "at least 1"]);
    refused(&["--candidates", "1"], &["candidates is 1", "at least 2"]);
    refused(&["--tasks", "0"], &["tasks.per_iteration is 0"]);
    refused(&["--samples", "0"], &["samples is 0"]);
    refused(&["--min-parse-rate", "1.5"], &["min_parse_rate is 1.5"]);
    refused(&["--compare", "judge"], &["compare is judge"]);
    refused(
        &["--compare", "luck"],
        &["--compare luck", "implicit_reward"],
    );
    refused(&["--beta", "0"], &["dpo: beta is 0"]);
    refused(&["--test-prompts", "0"], &["test_prompts is 0"]);
    refused(&["--eft", "ift.jsonl"], &["--model"]);
    refused(
        &["--test-prompts", "9999"],
        &["need 10299 pairs", "world.test_pairs is 4000"],
    );
    let own = [
        "--model",
        &model,
        "--ift",
        "ift.jsonl",
        "--max-length",
        "48",
    ];
    refused(&own, &["no chat template", "--judge-style text"]);
    let text = [&own[..], &["--judge-style", "text"]].concat();
    refused(
        &[&text[..], &["--graded", "ift.jsonl"]].concat(),
        &["ift.jsonl:1: missing field `score`"],
    );
    fs::write(
        folder.join("graded.jsonl"),
        r#"{"prompt": "q ?", "completion": "yes", "score": 7}"#,
    )
    .unwrap();
    refused(
        &[&text[..], &["--graded", "graded.jsonl"]].concat(),
        &["graded.jsonl:1:", "score 7"],
    );
    refused_ranks(folder, &text, &refused);
    refused(&["--judge-style", "chat"], &["judge_style needs --model"]);
    refused(&["--model", &model], &["there are no seed data", "--ift"]);
    refused(
        &["--model", &encoder, "--ift", "ift.jsonl"],
        &["holds no language model that writes"],
    );
    refused(
        &["--model", "nowhere", "--ift", "ift.jsonl"],
        &["nowhere: no such folder"],
    );
    refused(
        &[
            "--model",
            &model,
            "--ift",
            "none.jsonl",
            "--judge-style",
            "text",
        ],
        &["none.jsonl"],
    );
    refused(
        &[
            "--model",
            &model,
            "--ift",
            "empty.jsonl",
            "--judge-style",
            "text",
        ],
        &["empty.jsonl"],
    );
    refused(
        &[
            "--model",
            &model,
            "--ift",
            "ift.jsonl",
            "--compare",
            "evaluator",
            "--max-length",
            "48",
        ],
        &["compare is evaluator", "--evaluator-rule"],
    );
    for (config, says) in [
        (
            json!({"recipe": {"tasks": {"template": {"shot": "x"}}}}),
            "{task}",
        ),
        (
            json!({"recipe": {"tasks": {"novelty": {"threshold": 0.0}}}}),
            "threshold is 0",
        ),
        (
            json!({"recipe": {"judge": {"sampling": {"seed": 7}}}}),
            "judge.sampling.seed is 7",
        ),
        (
            json!({"seed_data": {"demonstrations": 1.0}}),
            "seed_data.demonstrations is 1",
        ),
        (
            json!({"seed_data": {"ranked_answers": 1}}),
            "seed_data.ranked_answers is 1",
        ),
        (
            json!({"eft_source": "gold", "seed_data": {"judgements": 100_000}}),
            "the world has only 8400 answers",
        ),
        (
            json!({"seed_data": {"ranked_lists": 100_000}}),
            "the world has only 4200 prompts",
        ),
        (
            json!({"recipe": {"judge": {"empty_answers": "judge"}}}),
            "judge.empty_answers is judge",
        ),
        (
            json!({"recipe": {"train": {"eval_every": 5}}}),
            "train.eval_every is 5",
        ),
        (json!({"recipe": {"taks": {}}}), "unknown field `taks`"),
        (
            json!({"recipe": {"rubric": {"range": {"min": 5.0, "max": 0.0}}}}),
            "missing field `template`",
        ),
    ] {
        fs::write(folder.join("bad.json"), config.to_string()).unwrap();
        refused(&["--config", "bad.json"], &[says]);
    }
    assert!(!folder.join("runs").exists(), "nothing was left behind");
}
