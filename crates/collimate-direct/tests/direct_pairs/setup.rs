//! A small model and pairs for it.

use std::path::Path;

use burn::tensor::Device;
use collimate_core::Key;
use collimate_data::TokenizedPair;
use collimate_lm::{Llama, LlamaConfig};
use collimate_testkit::{Noise, flex};
use collimate_train::{AdamWConfig, FitContext, Metrics, Objective, TrainConfig, fit};

pub(crate) fn plain() -> Device {
    flex().without_autodiff()
}

pub(crate) fn model(seed: u64, device: &Device) -> Llama {
    let config = LlamaConfig {
        vocab_size: 20,
        hidden_size: 24,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        max_position_embeddings: 24,
        initializer_range: 0.1,
        ..Default::default()
    };
    Llama::new(&config, Key::new(seed, "init"), device).unwrap()
}

/// Returns pairs whose chosen answer ends in 3 and whose rejected answer ends in 4.
pub(crate) fn pairs(count: usize, seed: u64) -> Vec<TokenizedPair> {
    let mut noise = Noise::new(seed);
    let mut draw = |n: usize| -> Vec<u32> { (0..n).map(|_| 5 + noise.below(15) as u32).collect() };
    (0..count)
        .map(|i| TokenizedPair {
            prompt: [vec![1], draw(i % 4)].concat(),
            chosen: [draw(i % 3), vec![3, 2]].concat(),
            rejected: [draw((i + 1) % 5), vec![4, 2]].concat(),
            ..TokenizedPair::default()
        })
        .collect()
}

pub(crate) fn config(steps: u64, micro_batch_tokens: Option<usize>) -> TrainConfig {
    TrainConfig {
        learning_rate: 3e-3,
        batch_size: 8,
        micro_batch_tokens,
        max_steps: Some(steps),
        // With a tiny eps, AdamW would turn rounding noise into whole steps.
        adamw: AdamWConfig {
            eps: 1e-4,
            ..Default::default()
        },
        ..Default::default()
    }
}

/// Returns the values logged per step under these names.
pub(crate) fn trace<O: Objective>(
    model: O::Model,
    objective: &O,
    config: &TrainConfig,
    names: &[&str],
) -> (O::Model, Vec<Vec<f64>>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    let metrics = Metrics::open(Path::new(&path)).unwrap();
    let context = FitContext {
        metrics: Some(&metrics),
        ..FitContext::silent()
    };
    let fitted = fit(model, objective, config, &context).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let rows = text.lines().map(|line| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        names
            .iter()
            .map(|name| row[*name].as_f64().unwrap_or(f64::NAN))
            .collect::<Vec<f64>>()
    });
    let rows = rows.filter(|row| row.iter().all(|v| !v.is_nan())).collect();
    (fitted.model, rows)
}

pub(crate) fn near(what: &str, a: &[Vec<f64>], b: &[Vec<f64>], tolerance: f64) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (step, (a, b)) in a.iter().zip(b).enumerate() {
        for (a, b) in a.iter().zip(b) {
            let far = (a - b).abs() / b.abs().max(1.0);
            assert!(far < tolerance, "{what}, step {step}: {a} is not {b}");
        }
    }
}
