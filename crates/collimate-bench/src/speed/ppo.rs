//! Speed of PPO's rollouts.

use std::sync::Mutex;
use std::time::Instant;

use collimate::core::{Completion, Key, Prompt, ScoreError, Scorer};
use collimate::data::{ChatFallback, TextTokenizer, Truncation};
use collimate::lm::Llama;
use collimate::nn::{Adaptable, CausalLm, HfFolder, ValueModel};
use collimate::ppo::{KlControl, train};
use collimate::prelude::{ActorCritic, Device, KlReference, PpoConfig, PpoTask};
use collimate::reward::{RewardModel, RewardScorer};
use collimate::train::{FitContext, Schedule};
use serde_json::Value;

use super::Failure;
use super::flops::{Counts, ModelSize};
use super::generate::{packed, written_after};
use super::options::{PpoWork, Work};
use super::prepare::Prepared;
use super::report::{Done, report, round};
use super::rows::{self, PromptRow};
use super::train::adapters;

pub(crate) fn ppo(options: &PpoWork, from: &Prepared) -> Result<Value, Failure> {
    let work = Work::Ppo(options.clone());
    if options.common.warmup == 0 {
        return Err("ppo needs --warmup 1 or more: rollouts are timed from one to the next".into());
    }
    let device = Device::flex();
    let reward_dir = from.reward.as_ref().ok_or("no reward model")?;
    let policy = Llama::load(&from.model, &device)?.with_packed(packed(options.generation_weights));
    let reward = RewardModel::<Llama>::load(reward_dir, &device)?;
    let sizes = [ModelSize::of(&policy), ModelSize::of(&reward.backbone)];
    let tokenizer = |dir| -> Result<TextTokenizer, Failure> {
        Ok(TextTokenizer::from_folder(dir)?.with_chat_fallback(ChatFallback::Plain))
    };
    let own = tokenizer(&from.model)?;
    let rows: Vec<PromptRow> = rows::read(&from.rows)?;
    let backbone = match options.lora {
        Some(rank) => {
            let critic = reward.backbone.clone();
            critic.with_lora(&adapters(rank), Key::new(1, "bench-lora"))?
        }
        None => reward.backbone.clone(),
    };
    let critic = ValueModel::from_parts(backbone, reward.head.clone());
    let length = options.prompt_tokens + options.new_tokens + 8;
    let scorer = RewardScorer::new(reward, tokenizer(reward_dir)?, length, Truncation::KeepEnd);
    let clock = Clock {
        inner: &scorer,
        rollout_size: options.rollout_size,
        prompts: &rows,
        seen: Mutex::default(),
    };
    let rollouts = options.common.warmup + options.common.steps;
    let config = PpoConfig {
        rollouts: rollouts as u64,
        rollout_size: options.rollout_size,
        mini_batch_size: options.mini_batch,
        ppo_epochs: options.ppo_epochs as u64,
        max_new_tokens: options.new_tokens,
        learning_rate: options.learning_rate,
        schedule: Schedule::Constant,
        kl: KlControl::Fixed { coefficient: 0.05 },
        ..PpoConfig::default()
    };
    let task = PpoTask {
        tokenizer: &own,
        eos: vec![],
        prompts: rows.iter().map(|row| row.prompt.clone()).collect(),
        watched: vec![],
        reward: &clock,
        reference: match options.lora {
            Some(_) => KlReference::AdaptersOff,
            None => KlReference::Model(policy.clone()),
        },
    };
    let policy = match options.lora {
        Some(rank) => policy.with_lora(&adapters(rank), Key::new(0, "bench-lora"))?,
        None => policy,
    };
    let start = match options.value_head {
        true => ActorCritic::with_fresh_value_head(policy, Key::new(0, "bench-head")),
        false => ActorCritic::with_critic(policy, critic),
    };
    let trained = train(start, &task, &config, &FitContext::silent())?;
    let updates = trained.updates as f64 / trained.rollouts as f64;
    drop(trained);
    let seen = clock.seen.into_inner().map_err(|_| "the reward stopped")?;
    // The time from the scores of one rollout to those of the next covers one rollout: learning
    // from the first, and generating the second.
    let ends: Vec<Instant> = seen.ends;
    let seconds = (ends[rollouts - 1] - ends[options.common.warmup - 1]).as_secs_f64();
    let timed = &seen.lengths[options.common.warmup * options.rollout_size..];
    let count = timed.len() as f64;
    let responses: usize = timed.iter().map(|(_, response)| response).sum();
    let tokens: usize = timed
        .iter()
        .map(|(prompt, response)| prompt + response)
        .sum();
    let flops: f64 = timed
        .iter()
        .map(|&(prompt, response)| {
            let pass = Counts::shared(prompt, &[response]);
            let [policy, critic] = sizes;
            let unpredicted = pass.unpredicted();
            // Frozen weights have no gradient. A value head adds almost nothing to the policy.
            let learning = |model: ModelSize, pass| match options.lora {
                Some(_) => 2.0 * model.forward(pass),
                None => model.training(pass),
            };
            let values = match options.value_head {
                true => [0.0; 2],
                false => [critic.forward(unpredicted), learning(critic, unpredicted)],
            };
            // Generation; log-probabilities of policy and reference; the reward; values; the passes.
            policy.forward(written_after(prompt, response))
                + 2.0 * policy.forward(pass)
                + critic.forward(unpredicted)
                + values[0]
                + options.ppo_epochs as f64 * (learning(policy, pass) + values[1])
        })
        .sum();
    let per_rollout = seconds / options.common.steps as f64;
    let done = Done {
        seconds,
        tokens: tokens as f64,
        flops,
        more: vec![
            ("seconds_per_rollout", round(per_rollout, 4).into()),
            (
                "mean_response_tokens",
                round(responses as f64 / count, 2).into(),
            ),
            ("optimizer_steps_per_rollout", updates.into()),
            ("mini_batch", options.mini_batch.into()),
            ("lora", options.lora.into()),
            ("value_head", options.value_head.into()),
            (
                "generation_weights",
                serde_json::to_value(options.generation_weights)?,
            ),
        ],
        ..Done::default()
    };
    Ok(report(&work, done))
}

#[derive(Debug, Default)]
struct Seen {
    /// Time at which each rollout had its scores.
    ends: Vec<Instant>,
    /// Number of tokens of each prompt and response.
    lengths: Vec<(usize, usize)>,
}

/// A reward that records its calls and their times.
struct Clock<'a> {
    inner: &'a dyn Scorer,
    rollout_size: usize,
    prompts: &'a [PromptRow],
    seen: Mutex<Seen>,
}

impl Scorer for Clock<'_> {
    fn score(&self, items: &[(Prompt, Completion)]) -> Result<Vec<f32>, ScoreError> {
        let scores = self.inner.score(items)?;
        let mut seen = self.seen.lock().unwrap_or_else(|held| held.into_inner());
        for (prompt, completion) in items {
            let row = self.prompts.iter().find(|row| row.prompt == *prompt);
            let prompt = row.map_or(0, |row| row.prompt_ids.len());
            let response = completion.tokens.as_ref().map_or(0, Vec::len);
            seen.lengths.push((prompt, response));
        }
        if seen.lengths.len().is_multiple_of(self.rollout_size) {
            seen.ends.push(Instant::now());
        }
        Ok(scores)
    }
}
