//! Peak speed of the hardware: the fastest matrix product in this process.

use std::time::Instant;

use gemm::Parallelism;

const ROUNDS: usize = 7;
/// Numbers of rows, inner dimension and columns.
const SIZES: [usize; 3] = [2048, 384, 32_000];

/// Returns the FLOP per second of the fastest of a few products 2048×384×32000 in f32, on all
/// threads. The output memory is already allocated. The right matrix is used as stored or transposed.
pub(crate) fn gemm_peak() -> f64 {
    let [m, k, n] = SIZES;
    let left = vec![1.0f32; m * k];
    let right = vec![1.0f32; k * n];
    let mut out = vec![0.0f32; m * n];
    let mut best = f64::INFINITY;
    for round in 0..2 * ROUNDS {
        let (column, row) = match round % 2 {
            0 => (1, n as isize),
            _ => (k as isize, 1),
        };
        let started = Instant::now();
        // SAFETY: the matrices have these sizes and strides, and the output is not shared.
        #[allow(unsafe_code)]
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                out.as_mut_ptr(),
                1,
                n as isize,
                false,
                left.as_ptr(),
                1,
                k as isize,
                right.as_ptr(),
                column,
                row,
                0.0,
                1.0,
                false,
                false,
                false,
                Parallelism::Rayon(0),
            );
        }
        best = best.min(started.elapsed().as_secs_f64());
    }
    assert_eq!(out[m * n - 1], k as f32);
    2.0 * (m * k * n) as f64 / best
}
