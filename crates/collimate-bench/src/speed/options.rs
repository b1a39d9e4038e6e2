//! What can be asked for.

use std::path::PathBuf;

use clap::{Args, Subcommand};
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
    /// Rollouts of PPO: writing, scoring, learning
    Ppo(PpoWork),
    /// Writing text
    Generate(GenerateWork),
}

/// What all kinds have.
#[derive(Debug, Clone, PartialEq, Serialize, Args)]
pub struct Common {
    /// Preference pairs (hh-rlhf, ETHICS, … as the examples read them); by default made up
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Hugging Face folder; by default random weights: a Llama of 15.2 million parameters with a
    /// tokenizer trained on the data, for rm an encoder of the size of MiniLM-L6
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Steps that are timed: optimiser steps, rollouts, batches written
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_least_one)]
    pub steps: usize,
    /// Steps before the clock starts
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub warmup: usize,
    /// Where models and rows are kept between runs
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
    /// Rows of an optimiser step; by default 4, for rm 32
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub batch: Option<usize>,
    /// Longest sequence in tokens, prompt and completion; longer prompts lose their start
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub max_length: usize,
    /// Learning rate, constant
    #[arg(long, value_name = "RATE", default_value_t = 1e-5)]
    pub learning_rate: f64,
}

/// Options of PPO.
#[derive(Debug, Clone, PartialEq, Serialize, Args)]
pub struct PpoWork {
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Folder of the reward model, which the critic begins as; by default random weights
    #[arg(long, value_name = "DIR")]
    pub reward_model: Option<PathBuf>,
    /// Responses of a rollout
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    pub rollout_size: usize,
    /// Responses of an optimiser step
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = at_least_one)]
    pub mini_batch: usize,
    /// Passes over a rollout
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
}

/// Options of writing.
#[derive(Debug, Clone, PartialEq, Serialize, Args)]
pub struct GenerateWork {
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Texts written at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_least_one)]
    pub batch: usize,
    /// Tokens written to each prompt: the end-of-text token does not end a text here
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = at_least_one)]
    pub new_tokens: usize,
    /// Longest prompt in tokens; rows with a longer one are left out
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    pub prompt_tokens: usize,
    /// Softmax temperature; 0 takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub temperature: f64,
}

impl Work {
    /// Its name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sft(_) => "sft",
            Self::Rm(_) => "rm",
            Self::Dpo(_) => "dpo",
            Self::Ppo(_) => "ppo",
            Self::Generate(_) => "generate",
        }
    }

    /// The options that every work has.
    pub fn common(&self) -> &Common {
        match self {
            Self::Sft(work) | Self::Rm(work) | Self::Dpo(work) => &work.common,
            Self::Ppo(work) => &work.common,
            Self::Generate(work) => &work.common,
        }
    }

    /// Rows of an optimiser step or of a batch that is written.
    pub fn batch(&self) -> usize {
        match self {
            Self::Sft(work) | Self::Dpo(work) => work.batch.unwrap_or(4),
            Self::Rm(work) => work.batch.unwrap_or(32),
            Self::Ppo(work) => work.rollout_size,
            Self::Generate(work) => work.batch,
        }
    }

    /// Rows that the work needs.
    pub(crate) fn rows(&self) -> usize {
        let common = self.common();
        match self {
            // Prompts repeat; a rollout takes them in an order of its own.
            Self::Ppo(work) => work.rollout_size,
            // The same texts are written each time.
            Self::Generate(work) => work.batch,
            _ => (common.warmup + common.steps) * self.batch(),
        }
    }

    /// The command line that asks for this.
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
                Value::Null => continue,
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
