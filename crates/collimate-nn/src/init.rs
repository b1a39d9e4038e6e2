//! Initial weights drawn on the host, the same on every device.

use burn::tensor::{Device, Shape, Tensor, TensorData};
use collimate_core::{Key, Purpose};
use rand_distr::{Distribution, StandardNormal};

/// Draws a tensor of independent values from N(0, std²), from the stream of `key`.
pub fn normal<const D: usize>(shape: [usize; D], std: f64, key: Key, device: &Device) -> Tensor<D> {
    // A tensor that is about to be filled from a file needs no draws and no memory: one zero stands
    // for all.
    if std == 0.0 {
        return Tensor::<D>::zeros([1; D], device).expand(shape);
    }
    let mut rng = key.rng(Purpose::Init);
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            let draw: f64 = StandardNormal.sample(&mut rng);
            (draw * std) as f32
        })
        .collect();
    Tensor::from_data(TensorData::new(values, Shape::new(shape)), device)
}
