//! Grids, ids, plans that are refused.

use super::*;

#[test]
fn a_grid_is_the_product_of_its_axes_with_the_first_seed_first() {
    let plan = plan(&json!({
        "name": "grid", "program": "ser", "args": ["--lora"], "config": { "ser": { "a": 1, "b": 1 } },
        "axes": { "seed": [0, 1] },
        "cells": [
            { "name": "x", "axes": {
                "seed_share": [0.01, 0.15],
                "data": [{ "name": "both", "args": ["--data", "${d}/a", "--data", "${d}/b"],
                           "config": { "ser": { "b": 2 } } }],
            }},
            { "name": "y", "args": ["--loops", "1"], "axes": { "seed": [7], "resize": [true, false] } }
        ]
    }));
    let cells = plan.expand().unwrap();
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
    let args = "--lora --data ${d}/a --data ${d}/b --seed-share 0.15 --seed 1";
    assert_eq!(cells[5].args.join(" "), args);
    assert_eq!(
        Value::Object(cells[5].config.clone()),
        json!({ "ser": { "a": 1, "b": 2 } })
    );
    assert_eq!(
        json!(cells[5].axes),
        json!({ "cell": "x", "data": "both", "seed_share": 0.15, "seed": 1 })
    );
    assert_eq!(
        cells[2].args.join(" "),
        "--lora --loops 1 --resize --seed 7"
    );
    assert_eq!(cells[3].args.join(" "), "--lora --loops 1 --seed 7");
    assert!(
        cells[0].fits("share=0.01") && cells[0].fits("x*seed=?") && cells[0].fits(&cells[0].id)
    );
    assert!(!cells[0].fits("x*seed=1") && !cells[0].fits("y") && !cells[0].fits("seed*"));
}

#[test]
fn an_id_stays_as_long_as_the_run_stays_the_same() {
    let base = json!({
        "name": "a", "program": "ser", "args": ["--data", "${data}"],
        "config": { "ser": { "x": 1, "y": [1, 2] }, "b": 1 }, "axes": { "seed": [3] }
    });
    let id = |change: &dyn Fn(&mut Value)| {
        let mut value = base.clone();
        change(&mut value);
        plan(&value).expand().unwrap()[0].id.clone()
    };
    let same = id(&|_| {});
    // Rows in the repository are found by it: a change here orphans them all.
    assert_eq!(same, "627f01ad1df0");
    assert_eq!(same, id(&|v| v["name"] = json!("b")));
    assert_eq!(same, id(&|v| v["cells"] = json!([{ "name": "named" }])));
    assert_eq!(same, id(&|v| v["keep"] = json!({ "ser": "/x" })));
    let turned = r#"{"b": 1, "ser": {"y": [1, 2], "x": 1}}"#;
    assert_eq!(
        same,
        id(&|v| v["config"] = serde_json::from_str(turned).unwrap())
    );
    for change in [
        (&|v: &mut Value| v["program"] = json!("dpo")) as &dyn Fn(&mut Value),
        &|v| v["args"] = json!(["--data", "${model}"]),
        &|v| v["axes"]["seed"] = json!([4]),
        &|v| v["config"]["ser"]["y"] = json!([2, 1]),
    ] {
        assert_ne!(same, id(change));
    }
}

#[test]
fn plans_that_cannot_be_meant_are_refused() {
    let with = |key: &str, value: Value| {
        let mut plan = tiny("plain");
        plan[key] = value;
        refusal(&plan)
    };
    assert!(with("name", json!("../x")).contains("lower-case"));
    assert!(with("program", json!("bin/ser")).contains("without a folder"));
    assert!(with("args", json!(["/data/x.csv"])).contains("--set"));
    assert!(with("axes", json!({ "seed": [] })).contains("axis seed has no value"));
    assert!(with("axes", json!({ "seed": [[1]] })).contains("allowed"));
    assert!(with("axes", json!({ "cell": [1] })).contains("cannot have the name"));
    assert!(with("axes", json!({ "seed": [1, 1] })).contains("same run"));
    assert!(with("keep", json!({ "ser": "accuracy.ser" })).contains("JSON pointer"));
    assert!(with("cells", json!([{ "name": "a" }, { "name": "a" }])).contains("twice"));
    assert!(with("borrow", json!({ "full": "all" })).contains("no such cells"));
    assert!(with("seeds", json!(3)).contains("unknown field"));
}

#[test]
fn the_committed_plans_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut counts = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let plan = Plan::read(&path).unwrap();
        assert_eq!(path.file_stem().unwrap(), plan.name.as_str());
        let variables = plan.variables().unwrap();
        assert!(
            variables
                .iter()
                .all(|name| ["data", "model", "reward_model"].contains(&name.as_str()))
        );
        counts.insert(plan.name.clone(), plan.expand().unwrap().len());
    }
    assert_eq!(counts["ser-world"], 5);
    // Two shares by three seeds, Loop 0 by three, all labels by two.
    assert_eq!(counts["ser-ethics"], 11);
    assert_eq!(counts["ser-hh"], 4);
}
