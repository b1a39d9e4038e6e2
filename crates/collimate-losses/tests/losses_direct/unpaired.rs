//! KTO and unpaired BCO against `golden/unpaired.json`, and their laws.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor};
use collimate_losses::{Bco, Kto, UnpairedLogps, UnpairedLoss, bco_shift, kto_reference_point};
use collimate_testkit::{devices, f64_devices};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use crate::batch::{list, precisions, vector};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    loss: BTreeMap<String, Value>,
    inputs: BTreeMap<String, Vec<f64>>,
    expected: BTreeMap<String, Vec<f64>>,
}

fn loss_of(case: &Case) -> Box<dyn UnpairedLoss> {
    let (kind, options) = case.loss.first_key_value().expect("one loss");
    match kind.as_str() {
        "kto" => Box::new(serde_json::from_value::<Kto>(options.clone()).expect("options")),
        "bco" => Box::new(serde_json::from_value::<Bco>(options.clone()).expect("options")),
        other => panic!("{other}"),
    }
}

struct Out {
    loss: Vec<f64>,
    gradient: Vec<f64>,
    reward: Vec<f64>,
}

fn evaluate(
    loss: &dyn UnpairedLoss,
    [policy, reference]: [&[f64]; 2],
    desirable: &[bool],
    shift: f64,
    device: &Device,
    dtype: DType,
) -> Out {
    let policy: Tensor<1> = vector(policy, device, dtype).require_grad();
    let logps = UnpairedLogps::new(
        policy.clone(),
        vector(reference, device, dtype),
        desirable.to_vec(),
    )
    .with_shift(shift);
    let out = loss.forward(&logps).expect("valid options");
    let reward = list(loss.implicit_rewards(&logps).expect("valid options"));
    let gradients = out.clone().sum().backward();
    Out {
        loss: list(out),
        gradient: list(policy.grad(&gradients).expect("a leaf")),
        reward,
    }
}

#[test]
fn the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/unpaired.json");
    let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(cases.len() >= 6);
    let near = |what: &str, actual: &[f64], expected: &[f64], tolerance: f64| {
        assert_eq!(actual.len(), expected.len(), "{what}");
        for (a, e) in actual.iter().zip(expected) {
            assert!(
                (a - e).abs() <= tolerance * e.abs().max(1.0),
                "{what}: {a} is not {e}"
            );
        }
    };
    for case in &cases {
        let get = |name: &str| case.inputs[name].as_slice();
        if case.inputs.contains_key("mismatched_policy_logps") {
            let ratios: Vec<f64> = get("mismatched_policy_logps")
                .iter()
                .zip(get("mismatched_reference_logps"))
                .map(|(p, r)| p - r)
                .collect();
            near(
                &case.name,
                &[kto_reference_point(&ratios)],
                &case.expected["kl"],
                1e-12,
            );
            continue;
        }
        let loss = loss_of(case);
        let desirable: Vec<bool> = get("desirable").iter().map(|&v| v == 1.0).collect();
        let shift = case
            .inputs
            .get("kl")
            .or(case.inputs.get("shift"))
            .expect("a shift")[0];
        for (device_name, device) in devices() {
            for (dtype, tolerance) in precisions(&device) {
                let inputs = [get("policy_logps"), get("reference_logps")];
                let out = evaluate(loss.as_ref(), inputs, &desirable, shift, &device, dtype);
                let what = format!("{device_name}, {}", case.name);
                near(&what, &out.loss, &case.expected["loss"], tolerance);
                near(
                    &what,
                    &out.gradient,
                    &case.expected["grad.policy_logps"],
                    tolerance,
                );
                near(&what, &out.reward, &case.expected["reward"], tolerance);
            }
        }
    }
}

#[test]
fn reference_points() {
    assert_eq!(kto_reference_point(&[]), 0.0);
    assert_eq!(kto_reference_point(&[-3.0, 1.0]), 0.0);
    assert_eq!(kto_reference_point(&[3.0, 1.0]), 2.0);
    let (lr, side) = ([1.0, 3.0, -4.0], [true, true, false]);
    assert!((bco_shift(0.5, &lr, &side) - -0.5).abs() < 1e-12);
    assert_eq!(bco_shift(0.5, &lr[..2], &side[..2]), 1.0);
    assert_eq!(bco_shift(0.5, &[], &[]), 0.0);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn kto_is_bounded_and_one_half_at_the_reference_point(
        lr in -1e4_f64..1e4, z in 0.0_f64..50.0, side in any::<bool>(),
    ) {
        let kto = Kto::default();
        for (_, device) in devices() {
            let value = |lr: f64| {
                evaluate(&kto, [&[lr - 5.0], &[-5.0]], &[side], z, &device, DType::F32)
            };
            let out = value(lr);
            prop_assert!((0.0..=1.0).contains(&out.loss[0]));
            prop_assert!(out.gradient[0].is_finite());
            let pull = if side { -out.gradient[0] } else { out.gradient[0] };
            prop_assert!(pull >= 0.0);
            prop_assert!((value(z).loss[0] - 0.5).abs() < 1e-5);
        }
    }

    #[test]
    fn bco_mirrors(lr in -50.0_f64..50.0, shift in -2.0_f64..2.0) {
        // The loss of a desirable completion equals that of an undesirable one on the other side.
        let bco = Bco::default();
        for (_, device) in f64_devices() {
            let value = |lr: f64, side: bool, shift: f64| {
                evaluate(&bco, [&[lr], &[0.0]], &[side], shift, &device, DType::F64).loss[0]
            };
            prop_assert!((value(lr, true, shift) - value(-lr, false, -shift)).abs() < 1e-9);
        }
    }
}
