//! Models whose linear layers multiply in bf16.

use burn::tensor::Tensor;
use collimate_nn::Precision;

use super::*;

/// Computes the cosine between two lists of gradients.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn check<B: Backbone>(name: &str, model: B, loss: impl Fn(&B) -> Tensor<1>) {
    let half = model.clone().with_precision(Precision::Bf16).unwrap();
    let [full_loss, half_loss] = [&model, &half].map(&loss);
    let [a, b] = [&full_loss, &half_loss].map(|loss| host(loss)[0]);
    assert!(a != b && (a - b).abs() < 0.03 * a.abs(), "{name}: {a}, {b}");

    let full = gradients(&model, &full_loss.backward());
    let found = gradients(&half, &half_loss.backward());
    assert_eq!(full.len(), found.len());
    for (path, found) in &found {
        // A bias of keys has no effect: it shifts all scores of a query equally.
        if path.contains("key.bias") {
            continue;
        }
        let cosine = cosine(&full[path], found);
        assert!(cosine > 0.97, "{name}: {path}: {cosine}");
    }

    let lean = half.with_recompute(true);
    let again = gradients(&lean, &loss(&lean).backward());
    assert!(again == found, "{name}: recomputed otherwise");
}

#[test]
fn bf16_is_near_f32() {
    let device = collimate_testkit::flex();
    let mut pack = Pack::new();
    pack.push_shared(&[1, 5, 9], &[&[7, 2], &[8, 3, 2]]);
    let batch = pack.to_device(Llama::VISIBILITY, &device);
    let lora = LoraConfig {
        rank: 2,
        ..LoraConfig::default()
    };
    let adapted = llama(&device).with_lora(&lora, Key::new(1, "lora"));
    // Adapters start at zero, so their first halves would have no gradient.
    let adapted = changed(&adapted.unwrap(), |path, values| {
        if path.contains("lora.b") {
            values.fill(0.1);
        }
    });
    for (name, model) in [("llama", llama(&device)), ("adapters", adapted)] {
        check(name, model, |m| {
            completion_logps(m, &batch, Forward::EVAL).sum()
        });
    }
    let batch = common::rows_batch(&bert(&device), &[vec![1, 5, 9, 2], vec![3, 2]]);
    check("bert", bert(&device), |m| {
        let pooled = pool(m.hidden(&batch, Forward::EVAL), &batch, Pooling::Mean);
        (pooled.clone() * pooled).narrow(1, 0, 5).sum()
    });
}
