//! Every operation compared with a plain f64 computation of its formula, on every device.

mod attention;
mod layers;
mod logps;
mod optimiser;

use std::num::NonZeroUsize;

use burn::tensor::{Device, Int, Tensor, TensorData};
use collimate_core::Segment;
use collimate_ops::{
    AdamW, AdamWState, AttentionPlan, Heads, RopeTable, Scores, Visibility, adamw_step,
    adamw_step_scaled, sum_of_squares,
};
use collimate_testkit::{Noise, assert_close, devices, finite_difference, host, tensor};

pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

/// Compares value and gradient of `op` at `x` on every device with `reference` and its central
/// differences. The scalar is a fixed weighted sum of the output.
pub(crate) fn check(
    name: &str,
    x: &[f32],
    shape: [usize; 2],
    op: &dyn Fn(Tensor<2>) -> Tensor<2>,
    reference: &dyn Fn(&[f64]) -> Vec<f64>,
) {
    let expected = reference(&wide(x));
    let weights = Noise::new(5).values(expected.len(), 1.0);
    let scalar = |x: &[f64]| -> f64 {
        reference(x)
            .iter()
            .zip(&weights)
            .map(|(y, w)| y * f64::from(*w))
            .sum()
    };
    let slope = finite_difference(scalar, &wide(x), 1e-5);
    for (device_name, device) in devices() {
        let x: Tensor<2> = tensor(x, shape, &device).require_grad();
        let y = op(x.clone());
        assert_close(
            &format!("{name} on {device_name}"),
            &host(&y),
            &expected,
            1e-5,
        );
        let weights: Tensor<2> = tensor(&weights, y.dims(), &device);
        let grads = (y * weights).sum().backward();
        let grad = host(&x.grad(&grads).unwrap());
        assert_close(
            &format!("{name} gradient on {device_name}"),
            &grad,
            &slope,
            2e-5,
        );
    }
}
