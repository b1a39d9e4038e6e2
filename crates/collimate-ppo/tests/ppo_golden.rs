//! Every pure part against `golden/ppo.json`: in f64 on the host, value and gradient on every
//! device.

use std::path::Path;

use burn::tensor::Tensor;
use collimate_ppo::{
    KlControl, KlEstimator, KlUnit, RewardScaling, RunningMoments, clipped_policy_loss,
    clipped_value_loss, explained_variance, gae, grpo_advantages, kl_loss, rloo_advantages,
    token_rewards, whiten,
};
use collimate_testkit::{GoldenCase, assert_close, devices, host, read_golden, tensor};

/// Returns the cases of one family.
fn cases(family: &str, at_least: usize) -> Vec<GoldenCase> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/ppo.json");
    let mut cases = read_golden(Path::new(path));
    cases.retain(|case| case.name.split(':').next() == Some(family));
    assert!(cases.len() >= at_least, "{family}: {} cases", cases.len());
    cases
}

fn close(case: &GoldenCase, name: &str, found: &[f64]) {
    let expected = &case.expected[name];
    assert_eq!(found.len(), expected.len(), "{}: {name}", case.name);
    for (index, (a, b)) in found.iter().zip(expected).enumerate() {
        let error = (a - b).abs() / b.abs().max(1.0);
        assert!(
            error < 1e-12,
            "{}: {name}[{index}] is {a}, expected {b}",
            case.name
        );
    }
}

#[test]
fn advantages() {
    for case in cases("gae", 5) {
        let of = |name: &str| case.inputs[name][0];
        let (rewards, values) = (&case.inputs["rewards"], &case.inputs["values"]);
        let found = gae(rewards, values, of("gamma"), of("gae_lambda"));
        close(&case, "advantages", &found.advantages);
        close(&case, "returns", &found.returns);
    }
    for case in cases("whiten", 3) {
        // The result is the same for any split into rows.
        let (first, rest) = case.inputs["values"].split_at(1);
        let mut rows = vec![first.to_vec(), Vec::new(), rest.to_vec()];
        whiten(&mut rows);
        close(&case, "whitened", &rows.concat());
    }
    for case in cases("rloo", 3) {
        close(
            &case,
            "advantages",
            &rloo_advantages(&case.inputs["rewards"]),
        );
    }
    for case in cases("grpo", 4) {
        let scale = case.inputs["scale"][0] == 1.0;
        close(
            &case,
            "advantages",
            &grpo_advantages(&case.inputs["rewards"], scale),
        );
    }
    for case in cases("explained_variance", 2) {
        let found = explained_variance(&case.inputs["values"], &case.inputs["returns"]);
        close(&case, "explained_variance", &[found.unwrap()]);
    }
}

#[test]
fn rewards() {
    for case in cases("token_rewards", 2) {
        let of = |name: &str| &case.inputs[name];
        let (policy, reference) = (of("policy_logps"), of("reference_logps"));
        let found = token_rewards(policy, reference, of("kl_coef")[0], of("score")[0]);
        close(&case, "rewards", &found);
    }
    let mut unused = RunningMoments::default();
    for case in cases("scaling_sigmoid", 2) {
        let of = |name: &str| case.inputs[name][0];
        let scaling = RewardScaling::Sigmoid {
            centre: None,
            threshold: of("threshold"),
            min: of("min"),
            max: of("max"),
        };
        close(
            &case,
            "scaled",
            &scaling.apply(&case.inputs["scores"], &mut unused),
        );
    }
    for case in cases("scaling_symmetric", 2) {
        let of = |name: &str| case.inputs[name][0];
        let scaling = RewardScaling::SymmetricClip {
            limit: of("limit"),
            min: of("min"),
            max: of("max"),
        };
        close(
            &case,
            "scaled",
            &scaling.apply(&case.inputs["scores"], &mut unused),
        );
    }
    for case in cases("scaling_running", 2) {
        let mut seen = RunningMoments::default();
        let mut scores = case.inputs["scores"].as_slice();
        let mut found = Vec::new();
        for &size in &case.inputs["batches"] {
            let (batch, rest) = scores.split_at(size as usize);
            scores = rest;
            found.extend(RewardScaling::Running.apply(batch, &mut seen));
        }
        close(&case, "scaled", &found);
    }
    assert_eq!(unused, RunningMoments::default());
}

/// Methods, section 1: threshold ½ maps s = 0.4 to −1, 0.75 to 0 and 1 to 1; the offset of the
/// scores is free.
#[test]
fn scores_and_centre_move_together() {
    let scores: Vec<f64> = [0.4f64, 0.75, 0.6]
        .map(|s| (s / (1.0 - s)).ln())
        .into_iter()
        .chain([40.0])
        .collect();
    let wanted = [-1.0, 0.0, -0.6, 1.0];
    let mut unused = RunningMoments::default();
    for shift in [0.0, 0.37, -11.5, 250.0] {
        let moved: Vec<f64> = scores.iter().map(|score| score + shift).collect();
        let scaling = RewardScaling::PAPER.centred(Some(shift));
        let found = scaling.apply(&moved, &mut unused);
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-9, "{shift}: {found} {wanted}");
        }
        let low: Vec<_> = moved
            .iter()
            .map(|&r| scaling.on_floor(r).unwrap())
            .collect();
        assert_eq!(low, [true, false, false, false], "{shift}");
    }
    // Without the centre, all scores get the same reward.
    let low: Vec<f64> = scores.iter().map(|score| score - 60.0).collect();
    assert_eq!(RewardScaling::PAPER.apply(&low, &mut unused), [-1.0; 4]);
    assert!(
        low.iter()
            .all(|&r| RewardScaling::PAPER.on_floor(r) == Some(true))
    );
    // A given centre is kept.
    let given = RewardScaling::PAPER.centred(Some(1.5));
    assert_eq!(given.centred(Some(9.0)), given);
    assert_eq!(
        RewardScaling::Running.centred(Some(9.0)),
        RewardScaling::Running
    );
    assert_eq!(RewardScaling::Running.on_floor(-1e9), None);
}

