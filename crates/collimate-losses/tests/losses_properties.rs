//! Laws of the losses, on every device, and inputs that are refused.

use burn::tensor::{DType, Device, Tensor, TensorData};
use collimate_losses::{LossError, PairwiseLoss, mean_over, sum, token_nll};
use collimate_testkit::{assert_close, devices, f64_devices, finite_difference, host, tensor};
use proptest::prelude::*;

const BRADLEY_TERRY: PairwiseLoss = PairwiseLoss::Logistic {
    margin: 0.0,
    center_coefficient: 0.0,
};

fn loss() -> impl Strategy<Value = PairwiseLoss> {
    (0.0_f64..2.0, 0.0_f64..0.5, any::<bool>()).prop_map(|(margin, center_coefficient, hinge)| {
        if hinge {
            PairwiseLoss::Hinge { margin }
        } else {
            PairwiseLoss::Logistic {
                margin,
                center_coefficient,
            }
        }
    })
}

/// Makes pairs of rewards.
fn rewards(scale: f32) -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    prop::collection::vec((-scale..scale, -scale..scale), 1..8)
        .prop_map(|pairs| pairs.into_iter().unzip())
}

fn values(loss: PairwiseLoss, chosen: &[f32], rejected: &[f32], device: &Device) -> Vec<f32> {
    let rewards = |values: &[f32]| tensor(values, [values.len()], device);
    host(
        &loss
            .forward(rewards(chosen), rewards(rejected))
            .expect("valid options"),
    )
}

