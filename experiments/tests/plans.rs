//! Tests of grids, ids, plans that are refused, and the committed plans and results.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use collimate_experiments::{Cell, Plan, read_rows};
use serde_json::{Value, json};

/// Reads a plan with the name `tiny`.
fn read(mut value: Value) -> Result<Plan, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.json");
    value["name"] = json!("tiny");
    fs::write(&path, value.to_string()).unwrap();
    Plan::read(&path).map_err(|error| format!("{error:#}"))
}

fn cells(value: Value) -> Vec<Cell> {
    read(value).unwrap().cells().unwrap()
}

#[test]
fn a_grid_is_the_product_of_its_axes_with_the_first_seed_first() {
    let cells = cells(json!({
        "command": "ser", "args": ["--lora"], "config": { "ser": { "a": 1, "b": 1 } },
        "axes": { "seed": [0, 1] },
        "cells": [
            { "name": "x", "axes": {
                "seed_share": [0.01, 0.15],
                "data": [{ "name": "both", "args": ["--data", "${d}/a"],
                           "config": { "ser": { "b": 2 } } }],
            }},
            { "name": "y", "args": ["--loops", "1"], "axes": { "seed": [7], "resize": [true, false] } }
        ]
    }));
    let names: Vec<&str> = cells.iter().map(|cell| cell.name.as_str()).collect();
    let expected = [
        "x data=both seed_share=0.01 seed=0",
        "x data=both seed_share=0.15 seed=0",
        "y resize=true seed=7",
        "y resize=false seed=7",
        "x data=both seed_share=0.01 seed=1",
        "x data=both seed_share=0.15 seed=1",
    ];
    assert_eq!(names, expected);
    let args = |cell: usize| cells[cell].steps[0].args.join(" ");
    assert_eq!(args(5), "--lora --data ${d}/a --seed-share 0.15 --seed 1");
    assert_eq!(args(2), "--lora --loops 1 --resize --seed 7");
    assert_eq!(args(3), "--lora --loops 1 --seed 7");
    let config = json!(cells[5].steps[0].config);
    assert_eq!(config, json!({ "ser": { "a": 1, "b": 2 } }));
    let axes = json!({ "cell": "x", "data": "both", "seed_share": 0.15, "seed": 1 });
    assert_eq!(json!(cells[5].axes), axes);
    let set = [("d".to_owned(), "sets".to_owned())];
    assert_eq!(cells[5].filled(&set).unwrap()[0][2], "sets/a");
    let error = cells[5].filled(&[]).unwrap_err().to_string();
    assert_eq!(error, "${d} has no value: give --set d=VALUE");
}

#[test]
fn steps_follow_the_run_of_their_group_and_know_its_variables() {
    let step = |name: &str, args: &[&str]| json!({ "name": name, "command": "eval prompts", "args": args });
    let all = cells(json!({
        "command": "dpo",
        "then": [step("judged", &["--model", "${cell}/run/models/${policy}", "--judge", "${judge}"])],
        "axes": { "loss": [
            { "name": "DPO", "set": { "loss": "dpo" } },
            { "name": "IPO", "args": ["--method", "ipo"], "set": { "loss": "ipo" } },
        ]},
        "curves": { "loss": "${loss}/loss" },
        "cells": [{ "name": "a", "set": { "policy": "${loss}" } },
                  { "name": "b", "command": "kto", "then": [], "set": { "loss": "none" } }]
    }));
    assert_eq!(all[1].curves["loss"], "ipo/loss");
    let commands: Vec<&str> = all
        .iter()
        .map(|cell| cell.steps[0].command.as_str())
        .collect();
    assert_eq!(commands, ["dpo", "dpo", "kto", "kto"]);
    let steps: Vec<usize> = all.iter().map(|cell| cell.steps.len()).collect();
    assert_eq!(steps, [2, 2, 1, 1]);
    let set = [("judge".to_owned(), "rm".to_owned())];
    // The runner fills in the folder of the cell.
    let judged = ["--model", "${cell}/run/models/ipo", "--judge", "rm"];
    assert_eq!(all[1].filled(&set).unwrap()[1], judged);
    assert_eq!(all[1].steps[0].args, ["--method", "ipo"]);
    let own = [("cell".to_owned(), "x".to_owned())];
    let error = all[0].filled(&own).unwrap_err().to_string();
    assert!(error.contains("give the variable another name"), "{error}");
    let error = all[0].filled(&[]).unwrap_err().to_string();
    assert_eq!(error, "${judge} has no value: give --set judge=VALUE");
}

