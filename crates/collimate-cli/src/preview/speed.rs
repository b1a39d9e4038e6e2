//! Speed of matrix products on a device, measured briefly.

use std::time::{Duration, Instant};

use burn::tensor::Tensor;
use collimate::prelude::Device;

/// Number of rows of the first matrix: a small pack of tokens.
const ROWS: usize = 512;
/// Duration of the measurement.
const ENOUGH: Duration = Duration::from_millis(150);

/// Measures the floating-point operations per second of a matrix product of the model's size.
pub(super) fn flops_per_second(device: &Device, hidden: usize) -> f64 {
    let size = hidden.clamp(64, 2048);
    let left = Tensor::<2>::ones([ROWS, size], device);
    let right = Tensor::<2>::ones([size, 4 * size], device);
    let product = || {
        let found = left.clone().matmul(right.clone());
        // Reading one number waits for the product.
        let _ = found.slice([0..1, 0..1]).into_data();
    };
    product();
    // The fastest product is the one that other programs disturb least.
    let (started, mut fastest) = (Instant::now(), f64::INFINITY);
    while started.elapsed() < ENOUGH {
        let begin = Instant::now();
        product();
        fastest = fastest.min(begin.elapsed().as_secs_f64());
    }
    let flops = 2.0 * ROWS as f64 * size as f64 * 4.0 * size as f64;
    flops / fastest.max(1e-9)
}
