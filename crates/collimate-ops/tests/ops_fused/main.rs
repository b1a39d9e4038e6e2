//! Every fused operation equals its plain twin on flex, in value and in every gradient.

mod attention;
mod layers;
mod logps;

use std::num::NonZeroUsize;

use burn::tensor::{Device, Int, Tensor, TensorData};
use collimate_core::Segment;
use collimate_ops::{AttentionPlan, Heads, RopeTable, Scores, Visibility, naive};
use collimate_testkit::{Noise, assert_close, flex, host, tensor};

/// Shape and values of one input.
type Values = (Vec<usize>, Vec<f32>);

/// Computes the output and gradients of `op` for a fixed random output gradient. Inputs not in
/// `tracked` require no gradient.
fn evaluate(
    inputs: &[Values],
    tracked: &[bool],
    device: &Device,
    op: &dyn Fn(&[Tensor<2>]) -> Tensor<2>,
) -> Vec<Option<Vec<f32>>> {
    let tensors: Vec<Tensor<2>> = inputs
        .iter()
        .zip(tracked)
        .map(|((shape, values), tracked)| {
            let t = tensor(values, [shape[0], shape[1]], device);
            if *tracked { t.require_grad() } else { t }
        })
        .collect();
    let out = op(&tensors);
    let mut results = vec![Some(host(&out))];
    if tracked.contains(&true) {
        let weights = Noise::new(99).values(out.shape().num_elements(), 1.0);
        let weights: Tensor<2> = tensor(&weights, out.dims(), device);
        let grads = (out * weights).sum().backward();
        results.extend(tensors.iter().map(|t| t.grad(&grads).map(|g| host(&g))));
    }
    results
}

/// Applies [`assert_close`] with the largest expected value as the unit, however small it is. The
/// unit is one if all values are zero.
fn assert_close_in_scale(what: &str, actual: &[f32], expected: &[f32], tolerance: f64) {
    let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let scale = if largest > 0.0 { largest } else { 1.0 };
    let actual: Vec<f32> = actual.iter().map(|v| v / scale).collect();
    let expected: Vec<f64> = expected.iter().map(|v| f64::from(v / scale)).collect();
    assert_close(what, &actual, &expected, tolerance);
}

#[test]
#[should_panic(expected = "element 1")]
fn small_values_are_compared_in_their_own_scale() {
    assert_close_in_scale("x", &[1e-6, 2e-7], &[1e-6, 1e-7], 1e-5);
}

/// Compares both twins for every choice of tracked inputs.
fn agree(
    name: &str,
    inputs: &[Values],
    fused: &dyn Fn(&[Tensor<2>]) -> Tensor<2>,
    plain: &dyn Fn(&[Tensor<2>]) -> Tensor<2>,
) {
    let device = flex();
    for choice in 0..1usize << inputs.len() {
        let tracked: Vec<bool> = (0..inputs.len()).map(|i| choice >> i & 1 == 1).collect();
        let actual = evaluate(inputs, &tracked, &device, fused);
        let expected = evaluate(inputs, &tracked, &device, plain);
        assert_eq!(actual.len(), expected.len());
        for (i, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
            let what = format!("{name}, tracked {tracked:?}, result {i}");
            assert_eq!(actual.is_some(), expected.is_some(), "{what}: presence");
            if let (Some(actual), Some(expected)) = (actual, expected) {
                assert_close_in_scale(&what, actual, expected, 1e-5);
            }
        }
        let again = evaluate(inputs, &tracked, &device, fused);
        assert_eq!(actual, again, "{name}: repeated runs differ");
    }
}

fn values(seed: u64, rows: usize, columns: usize) -> Values {
    (
        vec![rows, columns],
        Noise::new(seed).values(rows * columns, 1.5),
    )
}

fn vector(t: &Tensor<2>) -> Tensor<1> {
    t.clone().flatten(0, 1)
}

fn ids(values: &[i64], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

#[test]
fn views_mixed_devices_and_untracked_inputs() {
    let device = flex();
    let inner = device.clone().inner();
    let x: Tensor<2> = tensor(&values(1, 6, 10).1, [6, 10], &device).require_grad();
    let weight: Tensor<2> = tensor(&values(2, 10, 4).1, [10, 4], &inner);
    // The inputs are a transposed view, a narrowed view, and a constant of the untracked device.
    let run = |fused: bool| {
        let op = if fused {
            collimate_ops::linear
        } else {
            naive::linear
        };
        let part = x.clone().narrow(0, 1, 4);
        let out = op(part, weight.clone().transpose(), None);
        let grads = out.clone().square().sum().backward();
        [host(&out), host(&x.grad(&grads).unwrap())]
    };
    for (actual, expected) in run(true).iter().zip(run(false)) {
        let expected: Vec<f64> = expected.iter().map(|v| f64::from(*v)).collect();
        assert_close("views", actual, &expected, 1e-5);
    }
    let plain = collimate_ops::gelu(tensor(&[1.0], [1, 1], &inner));
    assert!(!plain.device().is_autodiff());
    let untracked = collimate_ops::gelu(tensor(&[1.0], [1, 1], &device));
    assert!(untracked.device().is_autodiff() && !untracked.is_require_grad());
}

#[test]
fn gradient_checkpointing_gives_the_same_gradient() {
    let run = |device: &Device| {
        let x: Tensor<2> = tensor(&values(1, 6, 10).1, [6, 10], device).require_grad();
        let y = collimate_ops::gelu((x.clone() * 2.0).exp());
        let grads = (y.clone() * y).sum().backward();
        host(&x.grad(&grads).unwrap())
    };
    let plain = Device::flex().autodiff();
    let balanced = Device::flex().autodiff().gradient_checkpointing();
    assert_eq!(run(&plain), run(&balanced));
}
