//! Comparison with mpmath and the rouge-score package; `golden/judge.py` makes the table.

use collimate_judge::{LengthControl, rouge_l};
use serde_json::Value;

fn table() -> Value {
    serde_json::from_str(include_str!("golden/judge.json")).expect("the table is JSON")
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[track_caller]
fn close(actual: f64, expected: &Value, tolerance: f64) {
    let expected = number(expected);
    let error = (actual - expected).abs() / expected.abs().max(1.0);
    assert!(error < tolerance, "{actual} is not {expected}");
}

#[test]
fn length_control() {
    let table = table();
    for case in table["lengths"].as_array().expect("a list") {
        let duels: Vec<(f64, f64)> = case["duels"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|duel| (number(&duel[0]), number(&duel[1])))
            .collect();
        let ridge = number(&case["ridge"]);
        let fit = LengthControl { ridge }.fit(&duels).expect("a fit");
        close(fit.win_rate, &case["win_rate"], 1e-12);
        close(fit.intercept, &case["intercept"], 1e-11);
        close(fit.length_weight, &case["length_weight"], 1e-11);
        close(fit.raw, &case["raw"], 1e-15);
        close(fit.sd, &case["sd"], 1e-13);
    }
}

#[test]
fn rouge() {
    for case in table()["rouge"].as_array().expect("a list") {
        let text = |side: usize| case[side].as_str().expect("a text");
        let (a, b) = (text(0), text(1));
        close(rouge_l(a, b), &case[2], 1e-15);
        assert_eq!(rouge_l(a, b), rouge_l(b, a), "{a:?} {b:?}");
    }
}
