//! Value and gradient against `golden/pairwise.json`, on every device.

use std::path::Path;

use burn::tensor::Tensor;
use collimate_losses::PairwiseLoss;
use collimate_testkit::{GoldenCase, assert_close, devices, host, read_golden, tensor};

fn cases() -> Vec<GoldenCase> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/pairwise.json");
    read_golden(Path::new(path))
}

fn loss_of(case: &GoldenCase) -> PairwiseLoss {
    let margin = case.inputs["margin"][0];
    if case.name.starts_with("hinge") {
        PairwiseLoss::Hinge { margin }
    } else {
        PairwiseLoss::Logistic {
            margin,
            center_coefficient: case.inputs["center"][0],
        }
    }
}

#[test]
fn pairwise_table() {
    let cases = cases();
    assert_eq!(cases.len(), 13);
    for (device_name, device) in devices() {
        for case in &cases {
            let input = |name: &str| -> Tensor<1> {
                let values: Vec<f32> = case.inputs[name].iter().map(|&v| v as f32).collect();
                tensor(&values, [values.len()], &device)
            };
            let chosen = input("chosen").require_grad();
            let rejected = input("rejected").require_grad();
            let loss = loss_of(case);
            let values = if case.inputs.contains_key("margins") {
                loss.forward_with_margins(chosen.clone(), rejected.clone(), input("margins"))
            } else {
                loss.forward(chosen.clone(), rejected.clone())
            }
            .expect("the table's options are valid");
            let what = format!("{device_name}, {}", case.name);
            assert_close(&what, &host(&values), &case.expected["loss"], 1e-6);
            let gradients = values.sum().backward();
            for (name, leaf) in [("grad.chosen", &chosen), ("grad.rejected", &rejected)] {
                let gradient = leaf.grad(&gradients).expect("a leaf with gradient");
                let what = format!("{what}, {name}");
                assert_close(&what, &host(&gradient), &case.expected[name], 1e-6);
            }
        }
    }
}
