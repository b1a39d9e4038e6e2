//! Options of the measurements.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use serde_json::Value;

/// One kind of work, with its options.
#[derive(Debug, Clone, PartialEq, Serialize, Subcommand)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Supervised fine-tuning on the chosen completions
    Sft(TrainWork),
    /// Training a reward model on pairs
    Rm(TrainWork),
    /// DPO with a live reference model
    Dpo(TrainWork),
    /// Rollouts of PPO: generation, scoring, learning
    Ppo(PpoWork),
    /// Text generation
    Generate(GenerateWork),
}

/// Options of every kind of work.
#[derive(Debug, Clone, PartialEq, Serialize, Args)]
pub struct Common {
    /// File of preference pairs (hh-rlhf, ETHICS, … as the command reads them); by default pairs of
    /// the synthetic world
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Hugging Face folder of the model; by default random weights: a Llama of 15.2 million
    /// parameters with a tokenizer trained on the data, for rm an encoder of the size of MiniLM-L6
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Number of timed steps: optimiser steps, rollouts or generated batches
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_least_one)]
    pub steps: usize,
    /// Number of steps before the clock starts
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub warmup: usize,
    /// Folder in which models and rows are kept between runs
    #[arg(long, value_name = "DIR", default_value = "runs/bench")]
    pub work: PathBuf,
}

/// Options of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Args)]
pub struct TrainWork {
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Number of rows per optimiser step; by default 4, for rm 32
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub batch: Option<usize>,
    /// Longest sequence in tokens, prompt and completion together; longer prompts lose their beginning
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub max_length: usize,
    /// Learning rate (constant)
    #[arg(long, value_name = "RATE", default_value_t = 1e-5)]
    pub learning_rate: f64,
    /// Train adapters of this rank in all linear layers (alpha is twice the rank, no dropout) instead
    /// of all weights; the reference of DPO is the model with its adapters off
    #[arg(long, value_name = "RANK", value_parser = at_least_one)]
    pub lora: Option<usize>,
    /// Number type of the frozen matrices beside adapters, and of the activations that are saved for
    /// the backward pass
    #[arg(long, value_enum, default_value_t = NumberType::F32)]
    pub weights: NumberType,
    /// Number type in which linear layers multiply
    #[arg(long, value_enum, default_value_t = NumberType::F32)]
    pub products: NumberType,
    /// Keep only the inputs of blocks for the backward pass, and compute the rest again
    #[arg(long)]
    pub gradient_checkpointing: bool,
}

/// A number type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum NumberType {
    /// 32-bit floats
    F32,
    /// bf16
    Bf16,
}

/// Number type of the weights that texts are generated with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum GenerationWeights {
    /// 32-bit floats
    Exact,
    /// bf16
    Bf16,
    /// 8 bits
    Int8,
}

/// Options of PPO.
#[derive(Debug, Clone, PartialEq, Serialize, Args)]
pub struct PpoWork {
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Folder of the reward model, which is also the start of the critic. By default both have random
    /// weights
    #[arg(long, value_name = "DIR")]
    pub reward_model: Option<PathBuf>,
    /// Number of responses per rollout
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    pub rollout_size: usize,
    /// Number of responses per optimiser step
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = at_least_one)]
    pub mini_batch: usize,
    /// Number of passes over a rollout
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_least_one)]
    pub ppo_epochs: usize,
    /// Longest response in tokens
    #[arg(long, value_name = "N", default_value_t = 48, value_parser = at_least_one)]
    pub new_tokens: usize,
    /// Longest prompt in tokens; rows with a longer one are left out
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    pub prompt_tokens: usize,
    /// Learning rate of policy and critic
    #[arg(long, value_name = "RATE", default_value_t = 1e-5)]
    pub learning_rate: f64,
    /// Train adapters of this rank in all linear layers of the policy (alpha is twice the rank, no
    /// dropout); the reference is the policy with its adapters off. The other library's critic has such
    /// adapters too
    #[arg(long, value_name = "RANK", value_parser = at_least_one)]
    pub lora: Option<usize>,
    /// Take the values from a head on the policy instead of a critic of its own. The other library
    /// has no such head and keeps its critic
    #[arg(long)]
    pub value_head: bool,
    /// Number type of the weights that responses are written with
    #[arg(long, value_enum, default_value_t = GenerationWeights::Exact)]
    pub generation_weights: GenerationWeights,
}

/// Options of text generation.
#[derive(Debug, Clone, PartialEq, Serialize, Args)]
pub struct GenerateWork {
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Number of texts generated at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_least_one)]
    pub batch: usize,
    /// Number of tokens generated for each prompt; the end-of-text token does not end a text here
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = at_least_one)]
    pub new_tokens: usize,
    /// Longest prompt in tokens; rows with a longer one are left out
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    pub prompt_tokens: usize,
    /// Softmax temperature; 0 takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub temperature: f64,
    /// Number type of the weights that texts are generated with
    #[arg(long, value_enum, default_value_t = GenerationWeights::Exact)]
    pub generation_weights: GenerationWeights,
}

impl Work {
    /// Returns the name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sft(_) => "sft",
            Self::Rm(_) => "rm",
            Self::Dpo(_) => "dpo",
            Self::Ppo(_) => "ppo",
            Self::Generate(_) => "generate",
        }
    }

    /// Returns the options that every kind of work has.
    pub fn common(&self) -> &Common {
        match self {
            Self::Sft(work) | Self::Rm(work) | Self::Dpo(work) => &work.common,
            Self::Ppo(work) => &work.common,
            Self::Generate(work) => &work.common,
        }
    }

    /// Returns the number of rows per optimiser step, or per generated batch.
    pub fn batch(&self) -> usize {
        match self {
            Self::Sft(work) | Self::Dpo(work) => work.batch.unwrap_or(4),
            Self::Rm(work) => work.batch.unwrap_or(32),
            Self::Ppo(work) => work.rollout_size,
            Self::Generate(work) => work.batch,
        }
    }

    /// Returns the number of rows that the work needs.
    pub(crate) fn rows(&self) -> usize {
        let common = self.common();
        match self {
            // Prompts repeat; a rollout takes them in its own order.
            Self::Ppo(work) => work.rollout_size,
            // The same texts are generated each time.
            Self::Generate(work) => work.batch,
            _ => (common.warmup + common.steps) * self.batch(),
        }
    }

    /// Returns the command-line arguments for this work.
    pub fn arguments(&self) -> Vec<String> {
        let Value::Object(tagged) = serde_json::to_value(self).expect("plain options") else {
            unreachable!("an enum of structs is tagged");
        };
        let mut line = vec![self.name().to_owned()];
        for (name, value) in tagged.into_iter().flat_map(|(_, options)| match options {
            Value::Object(options) => options,
            _ => unreachable!("every work has options"),
        }) {
            let text = match value {
                Value::Null | Value::Bool(false) => continue,
                Value::Bool(true) => {
                    line.push(format!("--{}", name.replace('_', "-")));
                    continue;
                }
                Value::String(text) => text,
                other => other.to_string(),
            };
            line.push(format!("--{}", name.replace('_', "-")));
            line.push(text);
        }
        line
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("must be a whole number".to_owned()),
    }
}
