//! The plain twins agree on every device and with host computations in f64.

use burn::tensor::Tensor;
use collimate_ops::naive;
use collimate_testkit::{Noise, assert_close, devices, host, tensor};

#[test]
fn linear_matches_a_host_loop() {
    for (name, device) in devices() {
        let mut noise = Noise::new(1);
        let (x, w, b) = (
            noise.values(6, 1.0),
            noise.values(12, 1.0),
            noise.values(4, 1.0),
        );
        let y: Tensor<2> = naive::linear(
            tensor(&x, [2, 3], &device),
            tensor(&w, [4, 3], &device),
            Some(tensor(&b, [4], &device)),
        );
        let expected: Vec<f64> = (0..8)
            .map(|i| {
                let (row, out) = (i / 4, i % 4);
                let dot = (0..3).map(|k| f64::from(x[row * 3 + k]) * f64::from(w[out * 3 + k]));
                dot.sum::<f64>() + f64::from(b[out])
            })
            .collect();
        assert_close(name, &host(&y), &expected, 1e-6);
    }
}
