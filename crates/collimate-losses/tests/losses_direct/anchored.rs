//! Laws of the likelihood anchor, for every loss that takes one.

use burn::tensor::DType;
use collimate_losses::{Anchored, DirectLoss, PreferenceLoss, ReferenceNeed};
use collimate_testkit::{devices, f64_devices, finite_difference, flex};
use proptest::prelude::*;

use crate::batch::{Out, batches, precisions};

fn takes_one(loss: &PreferenceLoss) -> bool {
    loss.reference_need() == ReferenceNeed::Required && !loss.has_likelihood()
}

fn losses() -> Vec<PreferenceLoss> {
    PreferenceLoss::all()
        .into_iter()
        .filter(takes_one)
        .collect()
}

/// Returns all outputs, bit by bit.
fn bits(out: &Out) -> Vec<u64> {
    let lists = [&out.loss, &out.gradients[0], &out.gradients[1]];
    let lists = lists.into_iter().chain(&out.rewards);
    lists.flatten().map(|value| value.to_bits()).collect()
}

#[test]
fn all_but_two_losses_take_one() {
    let others: Vec<PreferenceLoss> = PreferenceLoss::all();
    let others = others.iter().filter(|loss| !takes_one(loss));
    let names: Vec<&str> = others.map(|loss| loss.name()).collect();
    assert_eq!(names, ["simpo", "orpo"]);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn weight_0_is_the_loss_bit_by_bit(
        loss in prop::sample::select(PreferenceLoss::all()),
        batch in batches(-40.0),
    ) {
        for (name, device) in devices() {
            for (dtype, _) in precisions(&device) {
                let bare = batch.evaluate(&loss, &device, dtype);
                let anchored = batch.evaluate(&Anchored { loss, alpha: 0.0 }, &device, dtype);
                prop_assert_eq!(bits(&bare), bits(&anchored), "{} {:?}", name, loss);
            }
        }
    }

    #[test]
    fn the_anchor_adds_the_mean_likelihood(
        loss in prop::sample::select(losses()),
        batch in batches(-40.0),
        alpha in 0.01_f64..3.0,
    ) {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9 * b.abs().max(1.0);
        for (name, device) in f64_devices() {
            let bare = batch.evaluate(&loss, &device, DType::F64);
            let out = batch.evaluate(&Anchored { loss, alpha }, &device, DType::F64);
            for i in 0..batch.len() {
                let (logp, tokens) = (batch.logps[0][i], batch.tokens[0][i] as f64);
                prop_assert!(
                    near(out.loss[i], bare.loss[i] - alpha * logp / tokens),
                    "{name} {loss:?}: value"
                );
                prop_assert!(
                    near(out.gradients[0][i], bare.gradients[0][i] - alpha / tokens),
                    "{name} {loss:?}: gradient"
                );
            }
            prop_assert_eq!(&out.gradients[1], &bare.gradients[1], "{} {:?}", name, loss);
            prop_assert_eq!(&out.rewards, &bare.rewards, "{} {:?}", name, loss);
        }
    }

    #[test]
    fn gradients_equal_differences(
        loss in prop::sample::select(losses()),
        batch in batches(-8.0),
        alpha in 0.01_f64..3.0,
    ) {
        if let PreferenceLoss::SlicHf(slic) = loss {
            // No derivative exists at the kink.
            let rewards = batch.evaluate(&loss, &flex(), DType::F64).rewards;
            let kink = |(w, l): (&f64, &f64)| (w - l - slic.delta).abs() < 1e-3;
            prop_assume!(!rewards[0].iter().zip(&rewards[1]).any(kink));
        }
        let loss = Anchored { loss, alpha };
        for (name, device) in f64_devices() {
            let out = batch.evaluate(&loss, &device, DType::F64);
            for column in 0..2 {
                let total = |values: &[f64]| -> f64 {
                    let mut moved = batch.clone();
                    moved.logps[column] = values.to_vec();
                    moved.loss(&loss, &device).iter().sum()
                };
                let expected = finite_difference(total, &batch.logps[column], 1e-5);
                for (a, b) in out.gradients[column].iter().zip(&expected) {
                    prop_assert!((a - b).abs() < 2e-6 * b.abs().max(1.0), "{name} {loss:?}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn finite_far_out(
        loss in prop::sample::select(losses()),
        batch in batches(-1e4),
        alpha in 0.01_f64..3.0,
    ) {
        for (name, device) in devices() {
            let out = batch.evaluate(&Anchored { loss, alpha }, &device, DType::F32);
            for list in [&out.loss, &out.gradients[0], &out.gradients[1]] {
                prop_assert!(list.iter().all(|v| v.is_finite()), "{name} {loss:?}: {out:?}");
            }
        }
    }

    // Two pairs in one batch and the same pairs alone: the mean is over the tokens of a pair, never of
    // a batch.
    #[test]
    fn no_pair_sees_the_tokens_of_others(batch in batches(-40.0), alpha in 0.01_f64..3.0) {
        let loss = Anchored { loss: PreferenceLoss::default(), alpha };
        for (_, device) in devices() {
            let whole = batch.loss(&loss, &device);
            for (i, value) in whole.iter().enumerate() {
                let alone = batch.pick(&[i]).loss(&loss, &device)[0];
                prop_assert!((value - alone).abs() < 1e-12 * alone.abs().max(1.0));
            }
        }
    }
}
