//! Value, gradient and implicit reward against `golden/direct.json` and `golden/token_means.json`,
//! on every device.

use std::collections::BTreeMap;

use collimate_losses::{Anchored, DirectLoss, PreferenceLoss};
use collimate_testkit::devices;
use serde::Deserialize;

use crate::batch::{Batch, precisions};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    loss: PreferenceLoss,
    #[serde(default)]
    nll_anchor: f64,
    inputs: BTreeMap<String, Vec<f64>>,
    expected: BTreeMap<String, Vec<f64>>,
}

fn cases() -> Vec<Case> {
    let read = |name: &str| -> Vec<Case> {
        let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).expect("the table")).expect("its form")
    };
    let mut cases = read("direct.json");
    cases.extend(read("token_means.json"));
    cases
}

fn close(what: &str, actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (a, e) in actual.iter().zip(expected) {
        let far = (a - e).abs() / e.abs().max(1.0);
        assert!(far <= tolerance, "{what}: {a} is not {e}");
    }
}

#[test]
fn the_table_covers_every_loss() {
    let cases = cases();
    for loss in PreferenceLoss::all() {
        let rows = cases.iter().filter(|case| case.loss.name() == loss.name());
        assert!(rows.count() >= 3, "{}", loss.name());
    }
}

#[test]
fn values_gradients_and_rewards() {
    for (device_name, device) in devices() {
        for case in cases() {
            let n = case.inputs["policy_chosen_logps"].len();
            let column = |name: &str| -> Vec<f64> {
                // A loss without a reference must not read one.
                case.inputs.get(name).cloned().unwrap_or(vec![-1.0; n])
            };
            let count = |name: &str| column(name).iter().map(|&v| v.abs() as usize).collect();
            let batch = Batch {
                logps: [
                    column("policy_chosen_logps"),
                    column("policy_rejected_logps"),
                    column("reference_chosen_logps"),
                    column("reference_rejected_logps"),
                ],
                tokens: [count("chosen_tokens"), count("rejected_tokens")],
            };
            for (dtype, tolerance) in precisions(&device) {
                let what = format!("{device_name}, {dtype:?}, {}", case.name);
                let anchored = Anchored {
                    loss: case.loss,
                    alpha: case.nll_anchor,
                };
                let out = batch.evaluate(&anchored, &device, dtype);
                for (name, actual) in [
                    ("loss", &out.loss),
                    ("grad.policy_chosen_logps", &out.gradients[0]),
                    ("grad.policy_rejected_logps", &out.gradients[1]),
                    ("reward.chosen", &out.rewards[0]),
                    ("reward.rejected", &out.rewards[1]),
                ] {
                    close(
                        &format!("{what}, {name}"),
                        actual,
                        &case.expected[name],
                        tolerance,
                    );
                }
            }
        }
    }
}
