//! One training of each kind, on any device.
#![allow(dead_code)] // of several test programs

use burn::tensor::Device;
use collimate::ppo::metrics as ppo;
use collimate::prelude::*;
use collimate::reward::RewardModel;

use crate::setup::{config, examples, logged, model, pairs, steps, tokenizer};

/// A training that returns logged values, on a device.
pub(crate) type Training = fn(u64, &Device) -> Vec<f64>;

pub(crate) const TRAININGS: [(&str, Training); 4] = [
    ("sft", sft),
    ("dpo", dpo),
    ("reward", reward),
    ("ppo", reinforce),
];

fn sft(count: u64, device: &Device) -> Vec<f64> {
    let objective = SftObjective::new(examples(24), vec![], 256).unwrap();
    steps(
        model(1, device),
        &objective,
        &config(count),
        &["loss", "grad_norm"],
    )
}

fn dpo(count: u64, device: &Device) -> Vec<f64> {
    let start = model(1, device);
    let reference = Reference::Model(start.clone());
    let objective =
        DirectObjective::new(pairs(24), vec![], Dpo::default(), reference, 256).unwrap();
    let names = ["loss", "grad_norm", "rewards/margins", "logps/chosen"];
    steps(start, &objective, &config(count), &names)
}

fn reward(count: u64, device: &Device) -> Vec<f64> {
    let start =
        RewardModel::with_fresh_head(model(1, device), Pooling::LastToken, Key::new(1, "head"));
    let objective = RewardObjective::new(pairs(24), vec![], PairwiseLoss::default(), 256).unwrap();
    let names = ["loss", "grad_norm", "rewards/margins"];
    steps(start, &objective, &config(count), &names)
}

/// Likes short answers.
fn shortness(_: &Prompt, answer: &Completion) -> f32 {
    -(answer.text.split_whitespace().count() as f32)
}

fn reinforce(count: u64, device: &Device) -> Vec<f64> {
    let tokenizer = tokenizer();
    let task = PpoTask {
        tokenizer: &tokenizer,
        eos: Vec::new(),
        prompts: ["a b", "c", "d e f", "g h a b"].map(Prompt::from).to_vec(),
        watched: Vec::new(),
        reward: &shortness,
        reference: KlReference::Model(model(1, device)),
    };
    // One optimiser step for each rollout.
    let config = PpoConfig {
        rollouts: count,
        rollout_size: 4,
        mini_batch_size: 4,
        ppo_epochs: 1,
        max_new_tokens: 6,
        learning_rate: 3e-3,
        ..PpoConfig::default()
    };
    let start = ActorCritic::with_fresh_value_head(model(1, device), Key::new(7, "head"));
    let names = [ppo::LOSS, ppo::GRAD_NORM, ppo::SCORES, ppo::VALUE];
    logged(&names, |context| {
        collimate::ppo::train(start, &task, &config, context).unwrap();
    })
}