#[test]
fn scalings_of_earlier_files_are_read() {
    let old = r#"{"sigmoid":{"threshold":0.5,"min":-1.0,"max":1.0}}"#;
    let read: RewardScaling = serde_json::from_str(old).unwrap();
    assert_eq!(read, RewardScaling::PAPER);
    assert_eq!(serde_json::to_string(&read).unwrap(), old);
    let centred = r#"{"sigmoid":{"centre":0.25,"threshold":0.5,"min":-1.0,"max":1.0}}"#;
    let read: RewardScaling = serde_json::from_str(centred).unwrap();
    assert_eq!(read, RewardScaling::PAPER.centred(Some(0.25)));
    assert_eq!(
        read.to_string(),
        "σ(score − 0.2500), where 0.5 to 1 is mapped to -1 to 1"
    );
}

#[test]
fn divergence() {
    for case in cases("adaptive_kl", 4) {
        let of = |name: &str| case.inputs[name][0];
        for unit in [KlUnit::PerSequence, KlUnit::PerToken] {
            let control = KlControl::Adaptive {
                initial: of("kl_coef"),
                target: of("target"),
                horizon: of("horizon"),
                unit,
            };
            let mut coefficient = control.initial();
            let mut found = Vec::new();
            for &kl in &case.inputs["kl"] {
                // The other unit's number must not matter.
                let (sequence, token) = match unit {
                    KlUnit::PerSequence => (kl, 1e3),
                    KlUnit::PerToken => (1e3, kl),
                };
                let responses = of("sequences") as usize;
                coefficient = control.next(coefficient, sequence, token, responses);
                found.push(coefficient);
            }
            close(&case, "kl_coef", &found);
        }
    }
    for case in cases("kl", 3) {
        let (policy, reference) = (
            &case.inputs["policy_logps"],
            &case.inputs["reference_logps"],
        );
        for (name, estimator) in [
            ("k1", KlEstimator::K1),
            ("k2", KlEstimator::K2),
            ("k3", KlEstimator::K3),
        ] {
            let pairs = policy.iter().zip(reference);
            let found: Vec<f64> = pairs.map(|(p, r)| estimator.value(p - r)).collect();
            close(&case, name, &found);
        }
    }
}

/// Returns a tracked leaf, or a constant.
fn input(case: &GoldenCase, name: &str, device: &burn::tensor::Device) -> Tensor<1> {
    let values: Vec<f32> = case.inputs[name].iter().map(|&v| v as f32).collect();
    tensor(&values, [values.len()], device)
}

#[test]
fn losses_and_their_gradients() {
    let mut checked = 0;
    for (device_name, device) in devices() {
        let mut check = |case: &GoldenCase, loss: Tensor<1>, leaf: Tensor<1>, names: [&str; 2]| {
            let what = format!("{device_name}, {}", case.name);
            assert_close(&what, &host(&loss), &case.expected[names[0]], 2e-6);
            let gradients = loss.sum().backward();
            let gradient = leaf.grad(&gradients).expect("a leaf with gradient");
            let what = format!("{what}, {}", names[1]);
            assert_close(&what, &host(&gradient), &case.expected[names[1]], 2e-6);
            checked += 1;
        };
        for case in cases("policy_loss", 6) {
            let logps = input(&case, "logps", &device).require_grad();
            let (old, advantages) = (
                input(&case, "old_logps", &device),
                input(&case, "advantages", &device),
            );
            let dual = Some(case.inputs["dual_clip"][0]).filter(|&c| c > 0.0);
            let clip = case.inputs["clip_range"][0];
            let loss = clipped_policy_loss(logps.clone(), old, advantages, clip, dual);
            check(&case, loss, logps, ["loss", "grad.logps"]);
        }
        for case in cases("value_loss", 4) {
            let values = input(&case, "values", &device).require_grad();
            let (old, returns) = (
                input(&case, "old_values", &device),
                input(&case, "returns", &device),
            );
            let clip = case.inputs["clip_range"][0];
            let loss = clipped_value_loss(values.clone(), old, returns, clip);
            check(&case, loss, values, ["loss", "grad.values"]);
        }
        for case in cases("kl", 3) {
            let logps = input(&case, "policy_logps", &device).require_grad();
            let loss = kl_loss(logps.clone(), input(&case, "reference_logps", &device));
            check(&case, loss, logps, ["k3", "grad.k3"]);
        }
    }
    assert!(checked >= 26);
}