/// Returns values and both gradients of the sum, in f64.
fn with_gradients(
    loss: PairwiseLoss,
    chosen: &[f64],
    rejected: &[f64],
    device: &Device,
) -> [Vec<f64>; 3] {
    let leaf = |values: &[f64]| {
        let data = TensorData::new(values.to_vec(), [values.len()]);
        Tensor::<1>::from_data(data, (device, DType::F64)).require_grad()
    };
    let (chosen, rejected) = (leaf(chosen), leaf(rejected));
    let out = loss
        .forward(chosen.clone(), rejected.clone())
        .expect("valid options");
    let gradients = out.clone().sum().backward();
    let list = |tensor: Tensor<1>| tensor.into_data().try_to_vec::<f64>().expect("f64 data");
    [
        list(out),
        list(chosen.grad(&gradients).expect("gradient")),
        list(rejected.grad(&gradients).expect("gradient")),
    ]
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn gradients_equal_differences(loss in loss(), (chosen, rejected) in rewards(6.0)) {
        let (chosen, rejected) = (wide(&chosen), wide(&rejected));
        if let PairwiseLoss::Hinge { margin } = loss {
            // No derivative exists at the kink.
            let kink = |(w, l): (&f64, &f64)| (w - l - margin).abs() < 1e-3;
            prop_assume!(!chosen.iter().zip(&rejected).any(kink));
        }
        for (name, device) in f64_devices() {
            let [_, d_chosen, d_rejected] = with_gradients(loss, &chosen, &rejected, &device);
            let total = |w: &[f64], l: &[f64]| -> f64 {
                with_gradients(loss, w, l, &device)[0].iter().sum()
            };
            let expected = finite_difference(|w| total(w, &rejected), &chosen, 1e-5);
            for (a, b) in d_chosen.iter().zip(&expected) {
                prop_assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{name}: {a} {b}");
            }
            let expected = finite_difference(|l| total(&chosen, l), &rejected, 1e-5);
            for (a, b) in d_rejected.iter().zip(&expected) {
                prop_assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{name}: {a} {b}");
            }
        }
    }

    #[test]
    fn equal_rewards_cost_ln_two(reward in -1e4_f32..1e4) {
        for (name, device) in devices() {
            let out = values(BRADLEY_TERRY, &[reward], &[reward], &device);
            assert_close(name, &out, &[std::f64::consts::LN_2], 1e-6);
        }
    }

    #[test]
    fn a_larger_difference_never_costs_more(
        loss in loss(), reward in -5.0_f32..5.0, gap in -30.0_f32..30.0, more in 0.0_f32..10.0,
    ) {
        // The centring term depends on the sum, so the difference grows around a fixed one.
        for (name, device) in devices() {
            let half = |gap: f32| (reward + gap / 2.0, reward - gap / 2.0);
            let ((w, l), (w_more, l_more)) = (half(gap), half(gap + more));
            let out = values(loss, &[w, w_more], &[l, l_more], &device);
            prop_assert!(out[1] <= out[0] + 1e-5 * out[0].abs().max(1.0), "{name}: {out:?}");
        }
    }

    #[test]
    fn finite_far_out(loss in loss(), (chosen, rejected) in rewards(1e4)) {
        for (name, device) in devices() {
            let leaf = |values: &[f32]| tensor::<1>(values, [values.len()], &device).require_grad();
            let (w, l) = (leaf(&chosen), leaf(&rejected));
            let out = loss.forward(w.clone(), l.clone()).unwrap();
            let gradients = out.clone().sum().backward();
            for list in [host(&out), host(&w.grad(&gradients).unwrap()), host(&l.grad(&gradients).unwrap())] {
                prop_assert!(list.iter().all(|v| v.is_finite()), "{name}: {list:?}");
            }
            prop_assert!(host(&out).iter().all(|&v| v >= 0.0), "{name}");
        }
    }

    #[test]
    fn pairs_do_not_see_each_other(loss in loss(), (chosen, rejected) in rewards(5.0)) {
        for (_, device) in devices() {
            let there = values(loss, &chosen, &rejected, &device);
            let turned = |v: &[f32]| v.iter().rev().copied().collect::<Vec<f32>>();
            let back = values(loss, &turned(&chosen), &turned(&rejected), &device);
            let alone: Vec<f32> = chosen.iter().zip(&rejected)
                .flat_map(|(&w, &l)| values(loss, &[w], &[l], &device)).collect();
            // Vector and scalar code paths may round differently in the last digit.
            assert_close("reversed", &turned(&back), &wide(&there), 1e-6);
            assert_close("alone", &alone, &wide(&there), 1e-6);
        }
    }

    #[test]
    fn a_common_shift_changes_nothing(
        pairs in prop::collection::vec((-20_i8..20, -20_i8..20), 1..8),
        shift in -40_i8..40,
        margin in 0.0_f64..2.0,
    ) {
        // Quarters: exact in f32.
        let at = |v: i8, shift: i8| (f32::from(v) + f32::from(shift)) / 4.0;
        let side = |shift: i8| -> (Vec<f32>, Vec<f32>) {
            pairs.iter().map(|&(w, l)| (at(w, shift), at(l, shift))).unzip()
        };
        let ((w, l), (w_moved, l_moved)) = (side(0), side(shift));
        for (_, device) in devices() {
            for loss in [
                PairwiseLoss::Logistic { margin, center_coefficient: 0.0 },
                PairwiseLoss::Hinge { margin },
            ] {
                prop_assert_eq!(values(loss, &w, &l, &device), values(loss, &w_moved, &l_moved, &device));
            }
        }
    }

    #[test]
    fn soft_targets_mix_both_orders(
        loss in loss(),
        pairs in prop::collection::vec((-8.0_f32..8.0, -8.0_f32..8.0, 0.0_f32..=1.0), 1..8),
    ) {
        let chosen: Vec<f32> = pairs.iter().map(|pair| pair.0).collect();
        let rejected: Vec<f32> = pairs.iter().map(|pair| pair.1).collect();
        let targets: Vec<f32> = pairs.iter().map(|pair| pair.2).collect();
        for (name, device) in devices() {
            let soft = |targets: &[f32]| {
                let vector = |values: &[f32]| tensor(values, [values.len()], &device);
                let found = loss.forward_with_targets(vector(&chosen), vector(&rejected), vector(targets));
                host(&found.expect("valid options"))
            };
            let there = values(loss, &chosen, &rejected, &device);
            let back = values(loss, &rejected, &chosen, &device);
            prop_assert_eq!(&soft(&vec![1.0; pairs.len()]), &there);
            prop_assert_eq!(&soft(&vec![0.0; pairs.len()]), &back);
            let mixed: Vec<f64> = (0..pairs.len())
                .map(|i| {
                    let t = f64::from(targets[i]);
                    t * f64::from(there[i]) + (1.0 - t) * f64::from(back[i])
                })
                .collect();
            assert_close(name, &soft(&targets), &mixed, 1e-6);
        }
    }

    #[test]
    fn exchanged_answers_differ_by_the_gap((chosen, rejected) in rewards(8.0)) {
        // −log σ(x) = −log σ(−x) − x
        for (name, device) in devices() {
            let there = values(BRADLEY_TERRY, &chosen, &rejected, &device);
            let back = values(BRADLEY_TERRY, &rejected, &chosen, &device);
            let expected: Vec<f64> = back.iter().zip(chosen.iter().zip(&rejected))
                .map(|(&b, (&w, &l))| f64::from(b) - (f64::from(w) - f64::from(l))).collect();
            assert_close(name, &there, &expected, 1e-5);
        }
    }

    #[test]
    fn the_cut_into_micro_batches_does_not_matter((chosen, rejected) in rewards(5.0), cut in 0_usize..8) {
        let cut = cut.min(chosen.len() - 1);
        for (name, device) in devices() {
            let part = |range: std::ops::Range<usize>| {
                let rewards = |v: &[f32]| tensor(&v[range.clone()], [range.len()], &device);
                let loss = BRADLEY_TERRY.forward(rewards(&chosen), rewards(&rejected)).unwrap();
                host(&mean_over(loss, chosen.len()).unwrap())[0]
            };
            let whole = part(0..chosen.len());
            let first = if cut == 0 { 0.0 } else { part(0..cut) };
            assert_close(name, &[first + part(cut..chosen.len())], &[f64::from(whole)], 1e-6);
        }
    }
}

