//! Comparison with NumPy and SciPy; `golden/eval.py` makes the table.

use collimate_core::Key;
use collimate_eval::{
    Bootstrap, Groups, average_ranks, calibration, normal_quantile, pairwise_accuracy, pearson,
    reward_gap, spearman, wilson_interval,
};
use serde_json::Value;

fn table() -> Value {
    serde_json::from_str(include_str!("golden/eval.json")).expect("the table is JSON")
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .expect("a list")
        .iter()
        .map(number)
        .collect()
}

fn pairs(table: &Value) -> Vec<(f32, f32)> {
    let (chosen, rejected) = (numbers(&table["chosen"]), numbers(&table["rejected"]));
    chosen
        .into_iter()
        .zip(rejected)
        .map(|(c, r)| (c as f32, r as f32))
        .collect()
}

#[track_caller]
fn close(actual: f64, expected: &Value) {
    let expected = number(expected);
    let error = (actual - expected).abs() / expected.abs().max(1.0);
    assert!(error < 1e-12, "{actual} is not {expected}");
}

#[test]
fn accuracy_and_gap() {
    let table = table();
    let expected = &table["accuracy"];
    let accuracy = pairwise_accuracy(&pairs(&table)).unwrap();
    assert_eq!(accuracy.correct as f64, number(&expected["correct"]));
    assert_eq!(accuracy.ties as f64, number(&expected["ties"]));
    close(accuracy.accuracy, &expected["accuracy"]);
    assert_eq!(accuracy.ties_wrong(), accuracy.correct as f64 / 60.0);

    let expected = &table["gap"];
    let gap = reward_gap(&pairs(&table), number(&expected["centre"])).unwrap();
    close(gap.mean, &expected["mean"]);
    close(gap.mean_abs, &expected["mean_abs"]);
    close(gap.same_side as f64, &expected["same_side"]);
    close(
        gap.mean_abs_same_side.unwrap(),
        &expected["mean_abs_same_side"],
    );
}

#[test]
fn reliability() {
    let table = table();
    let expected = &table["calibration"];
    let result = calibration(&pairs(&table), 10).unwrap();
    for (bin, expected) in result.bins.iter().zip(expected["bins"].as_array().unwrap()) {
        assert_eq!(bin.count as f64, number(&expected["count"]));
        close(bin.confidence, &expected["confidence"]);
        close(bin.accuracy, &expected["accuracy"]);
    }
    close(result.ece, &expected["ece"]);
    close(result.brier, &expected["brier"]);
    close(result.log_loss, &expected["log_loss"]);
}

#[test]
fn correlations() {
    let expected = &table()["correlation"];
    let (x, y) = (numbers(&expected["x"]), numbers(&expected["y"]));
    close(pearson(&x, &y).unwrap(), &expected["pearson"]);
    close(spearman(&x, &y).unwrap(), &expected["spearman"]);
    assert_eq!(average_ranks(&x), numbers(&expected["ranks"]));
}

#[test]
fn wilson_and_the_normal_quantile() {
    let table = table();
    for case in table["wilson"].as_array().unwrap() {
        let trials = number(&case["n"]) as usize;
        let interval = wilson_interval(number(&case["k"]), trials, number(&case["level"])).unwrap();
        close(interval.low, &case["low"]);
        close(interval.high, &case["high"]);
    }
    for case in table["normal_quantile"].as_array().unwrap() {
        close(normal_quantile(number(&case[0])), &case[1]);
        // 1 − p is exact only if p has few digits.
        if number(&case[0]) == 0.25 {
            assert_eq!(normal_quantile(0.75), -normal_quantile(0.25));
        }
    }
}

#[test]
fn bootstrap_of_a_share_is_binomial() {
    for case in table()["binomial"].as_array().unwrap() {
        let (ones, n) = (number(&case["ones"]) as usize, number(&case["n"]) as usize);
        let values: Vec<f64> = (0..n).map(|i| f64::from(u8::from(i < ones))).collect();
        let bootstrap = Bootstrap {
            resamples: 20_000,
            confidence: number(&case["level"]),
        };
        for seed in 0..3 {
            let key = Key::new(seed, "golden");
            let interval = bootstrap.mean(&values, Groups::Items, key).unwrap();
            close(interval.low, &case["low"]);
            close(interval.high, &case["high"]);
        }
    }
}
