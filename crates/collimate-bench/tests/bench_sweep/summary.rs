//! The numbers of the summary.

use super::*;

#[test]
fn summaries_agree_with_a_hand_calculation() {
    let plan = plan(&json!({
        "name": "s", "program": "ser", "axes": { "seed": [0, 1, 2], "data": ["a", "b"] },
        "cells": [
            { "name": "ser" },
            { "name": "all", "args": ["--x"], "axes": { "seed": [0, 1] } },
        ],
        "keep": { "ser": "/s" }, "borrow": { "full": "all" }
    }));
    // mean .62, sd .02; mean .73, sd √((.03² + .01² + .04²)/2) = √.0013; full of a: .82, .84.
    let values: BTreeMap<&str, Value> = [
        (
            "ser data=a seed=0",
            json!({ "loop0": 0.60, "ser": 0.70, "status": "easy" }),
        ),
        (
            "ser data=a seed=1",
            json!({ "loop0": 0.62, "ser": 0.72, "status": "hard" }),
        ),
        ("ser data=a seed=2", json!({ "loop0": 0.64, "ser": 0.77 })),
        ("all data=a seed=0", json!({ "full": 0.82 })),
        ("all data=a seed=1", json!({ "full": 0.84 })),
        ("ser data=b seed=0", json!({ "loop0": 0.5, "ser": 0.6 })),
        ("ser data=b seed=1", json!({ "loop0": 0.5 })),
        ("all data=b seed=0", json!({ "full": 0.9 })),
    ]
    .into();
    let mut rows: Vec<Row> = plan
        .expand()
        .unwrap()
        .into_iter()
        .filter_map(|cell| {
            let fields = serde_json::from_value(values.get(cell.name.as_str())?.clone()).unwrap();
            Some(row(&cell.id, fields))
        })
        .collect();
    assert_eq!(rows.len(), 8);
    rows.push(row("of another plan", BTreeMap::new()));
    let summary = Summary::new(&plan, &rows).unwrap();
    assert_eq!(summary.foreign, 1);
    let missing = ["ser data=b seed=2", "all data=b seed=1"];
    assert!(
        missing
            .iter()
            .all(|name| summary.missing.contains(&(*name).to_owned()))
    );
    assert_eq!(summary.missing.len(), 2);
    let group = |cell: &str, data: &str| {
        let axes = BTreeMap::from([
            ("cell".to_owned(), json!(cell)),
            ("data".to_owned(), json!(data)),
        ]);
        summary
            .groups
            .iter()
            .find(|group| group.axes == axes)
            .unwrap()
    };
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    let a = group("ser", "a");
    assert_eq!((a.n, a.fields.len()), (3, 2));
    close(a.fields["loop0"].mean, 0.62);
    close(a.fields["loop0"].sd.unwrap(), 0.02);
    close(a.fields["ser"].mean, 0.73);
    close(a.fields["ser"].sd.unwrap(), 0.0013_f64.sqrt());
    close(a.recovery.unwrap(), 0.11 / 0.21);
    let b = group("ser", "b");
    assert_eq!((b.n, b.fields["ser"].n, b.fields["ser"].sd), (2, 1, None));
    close(b.recovery.unwrap(), 0.1 / 0.4);
    assert_eq!(group("all", "a").recovery, None);
    let text = summary.to_string();
    for line in [
        "| cell | data | n | full | loop0 | ser | recovery of the means |",
        "| ser | a | 3 | – | 0.6200 ± 0.0200 | 0.7300 ± 0.0361 | 0.5238 |",
        "| all | a | 2 | 0.8300 ± 0.0141 | – | – | – |",
        "| ser | b | 2 | – | 0.5000 ± 0.0000 | 0.6000 (n 1) | 0.2500 |",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

fn row(id: &str, fields: BTreeMap<String, Value>) -> Row {
    let value = json!({
        "plan": "s", "id": id, "cell": "", "axes": {}, "commit": null, "dirty": false,
        "binary": "", "threads": null, "seconds": 1.0, "status": 0, "fields": fields
    });
    serde_json::from_value(value).unwrap()
}
