//! A tiny model, data for each kind of training, and the losses of a training.
#![allow(dead_code)] // of several test programs

use collimate::data::SpecialTokenIds;
use collimate::prelude::*;
use collimate::train::{AdamWConfig, Metrics, Objective};
use collimate_testkit::{Noise, accelerator, ndarray};

pub(crate) const VOCAB: usize = 20;

/// Returns the device to test, untracked, with its name.
pub(crate) fn device() -> (&'static str, Device) {
    let (name, device) = accelerator().unwrap_or_else(|| ("ndarray", ndarray()));
    (name, device.without_autodiff())
}

pub(crate) fn flex() -> Device {
    collimate_testkit::flex().without_autodiff()
}

pub(crate) fn model(seed: u64, device: &Device) -> Llama {
    let config = LlamaConfig {
        vocab_size: VOCAB,
        hidden_size: 24,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        max_position_embeddings: 32,
        initializer_range: 0.1,
        ..Default::default()
    };
    Llama::new(&config, Key::new(seed, "init"), device).unwrap()
}

/// Returns pairs of many lengths whose chosen answer ends in 3 and whose rejected answer ends in 4.
/// No two batches of them have the same shapes.
pub(crate) fn pairs(count: usize) -> Vec<TokenizedPair> {
    let mut noise = Noise::new(2);
    let mut draw = |n: usize| -> Vec<u32> { (0..n).map(|_| 5 + noise.below(15) as u32).collect() };
    (0..count)
        .map(|i| TokenizedPair {
            prompt: [vec![1], draw(i % 4)].concat(),
            chosen: [draw(i * i % 7), vec![3, 2]].concat(),
            rejected: [draw((i + 1) % 5), vec![4, 2]].concat(),
            ..TokenizedPair::default()
        })
        .collect()
}

pub(crate) fn examples(count: usize) -> Vec<TokenizedExample> {
    let of = |pair: TokenizedPair| TokenizedExample {
        prompt: pair.prompt,
        completion: pair.chosen,
        truncated: false,
    };
    pairs(count).into_iter().map(of).collect()
}

pub(crate) fn config(steps: u64) -> TrainConfig {
    TrainConfig {
        learning_rate: 3e-3,
        batch_size: 4,
        max_steps: Some(steps),
        // With a tiny eps, AdamW would turn rounding noise into whole steps.
        adamw: AdamWConfig {
            eps: 1e-4,
            ..Default::default()
        },
        ..Default::default()
    }
}

/// Trains, and returns these values of every step.
pub(crate) fn steps<O: Objective>(
    model: O::Model,
    objective: &O,
    config: &TrainConfig,
    names: &[&str],
) -> Vec<f64> {
    logged(names, |context| {
        fit(model, objective, config, context).unwrap();
    })
}

/// Returns these values of every row that a training logs.
pub(crate) fn logged(names: &[&str], train: impl FnOnce(&FitContext<'_>)) -> Vec<f64> {
    let folder = tempfile::tempdir().unwrap();
    let metrics = Metrics::open(&folder.path().join("metrics.jsonl")).unwrap();
    train(&FitContext {
        metrics: Some(&metrics),
        ..FitContext::silent()
    });
    let rows = metrics.rows().unwrap();
    let values = rows.iter().flat_map(|row| {
        let of = |name: &&str| row.get(*name).and_then(|value| value.as_f64());
        names.iter().filter_map(of).collect::<Vec<_>>()
    });
    values.collect()
}

/// Fails unless the values agree to `tolerance`, relative to the larger of 1 and the value.
pub(crate) fn near(what: &str, found: &[f64], wanted: &[f64], tolerance: f64) {
    assert!(!wanted.is_empty(), "{what}: nothing to compare");
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (index, (a, b)) in found.iter().zip(wanted).enumerate() {
        let far = (a - b).abs() / b.abs().max(1.0);
        assert!(far <= tolerance, "{what}: value {index} is {a}, not {b}");
    }
}

const WORDS: [&str; VOCAB] = [
    "<s>", "</s>", "<pad>", "a", "b", "c", "d", "e", "f", "g", "h", "yes", "i", "j", "k", "l", "m",
    "n", "o", "p",
];

/// Returns a tokenizer of as many words as the model knows.
pub(crate) fn tokenizer() -> TextTokenizer {
    let vocab: serde_json::Map<String, serde_json::Value> = WORDS
        .iter()
        .zip(0..)
        .map(|(word, id): (_, u32)| (word.to_string(), id.into()))
        .collect();
    let json = serde_json::json!({
        "version": "1.0",
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "a"},
    });
    let special = SpecialTokenIds {
        bos: Some(0),
        eos: 1,
        pad: Some(2),
    };
    let tokenizer = json.to_string().parse().unwrap();
    TextTokenizer::new(tokenizer, special, None).unwrap()
}
