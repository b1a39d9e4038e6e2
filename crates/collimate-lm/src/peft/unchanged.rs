//! Proof that a model differs from its base model only by adapters.

use std::collections::BTreeMap;

use collimate_nn::{Adaptable, LowRank};

use crate::hf::{Stored, Weights, collected};

/// Largest difference between a weight and base weight plus updates, as a share of the largest
/// value of the tensor. Rounding of f32 stays below it.
const TOLERANCE: f32 = 2e-6;

/// Place of a parameter in the base model.
pub(crate) struct Place {
    /// Possible names of the tensor.
    pub(crate) names: Vec<String>,
    /// If true, the matrix is stored transposed.
    pub(crate) transposed: bool,
}

/// Compares every parameter with the base model. The error says which tensor differs.
pub(super) fn check_unchanged<M: Adaptable>(
    model: &M,
    learned: &BTreeMap<String, Vec<LowRank>>,
    base: &Weights,
    place: impl Fn(&str) -> Option<Place>,
) -> Result<(), String> {
    let mut places = BTreeMap::new();
    // The collector asks once for each parameter, in order.
    let names = std::cell::RefCell::new(&mut places);
    let tensors = collected(model, |path| {
        let place = place(path)?;
        let name = place.names.first()?.clone();
        let transposed = place.transposed;
        names.borrow_mut().insert(name.clone(), place);
        Some(Stored { name, transposed })
    });
    for tensor in tensors {
        let changed = || {
            format!(
                "tensor {} is not the tensor of the base model plus adapters",
                tensor.name
            )
        };
        let Some(place) = places.get(&tensor.name) else {
            continue;
        };
        let stored = place.names.iter().find(|name| base.contains(name));
        let stored = stored.ok_or_else(changed)?;
        if base.shape(stored) != Some(&tensor.shape[..]) {
            return Err(changed());
        }
        let mut expected = base.values(stored).map_err(|error| error.to_string())?;
        let layer = tensor.name.strip_suffix(".weight").unwrap_or_default();
        for update in learned.get(layer).into_iter().flatten() {
            let delta = update.b.clone().matmul(update.a.clone());
            let delta = delta.mul_scalar(update.scale);
            let delta = match place.transposed {
                true => delta.swap_dims(0, 1),
                false => delta,
            };
            let delta = delta.into_data().convert::<f32>();
            for (value, delta) in expected.iter_mut().zip(delta.iter::<f32>()) {
                *value += delta;
            }
        }
        let largest = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
        let mut at = 0;
        let mut same = true;
        let compared = tensor.each(&mut |values| {
            let expected = expected.get(at..at + values.len()).unwrap_or_default();
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE * largest;
            same &= expected.len() == values.len() && values.iter().zip(expected).all(close);
            at += values.len();
            Ok(())
        });
        compared.map_err(|error| error.to_string())?;
        if !same {
            return Err(changed());
        }
    }
    Ok(())
}
