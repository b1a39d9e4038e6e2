//! Growth of DPO's cost with the length of a pair and with the vocabulary.

use std::process::Command;

use clap::Args;
use collimate::core::Key;
use collimate::data::TokenizedPair;
use collimate::direct::{DirectObjective, Reference};
use collimate::lm::Llama;
use collimate::losses::PreferenceLoss;
use collimate::prelude::{Backbone, Device};
use collimate::run::peak_memory_bytes;
use collimate::train::{FitContext, Schedule, TrainConfig, fit};
use serde_json::{Value, json};

use super::Failure;
use super::compare::last_line;
use super::report::round;
use super::shapes::llama_config;
use super::timed::Timed;

/// Options of the measurement.
#[derive(Debug, Clone, Args)]
pub struct GrowthArgs {
    /// Number of tokens of a pair: half of them prompt, a quarter in each completion
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', default_values_t = [128, 256, 512, 1024, 2048])]
    pub tokens: Vec<usize>,
    /// Sizes of the vocabulary
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', default_values_t = [32_000, 64_000, 128_000])]
    pub vocab: Vec<usize>,
    /// Number of pairs per step
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub batch: usize,
    /// Number of timed steps, after one untimed step
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub steps: usize,
    /// Keep only the inputs of the layers for the backward pass
    #[arg(long)]
    pub gradient_checkpointing: bool,
    /// Measure the first length and the first vocabulary in this process and print a line
    #[arg(long, hide = true)]
    pub alone: bool,
}

/// Trains by DPO on random ids: at every length with the first vocabulary, and at the middle length
/// with every vocabulary. Each training has a process of its own. Returns a JSON object of all
/// measurements.
///
/// # Errors
/// Returns an error if a process fails.
pub fn growth(args: &GrowthArgs) -> Result<Value, Failure> {
    let (Some(&tokens), Some(&vocab)) = (args.tokens.first(), args.vocab.first()) else {
        return Err("give at least one of --tokens and one of --vocab".into());
    };
    if args.alone {
        return alone(tokens, vocab, args);
    }
    let cell = |tokens: usize, vocab: usize| -> Result<Value, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("growth").arg("--alone");
        for (name, value) in [
            ("--tokens", tokens),
            ("--vocab", vocab),
            ("--batch", args.batch),
            ("--steps", args.steps),
        ] {
            command.arg(name).arg(value.to_string());
        }
        if args.gradient_checkpointing {
            command.arg("--gradient-checkpointing");
        }
        let line = last_line(command)?;
        eprintln!("{line}");
        Ok(line)
    };
    let lengths = args.tokens.iter().map(|&tokens| cell(tokens, vocab));
    let lengths = lengths.collect::<Result<Vec<_>, _>>()?;
    let middle = args.tokens[args.tokens.len() / 2];
    let vocabularies = args.vocab.iter().map(|&vocab| cell(middle, vocab));
    let vocabularies = vocabularies.collect::<Result<Vec<_>, _>>()?;
    Ok(json!({"lengths": lengths, "vocabularies": vocabularies}))
}

fn alone(tokens: usize, vocab: usize, args: &GrowthArgs) -> Result<Value, Failure> {
    let device = Device::flex();
    let model = Llama::new(&llama_config(vocab, 4096), Key::new(0, "bench"), &device)?
        .with_recompute(args.gradient_checkpointing);
    let parameters = model.num_parameters();
    let pairs = pairs(tokens, vocab, (1 + args.steps) * args.batch);
    let reference = Reference::Model(model.clone());
    let loss: PreferenceLoss = "dpo".parse()?;
    let objective = Timed::new(DirectObjective::new(pairs, vec![], loss, reference, 4096)?);
    let config = TrainConfig {
        stage: "bench".to_owned(),
        learning_rate: 1e-5,
        schedule: Schedule::Constant,
        batch_size: args.batch,
        micro_batch_tokens: None,
        keep_best: false,
        ..TrainConfig::default()
    };
    let fitted = fit(model, &objective, &config, &FitContext::silent())?;
    let seconds = objective.seconds_from(1);
    drop(fitted);
    let per_second = |count: usize| round((count * args.batch * args.steps) as f64 / seconds, 2);
    let memory = peak_memory_bytes().map(|bytes| bytes as f64 / f64::from(1 << 20));
    // Weights, gradients and two moments of the policy, and the weights of the reference model. The
    // two models stop sharing memory as soon as the policy's weights change.
    let fixed = 5.0 * 4.0 * parameters as f64 / f64::from(1 << 20);
    Ok(json!({
        "tokens_per_pair": tokens,
        "vocab": vocab,
        "parameters": parameters,
        "tokens_per_s": per_second(tokens),
        "pairs_per_s": per_second(1),
        "peak_rss_mb": memory.map(|mb| round(mb, 1)),
        "peak_less_parameters_mb": memory.map(|mb| round(mb - fixed, 1)),
    }))
}

/// Makes pairs of ids that look random.
fn pairs(tokens: usize, vocab: usize, count: usize) -> Vec<TokenizedPair> {
    let mut state = 1u64;
    let mut ids = |len: usize| -> Vec<u32> {
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % vocab as u64) as u32
        };
        (0..len.max(1)).map(|_| next()).collect()
    };
    (0..count)
        .map(|_| TokenizedPair {
            prompt: ids(tokens / 2),
            chosen: ids(tokens / 4),
            rejected: ids(tokens / 4),
            ..TokenizedPair::default()
        })
        .collect()
}
