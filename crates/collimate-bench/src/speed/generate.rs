//! Speed of text generation.

use std::time::Instant;

use collimate::core::Sampling;
use collimate::data::{ChatFallback, TextTokenizer};
use collimate::lm::{BatchLimits, Llama, TextGenerator};
use collimate::nn::{CausalLm, HfFolder};
use collimate::ops::PackedType;
use collimate::prelude::Device;
use serde_json::Value;

use super::Failure;
use super::flops::{Counts, ModelSize};
use super::options::{GenerateWork, GenerationWeights, Work};
use super::prepare::Prepared;
use super::report::{Done, report};
use super::rows::{self, PromptRow};

pub(crate) fn generate(options: &GenerateWork, from: &Prepared) -> Result<Value, Failure> {
    let work = Work::Generate(options.clone());
    let device = Device::flex();
    let model = Llama::load(&from.model, &device)?.with_packed(packed(options.generation_weights));
    let size = ModelSize::of(&model);
    let tokenizer =
        TextTokenizer::from_folder(&from.model)?.with_chat_fallback(ChatFallback::Plain);
    let limits = BatchLimits {
        rows: options.batch,
        ..BatchLimits::default()
    };
    let generator = TextGenerator::new(model, tokenizer)
        .with_eos(vec![])
        .with_limits(limits)?;
    let rows: Vec<PromptRow> = rows::read(&from.rows)?;
    let prompts: Vec<Vec<u32>> = rows.into_iter().map(|row| row.prompt_ids).collect();
    let sampling = Sampling {
        temperature: options.temperature,
        max_new_tokens: options.new_tokens,
        ..Sampling::default()
    };
    let mut started = Instant::now();
    let mut written = 0;
    for step in 0..options.common.warmup + options.common.steps {
        if step == options.common.warmup {
            started = Instant::now();
            written = 0;
        }
        let found = generator.continue_ids(&prompts, &sampling, &mut ())?;
        let tokens = found.iter().flatten().flat_map(|c| &c.tokens);
        written += tokens.map(Vec::len).sum::<usize>();
    }
    let seconds = started.elapsed().as_secs_f64();
    let once: Counts = prompts
        .iter()
        .map(|prompt| written_after(prompt.len(), options.new_tokens))
        .sum();
    let done = Done {
        seconds,
        tokens: written as f64,
        flops: size.forward(once) * options.common.steps as f64,
        more: vec![("new_tokens", options.new_tokens.into())],
        ..Done::default()
    };
    Ok(report(&work, done))
}

/// Returns the number type of a model's copies of weights.
pub(crate) fn packed(weights: GenerationWeights) -> Option<PackedType> {
    match weights {
        GenerationWeights::Exact => None,
        GenerationWeights::Bf16 => Some(PackedType::Bf16),
        GenerationWeights::Int8 => Some(PackedType::Int8),
    }
}

/// Counts the generation of `new` tokens: every token but the last goes through the model, and
/// every new token is predicted.
pub(crate) fn written_after(prompt: usize, new: usize) -> Counts {
    let processed = Counts::shared(prompt, &[new.saturating_sub(1)]);
    Counts {
        predicted: new as f64,
        ..processed
    }
}
