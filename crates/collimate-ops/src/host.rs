//! Reads from a device.

use burn::tensor::{Tensor, Transaction};

/// Copies vectors to the host and waits for their device once. Reading them one by one would wait
/// once for each, and a GPU has nothing to do while the host waits.
///
/// The gradient graph is not changed. All vectors must lie on one device.
///
/// # Shapes
/// `[n]` each, of any lengths.
///
/// # Examples
/// ```
/// use burn::tensor::{Device, Tensor};
/// use collimate_ops::to_host;
///
/// let device = Device::flex();
/// let losses = Tensor::<1>::from_floats([0.5, 0.25], &device);
/// let sum = losses.clone().sum();
/// let [losses, sum] = to_host([losses, sum]);
/// assert_eq!((losses, sum), (vec![0.5, 0.25], vec![0.75]));
/// ```
pub fn to_host<const N: usize>(vectors: [Tensor<1>; N]) -> [Vec<f64>; N] {
    let mut reads = Transaction::default();
    for vector in vectors {
        reads = reads.register(vector.without_autodiff());
    }
    let mut read = reads.execute().into_iter();
    std::array::from_fn(|_| {
        read.next()
            .map_or_else(Vec::new, |data| data.iter().collect())
    })
}