#[test]
fn margins_of_their_own_get_no_gradient() {
    for (_, device) in devices() {
        let leaf = |values: &[f32]| tensor::<1>(values, [values.len()], &device).require_grad();
        let (w, l, m) = (leaf(&[1.0]), leaf(&[0.0]), leaf(&[0.5]));
        let out = BRADLEY_TERRY
            .forward_with_margins(w.clone(), l, m.clone())
            .unwrap();
        let gradients = out.sum().backward();
        assert!(w.grad(&gradients).is_some());
        assert!(m.grad(&gradients).is_none());
    }
}

#[test]
fn reductions_and_likelihood() {
    for (name, device) in devices() {
        let logps = tensor::<1>(&[-1.5, -0.25, -3.0], [3], &device);
        let nll = token_nll(logps);
        assert_close(name, &host(&nll), &[1.5, 0.25, 3.0], 0.0);
        assert_close(name, &host(&sum(nll.clone())), &[4.75], 1e-7);
        assert_close(
            name,
            &host(&mean_over(nll.clone(), 5).unwrap()),
            &[0.95],
            1e-7,
        );
        assert_eq!(mean_over(nll, 0).err(), Some(LossError::EmptyCount));
    }
}

#[test]
fn what_is_refused() {
    for (loss, part) in [
        (
            PairwiseLoss::Hinge { margin: -1.0 },
            "hinge: margin is -1 but",
        ),
        (
            PairwiseLoss::Logistic {
                margin: f64::NAN,
                center_coefficient: 0.0,
            },
            "margin is NaN",
        ),
        (
            PairwiseLoss::Logistic {
                margin: 0.0,
                center_coefficient: -0.5,
            },
            "logistic: center_coefficient is -0.5 but must be a finite number of at least 0",
        ),
    ] {
        let message = loss.check().unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
    for (_, device) in devices() {
        let short = BRADLEY_TERRY.forward(
            tensor(&[1.0, 2.0], [2], &device),
            tensor(&[1.0], [1], &device),
        );
        assert_eq!(
            short.unwrap_err().to_string(),
            "pairwise loss: rejected_rewards has 1 values, but the batch has 2"
        );
        let two = || tensor(&[1.0, 2.0], [2], &device);
        let short = BRADLEY_TERRY.forward_with_margins(two(), two(), tensor(&[0.0], [1], &device));
        assert!(short.is_err());
    }
    for bad in [
        r#"{"logistic": {"beta": 1}}"#,
        r#"{"hinge": {"margin": "a"}}"#,
        r#""huber""#,
    ] {
        assert!(serde_json::from_str::<PairwiseLoss>(bad).is_err(), "{bad}");
    }
    let hinge: PairwiseLoss = serde_json::from_str(r#"{"hinge": {}}"#).unwrap();
    assert_eq!(hinge, PairwiseLoss::Hinge { margin: 1.0 });
    let plain: PairwiseLoss = serde_json::from_str(r#"{"logistic": {}}"#).unwrap();
    assert_eq!(plain, PairwiseLoss::default());
}

/// The gradient of the cross-entropy between t and σ(r_w − r_l) is σ(r_w − r_l) − t. It vanishes at
/// r_w − r_l = ln(t / (1 − t)). For 0 < t < 1 no hard label gives this gradient.
#[test]
fn a_soft_target_pulls_the_gap_to_its_logit() {
    for (name, device) in f64_devices() {
        for (gap, target) in [
            (0.0, 0.75),
            (1.098_612_288_668_11, 0.75),
            (3.0, 0.9),
            (-2.0, 0.2),
        ] {
            let leaf = |value: f64| {
                let data = TensorData::new(vec![value], [1]);
                Tensor::<1>::from_data(data, (&device, DType::F64)).require_grad()
            };
            let (chosen, rejected) = (leaf(gap), leaf(0.0));
            let loss = BRADLEY_TERRY
                .forward_with_targets(chosen.clone(), rejected.clone(), leaf(target))
                .expect("valid options");
            let gradients = loss.sum().backward();
            let of = |tensor: &Tensor<1>| -> f64 {
                let gradient = tensor.grad(&gradients).expect("a gradient");
                gradient.into_data().iter::<f64>().sum()
            };
            let wanted = 1.0 / (1.0 + (-gap).exp()) - target;
            assert!(
                (of(&chosen) - wanted).abs() < 1e-9,
                "{name}: {} for {wanted}",
                of(&chosen)
            );
            assert!((of(&rejected) + wanted).abs() < 1e-9, "{name}");
        }
    }
}

#[test]
fn targets_of_another_length_are_refused() {
    for (_, device) in devices() {
        let vector = |n: usize| tensor(&vec![0.5; n], [n], &device);
        let error = BRADLEY_TERRY
            .forward_with_targets(vector(2), vector(2), vector(1))
            .expect_err("one target for two pairs");
        assert_eq!(
            error.to_string(),
            "pairwise loss: targets has 1 values, but the batch has 2"
        );
    }
}
