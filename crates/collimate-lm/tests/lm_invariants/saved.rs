//! Models that save activations in 16 bits.

use std::collections::BTreeMap;

use collimate_ops::SavedType;

use super::*;

/// Value and gradients of a loss.
type Learnt = (Vec<f32>, BTreeMap<String, Vec<f32>>);

/// Returns the results of a loss in training, in this order of types: f32, bf16.
fn both<B: Backbone>(
    model: &B,
    recompute: bool,
    loss: impl Fn(&B, Forward) -> burn::tensor::Tensor<1>,
) -> [Learnt; 2] {
    [SavedType::F32, SavedType::Bf16].map(|saved| {
        let model = model.clone().with_recompute(recompute).with_saved(saved);
        let loss = loss(&model, Forward::train(Key::new(8, "dropout")));
        (host(&loss), gradients(&model, &loss.backward()))
    })
}

/// The value is the same to the bit. Each gradient is near: within a share of the largest one.
fn check(what: &str, [exact, rounded]: &[Learnt; 2]) {
    assert_eq!(exact.0, rounded.0, "{what}: the forward pass differs");
    let square = |grad: &[f32]| grad.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
    let (mut error, mut size) = (0.0, 0.0);
    for (path, grad) in &exact.1 {
        let found = &rounded.1[path];
        let apart: Vec<f32> = grad.iter().zip(found).map(|(a, b)| a - b).collect();
        error += square(&apart);
        size += square(grad);
    }
    let error = (error / size).sqrt();
    assert!(
        error > 1e-6 && error < 0.01,
        "{what}: the gradient is off by a share of {error}"
    );
}

#[test]
fn decoders_and_encoders_learn_nearly_the_same_from_rounded_activations() {
    let device = collimate_testkit::flex();
    let lora = LoraConfig {
        rank: 2,
        ..LoraConfig::default()
    };
    for (name, _, model) in decoders([("flex", device.clone())]) {
        let mut pack = Pack::new();
        pack.push_shared(&[1, 5, 9], &[&[7, 2], &[8, 3, 2]]);
        let batch = pack.to_device(Llama::VISIBILITY, &device);
        let loss = |m: &Llama, f| completion_logps(m, &batch, f).sum();
        let adapted = model.clone().with_lora(&lora, Key::new(1, "lora")).unwrap();
        // Adapters start at zero, so their first halves would have no gradient.
        let adapted = changed(&adapted, |path, values| {
            if path.contains("lora.b") {
                values.fill(0.1);
            }
        });
        for recompute in [false, true] {
            check(&name, &both(&model, recompute, loss));
            check(
                &format!("{name}, adapters"),
                &both(&adapted, recompute, loss),
            );
        }
    }
    let mut others = encoders(&device);
    others.push(("bert", bert(&device)));
    for (name, model) in others {
        let batch = common::rows_batch(&model, &[vec![1, 5, 9, 2], vec![3, 2]]);
        // The sum of all elements would not depend on what stands before the last norm.
        let loss = |m: &Encoder, f| {
            let states = pool(m.hidden(&batch, f), &batch, Pooling::Mean);
            (states.clone() * states.clone() * states).sum()
        };
        check(name, &both(&model, false, loss));
    }
}