#[test]
fn an_id_stays_as_long_as_the_run_stays_the_same() {
    let base = json!({
        "command": "ser", "args": ["--data", "${data}"],
        "config": { "ser": { "x": 1, "y": [1, 2] }, "b": 1 }, "axes": { "seed": [3] }
    });
    let id = |pointer: &str, value: Value| {
        let mut plan = base.clone();
        match plan.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => plan[&pointer[1..]] = value,
        }
        cells(plan)[0].id.clone()
    };
    // Rows in the repository are found by this id: a change of it orphans all of them.
    let same = "627f01ad1df0";
    let turned = serde_json::from_str(r#"{"b": 1, "ser": {"y": [1, 2], "x": 1}}"#).unwrap();
    assert_eq!(id("/config", turned), same);
    assert_eq!(id("/cells", json!([{ "name": "named" }])), same);
    assert_eq!(id("/keep", json!({ "ser": "/x" })), same);
    assert_ne!(id("/command", json!("dpo")), same);
    assert_ne!(id("/args/1", json!("${model}")), same);
    assert_ne!(id("/axes/seed", json!([4])), same);
    assert_ne!(id("/config/ser/y", json!([2, 1])), same);
    let then = |args: Value| json!([{ "name": "next", "command": "score", "args": args }]);
    let scored = id("/then", then(json!(["a"])));
    assert_ne!(scored, same);
    assert_ne!(id("/then", then(json!(["b"]))), scored);
}

#[test]
fn plans_that_cannot_be_meant_are_refused() {
    let refusal = |key: &str, value: Value| {
        let mut plan = json!({ "command": "ser", "axes": { "seed": [0, 1] } });
        plan[key] = value;
        read(plan).unwrap_err()
    };
    for (key, value, says) in [
        ("command", json!(""), "command is missing"),
        ("args", json!(["/data/x.csv"]), "--set"),
        ("config", json!({ "a": "${data}" }), "for arguments only"),
        ("axes", json!({ "seed": [] }), "axis seed has no value"),
        ("axes", json!({ "seed": [[1]] }), "give a number"),
        ("axes", json!({ "a": [{ "name": "b", "arg": [] }] }), "arg"),
        ("axes", json!({ "cell": [1] }), "cannot have the name"),
        ("axes", json!({ "seed": [1, 1] }), "same run"),
        (
            "cells",
            json!([{ "name": "a" }, { "name": "a" }]),
            "two cells have the name",
        ),
        (
            "borrow",
            json!({ "full": "all" }),
            "no cells have this name",
        ),
        (
            "then",
            json!([{ "name": "run", "command": "x" }]),
            "cannot be the name of a step",
        ),
        (
            "then",
            json!([{ "name": "../up", "command": "x" }]),
            "cannot be the name of a step",
        ),
        (
            "then",
            json!([{ "name": "began", "command": "x" }]),
            "cannot be the name of a step",
        ),
        ("then", json!([{ "name": "a" }]), "command is missing"),
        ("keep", json!({ "n": "/x/${loss}" }), "no value by `set`"),
        ("curves", json!({ "n": "${loss}/y" }), "no value by `set`"),
        (
            "cells",
            json!([{ "name": "a", "set": { "cell": "x" } }]),
            "give the variable another name",
        ),
        (
            "then",
            json!([{ "name": "a", "command": "x", "keep": { "n": "/x" } },
                   { "name": "b", "command": "x", "keep": { "n": "/y" } }]),
            "two steps keep a number",
        ),
        ("curves", json!({ "loss": "dpo" }), "must be STAGE/METRIC"),
        ("seeds", json!(3), "unknown field"),
    ] {
        let error = refusal(key, value);
        assert!(error.contains(says), "{says} is not in: {error}");
    }
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(folder).unwrap();
    files.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn the_committed_plans_and_results_can_be_read() {
    let plans = files("plans");
    let plans = plans.iter().map(|path| Plan::read(path).unwrap());
    let plans: BTreeMap<String, usize> = plans
        .map(|plan| (plan.name.clone(), plan.cells().unwrap().len()))
        .collect();
    // Two shares by three seeds, Loop 0 by three, all labels by two.
    assert_eq!(plans["ser-ethics"], 11);
    assert_eq!(plans["sera-anchored"], 40);
    let results = files("../docs/results");
    let rows = |path: &&PathBuf| path.extension().is_some_and(|ending| ending == "jsonl");
    for path in results.iter().filter(rows) {
        for row in read_rows(path).unwrap() {
            assert!(plans.contains_key(&row.plan), "{}", path.display());
            assert!(row.is_ok() && !row.fields.is_empty());
        }
    }
}
