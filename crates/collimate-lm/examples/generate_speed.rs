//! Tokens per second of generation with a random Llama of 15.2 million parameters:
//! `cargo run --release --example generate_speed --features flex [ROWS [NEW_TOKENS]]`.

use std::time::Instant;

use burn::tensor::Device;
use collimate_core::{Key, Sampling};
use collimate_data::{SpecialTokenIds, TextTokenizer};
use collimate_lm::{BatchLimits, Llama, LlamaConfig, TextGenerator};
use tokenizers::Tokenizer;
use tokenizers::models::wordlevel::WordLevel;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let rows = arguments.next().transpose()?.unwrap_or(8);
    let new = arguments.next().transpose()?.unwrap_or(200);
    let config = LlamaConfig {
        vocab_size: 32_000,
        hidden_size: 288,
        intermediate_size: 768,
        num_hidden_layers: 6,
        num_attention_heads: 6,
        num_key_value_heads: 6,
        ..LlamaConfig::default()
    };
    let model = Llama::new(&config, Key::new(0, "init"), &Device::flex())?;
    println!("{} parameters", model.num_parameters());
    // Its texts are empty: the time is the model's.
    let words = ["<s>", "</s>"]
        .iter()
        .zip(0..)
        .map(|(w, i)| ((*w).to_owned(), i));
    let words = WordLevel::builder()
        .vocab(words.collect())
        .unk_token("<s>".into());
    let special = SpecialTokenIds {
        bos: Some(0),
        eos: 1,
        pad: None,
    };
    let tokenizer = TextTokenizer::new(Tokenizer::new(words.build()?), special, None)?;
    let generator = TextGenerator::new(model, tokenizer)
        .with_eos(vec![])
        .with_limits(BatchLimits {
            rows,
            ..BatchLimits::default()
        })?;
    let prompts: Vec<Vec<u32>> = (0..rows as u32)
        .map(|row| {
            (0..16 + row % 4)
                .map(|i| (row * 977 + i * 31) % 32_000)
                .collect()
        })
        .collect();
    for (name, temperature, top_p) in [
        ("greedy", 0.0, 1.0),
        ("sampled", 1.0, 1.0),
        ("sampled, top-p 0.95", 1.0, 0.95),
    ] {
        let sampling = Sampling {
            temperature,
            top_p,
            max_new_tokens: new,
            ..Sampling::default()
        };
        let started = Instant::now();
        let found = generator.continue_ids(&prompts, &sampling, &mut ())?;
        let seconds = started.elapsed().as_secs_f64();
        let tokens: usize = found
            .iter()
            .flatten()
            .flat_map(|c| &c.tokens)
            .map(Vec::len)
            .sum();
        println!(
            "{name}: {rows} rows, {tokens} tokens in {seconds:.2} s, {:.0} tokens/s",
            tokens as f64 / seconds
        );
    }
    Ok(())
}
