//! Peak memory of fine-tuning does not grow with the vocabulary beyond what the parameters need.

use std::process::Command;

use collimate_core::Key;
use collimate_data::TokenizedExample;
use collimate_direct::SftObjective;
use collimate_lm::{Llama, LlamaConfig};
use collimate_run::peak_memory_bytes;
use collimate_testkit::flex;
use collimate_train::{FitContext, TrainConfig, fit};

const VOCABULARY: &str = "COLLIMATE_TEST_VOCABULARY";
const WIDTH: usize = 128;

/// Two optimiser steps over 4,096 tokens each.
fn fine_tune(vocab_size: usize) {
    let config = LlamaConfig {
        vocab_size,
        hidden_size: WIDTH,
        intermediate_size: 256,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 4,
        ..LlamaConfig::default()
    };
    let model = Llama::new(&config, Key::new(0, "memory"), &flex()).unwrap();
    let token = |i: usize| (i * 7919 % vocab_size) as u32;
    let examples: Vec<_> = (0..64)
        .map(|row| TokenizedExample {
            prompt: (0..16).map(|i| token(row * 131 + i)).collect(),
            completion: (0..112).map(|i| token(row * 257 + i)).collect(),
            truncated: false,
        })
        .collect();
    let objective = SftObjective::new(examples, Vec::new(), 4096).unwrap();
    let train = TrainConfig {
        batch_size: 32,
        ..TrainConfig::default()
    };
    fit(model, &objective, &train, &FitContext::silent()).unwrap();
}

/// Returns the peak resident memory of a separate process that fine-tunes with this vocabulary.
fn peak_of(vocabulary: usize) -> u64 {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "memory_is_flat_in_the_vocabulary", "--nocapture"])
        .env(VOCABULARY, vocabulary.to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let peak = text.lines().find_map(|line| line.strip_prefix("peak "));
    peak.unwrap_or_else(|| panic!("no peak in {text:?}"))
        .trim()
        .parse()
        .unwrap()
}

#[test]
fn memory_is_flat_in_the_vocabulary() {
    if let Ok(vocabulary) = std::env::var(VOCABULARY) {
        fine_tune(vocabulary.parse().unwrap());
        println!("\npeak {}", peak_memory_bytes().unwrap());
        return;
    }
    if !cfg!(target_os = "linux") {
        return; // no /proc here
    }
    let (small, large) = (peak_of(2_048), peak_of(32_000));
    // Weight, gradient and two moments of the added rows, in f32.
    let added = ((32_000 - 2_048) * WIDTH * 4 * 4) as u64;
    println!("peak at 2,048: {small}, at 32,000: {large}, parameters {added}");
    assert!(
        large <= small * 5 / 4 + added,
        "peak at 2,048: {small}, at 32,000: {large}, of which parameters {added}"
    );
}
