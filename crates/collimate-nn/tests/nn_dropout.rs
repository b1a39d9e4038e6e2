//! Dropout masks: reproducible, of the right rate and scale, the same on every device.

use burn::tensor::{Device, Tensor};
use collimate_core::Key;
use collimate_nn::{Forward, Pack, RowForward, dropout};
use collimate_ops::Visibility;
use collimate_testkit::{assert_close, devices, host, tensor};
use proptest::prelude::*;

fn ones(shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::ones(shape, device)
}

#[test]
fn a_key_gives_one_mask_on_every_device() {
    let key = Key::new(1, "dropout");
    let masks: Vec<Vec<f32>> = devices()
        .iter()
        .map(|(_, device)| host(&dropout(ones([40, 25], device), 0.3, key)))
        .collect();
    assert!(masks.iter().all(|mask| *mask == masks[0]), "{masks:?}");
    let device = &devices()[0].1;
    let again = |key| host(&dropout(ones([40, 25], device), 0.3, key));
    assert_eq!(again(key), masks[0]);
    assert_ne!(again(key.with(0)), masks[0]);
    assert_ne!(again(Key::new(2, "dropout")), masks[0]);
}

#[test]
fn an_example_has_its_masks_whatever_stands_beside_it() {
    let f = Forward::train(Key::new(1, "dropout"));
    for (name, device) in devices() {
        let of = |examples: &[u64]| {
            let rows = RowForward::new(f, Some(examples));
            host(&rows.drop(ones([examples.len(), 9], &device), 0.5))
        };
        let (first, second) = (of(&[3, 3, 3]), of(&[7, 7]));
        assert_ne!(first[..18], second[..], "{name}: two examples, two masks");
        assert_eq!(
            of(&[3, 3, 3, 7, 7]),
            [&first[..], &second[..]].concat(),
            "{name}"
        );
        assert_eq!(
            of(&[7, 7, 3, 3, 3]),
            [&second[..], &first[..]].concat(),
            "{name}"
        );
        // Rows of one example need not be adjacent.
        let mixed = [&first[..9], &second[..9], &first[9..], &second[9..]].concat();
        assert_eq!(of(&[3, 7, 3, 3, 7]), mixed, "{name}");
        let one_stream = RowForward::from(f).drop(ones([5, 9], &device), 0.5);
        let key = f.dropout.unwrap();
        let wanted = host(&dropout(ones([5, 9], &device), 0.5, key));
        assert_eq!(host(&one_stream), wanted, "{name}: without examples");
    }
}

#[test]
fn rows_belong_to_the_example_that_brought_them() {
    let mut pack = Pack::new();
    pack.push_shared(&[1, 5], &[&[7], &[8, 9]]);
    pack.push_shared(&[1], &[&[7, 2], &[2]]);
    let batch = pack.to_device(Visibility::Causal, &devices()[0].1);
    assert_eq!(batch.examples, None);
    let batch = batch.of_examples(&[40, 3]);
    let owners = batch.examples.unwrap();
    assert_eq!(owners[..], [40, 40, 40, 40, 40, 3, 3, 3, 3]);
}

#[test]
fn value_stability() {
    // A resumed run must draw the same mask again.
    let device = &devices()[0].1;
    let mask = host(&dropout(
        ones([4, 8], device),
        0.5,
        Key::new(7, "sft").step(3),
    ));
    let kept: String = mask
        .iter()
        .map(|&v| if v == 0.0 { '0' } else { '1' })
        .collect();
    assert_eq!(kept, EXPECTED);
}

const EXPECTED: &str = "01010110111000000001110110110111";

#[test]
fn rate_and_scale() {
    let device = &devices()[0].1;
    let n = 300 * 400;
    for probability in [0.1, 0.5, 0.9] {
        let out = host(&dropout(
            ones([300, 400], device),
            probability,
            Key::new(3, "rate"),
        ));
        let scale = (1.0 / (1.0 - probability)) as f32;
        let dropped = out.iter().filter(|&&v| v == 0.0).count();
        assert!(
            out.iter()
                .all(|&v| v == 0.0 || (v - scale).abs() < 1e-4 * scale)
        );
        // The tolerance is five standard deviations of a binomial count.
        let spread = 5.0 * (n as f64 * probability * (1.0 - probability)).sqrt();
        let expected = n as f64 * probability;
        assert!(
            (dropped as f64 - expected).abs() < spread,
            "{dropped} of {n} dropped at {probability}"
        );
        // The mean stays unchanged.
        let mean = out.iter().map(|&v| f64::from(v)).sum::<f64>() / n as f64;
        assert!((mean - 1.0).abs() < 0.05, "mean {mean} at {probability}");
    }
}

#[test]
fn rows_and_columns_are_independent() {
    let device = &devices()[0].1;
    let out = host(&dropout(ones([200, 200], device), 0.5, Key::new(4, "rows")));
    for index in 0..200 {
        let row = out[200 * index..200 * (index + 1)].iter();
        let column = out.iter().skip(index).step_by(200);
        for dropped in [
            row.filter(|&&v| v == 0.0).count(),
            column.filter(|&&v| v == 0.0).count(),
        ] {
            assert!((50..150).contains(&dropped), "{dropped} of 200");
        }
    }
}

#[test]
fn the_ends() {
    for (_, device) in devices() {
        let x = tensor(&[1.0, -2.0, 3.0, 4.0], [2, 2], &device);
        let key = Key::new(5, "ends");
        assert_eq!(host(&dropout(x.clone(), 0.0, key)), host(&x));
        assert_eq!(host(&dropout(x, 1.0, key)), [0.0; 4]);
    }
}

#[test]
fn the_gradient_is_the_mask() {
    for (name, device) in devices() {
        let x = ones([5, 7], &device).require_grad();
        let y = dropout(x.clone(), 0.4, Key::new(6, "gradient"));
        let mask: Vec<f64> = host(&y).iter().map(|&v| f64::from(v)).collect();
        let grad = x.grad(&y.sum().backward()).unwrap();
        assert_close(name, &host(&grad), &mask, 1e-6);
    }
}

#[test]
fn parts_of_a_forward_pass_have_masks_of_their_own() {
    let f = Forward::train(Key::new(1, "step"));
    assert_ne!(f.part(0).dropout, f.part(1).dropout);
    assert_ne!(f.part(0).part(1).dropout, f.part(1).part(0).dropout);
    assert_eq!(Forward::EVAL.part(3), Forward::EVAL);
    assert_eq!(Forward::REFERENCE.part(3), Forward::REFERENCE);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_value_is_dropped_or_scaled(
        rows in 1usize..20, width in 1usize..20, probability in 0.01f64..0.95, seed in 0u64..100,
    ) {
        let values: Vec<f32> = (0..rows * width).map(|i| 1.0 + i as f32).collect();
        let key = Key::new(seed, "property");
        for (_, device) in devices() {
            let x = tensor(&values, [rows, width], &device);
            let out = host(&dropout(x, probability, key));
            let scale = 1.0 / (1.0 - probability);
            for (out, value) in out.iter().zip(&values) {
                let wanted = f64::from(*value) * scale;
                let close = (f64::from(*out) - wanted).abs() < 1e-3 * wanted;
                prop_assert!(*out == 0.0 || close, "{out} of {value}");
            }
        }
    }
}
