//! Every template renders, with full and with minimal outcomes.

mod alignment;
mod policies;
mod rewards;

use std::fs;

use collimate_ppo::metrics as ppo_names;
use collimate_run::RunFolder;
use collimate_train::metric_names as names;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::{AnswerReport, RecipeError};

const ABOUT: &str = "About the *run*.";

/// Writes a report into a run folder whose stages have metrics, and returns the report.
fn written(
    stages: &[&str],
    write: impl FnOnce(&RunFolder, &Map<String, Value>) -> Result<(), RecipeError>,
) -> String {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::create(&folder.path().join("run"), &json!({})).unwrap();
    let metrics = [
        "loss",
        names::LOGPS_CHOSEN,
        names::LOGPS_REJECTED,
        names::REWARDS_CHOSEN,
        names::REWARDS_REJECTED,
        ppo_names::SCORES,
        ppo_names::KL,
    ];
    for stage in stages {
        for step in [1, 2] {
            let values = metrics.map(|metric| (metric, 0.5 * step as f64));
            run.metrics().log(stage, step, values).unwrap();
        }
    }
    // A template also reads the second name.
    let extra = Map::from_iter([
        ("note".to_owned(), json!("of the caller")),
        ("policies".to_owned(), json!("a stage of the caller")),
    ]);
    write(&run, &extra).unwrap();
    let summary = fs::read_to_string(run.path().join("summary.json")).unwrap();
    assert!(summary.contains("of the caller"));
    let report = fs::read_to_string(run.path().join("report.md")).unwrap();
    assert!(report.contains(&format!("\n\n{ABOUT}\n\n")) && report.contains("## Files"));
    report
}

fn holds(report: &str, parts: &[&str]) {
    for part in parts {
        assert!(report.contains(part), "{part:?} is not in: {report}");
    }
}

fn lacks(report: &str, parts: &[&str]) {
    for part in parts {
        assert!(!report.contains(part), "{part:?} is in: {report}");
    }
}

fn from<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn interval() -> Value {
    json!({"estimate": 0.5, "low": 0.25, "high": 0.75})
}

fn answers(answer: &str) -> AnswerReport {
    from(json!({
        "mean_score": interval(), "win_rate": interval(), "counts": [3, 2, 1],
        "mean_tokens": 7.25, "finished": 0.5, "reward_length": [-0.5, 0.25], "reward_score": null,
        "samples": [{
            "prompt": "a|b\nc", "answer": answer, "score": 0.25,
            "start_answer": "*so*", "start_score": -1.0,
        }],
    }))
}

fn accuracy() -> Value {
    json!({"pairs": 8, "correct": 5, "ties": 2, "accuracy": 0.75})
}
