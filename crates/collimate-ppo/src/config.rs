//! Options of reinforcement learning from a reward.

use collimate_core::{OptionError, OrNull, Sampling, check_options};
use collimate_train::{AdamWConfig, Schedule};
use serde::{Deserialize, Serialize};

use crate::PpoError;
use crate::kl::{KlControl, KlPlacement};
use crate::reward::RewardConfig;

/// Baseline with which a response's reward is compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Estimator {
    /// A critic's values, by generalised advantage estimation: PPO.
    Critic(CriticConfig),
    /// The other responses to the same prompt: REINFORCE leave-one-out.
    Rloo,
    /// The mean of all responses to the same prompt: GRPO.
    Grpo {
        /// If true, the advantage is divided by the standard deviation of the prompt's rewards.
        scale: bool,
    },
}

impl Default for Estimator {
    fn default() -> Self {
        Self::Critic(CriticConfig::default())
    }
}

impl Estimator {
    /// Returns the name used in metrics and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Critic(_) => "critic",
            Self::Rloo => "rloo",
            Self::Grpo { .. } => "grpo",
        }
    }

    /// Returns the options of the critic, if the estimator has one.
    pub fn critic(&self) -> Option<&CriticConfig> {
        match self {
            Self::Critic(critic) => Some(critic),
            Self::Rloo | Self::Grpo { .. } => None,
        }
    }
}

/// Options of the critic: the advantages computed from it, and its training.
///
/// | field | default | allowed |
/// |---|---|---|
/// | `gamma` | 1 | in (0, 1] |
/// | `gae_lambda` | 0.95 | 0 to 1 |
/// | `whiten` | true | |
/// | `value_coef` | 0.1 | above 0 |
/// | `value_clip_range` | 0.2 | above 0 |
/// | `learning_rate` | the policy's | above 0, at most 1 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CriticConfig {
    /// Discount γ of a token, above 0 and at most 1.
    pub gamma: f64,
    /// Parameter λ of generalised advantage estimation, 0 to 1. 1 gives unbiased advantages with
    /// much noise; 0 trusts the critic.
    pub gae_lambda: f64,
    /// If true, the advantages of a rollout are shifted and scaled to mean 0 and variance 1 over
    /// its tokens.
    pub whiten: bool,
    /// Weight of the critic's loss, above 0. A value head shares the policy's layers, so the weight
    /// matters. The weight hardly affects a separate critic, because AdamW divides by the size of
    /// the gradients. Only clipping and `eps` change.
    pub value_coef: f64,
    /// Distance that a value may move from the rollout's value before the gradient is cut, above 0.
    pub value_clip_range: f64,
    /// Learning rate of the critic, above 0 and at most 1; null takes the policy's learning rate.
    pub learning_rate: Option<f64>,
}

impl Default for CriticConfig {
    fn default() -> Self {
        Self {
            gamma: 1.0,
            gae_lambda: 0.95,
            whiten: true,
            value_coef: 0.1,
            value_clip_range: 0.2,
            learning_rate: None,
        }
    }
}

/// Options of PPO and its relatives.
///
/// | field | default | allowed |
/// |---|---|---|
/// | `stage` | `ppo` | a folder's name |
/// | `seed` | 0 | |
/// | `estimator` | `critic` | `critic`, `rloo`, `grpo` |
/// | `rollouts` | 100 | 1 to 10^9 |
/// | `rollout_size` | 8 | a multiple of `samples_per_prompt`, at most 10^6 |
/// | `samples_per_prompt` | 1 | at least 1; `rloo` and `grpo` at least 2 |
/// | `mini_batch_size` | 1 | 1 to `rollout_size` |
/// | `ppo_epochs` | 4 | 1 to 1000 |
/// | `max_new_tokens` | 256 | 1 to 10^6 |
/// | `temperature` | 1 | 0.001 to 1000 |
/// | `clip_range` | 0.2 | in (0, 1) |
/// | `dual_clip` | none | above 1 + `clip_range` |
/// | `kl` | adaptive from 0.2, target 6 nats per response | see [`KlControl`] |
/// | `kl_placement` | `loss` with `grpo`, else `reward` | `reward`, `loss` |
/// | `reward` | as scored | see [`RewardConfig`] |
/// | `early_stop_kl` | none | above 0 |
/// | `ratio_threshold` | 10 | above 1 |
/// | `entropy_coef` | 0 | at least 0 |
/// | `learning_rate` | 1.4e-5 | above 0, at most 1 |
/// | `schedule` | `linear` | see [`Schedule`] |
/// | `warmup_steps` | 0 | at most 10^12 |
/// | `adamw` | eps 1e-5, no decay | see [`AdamWConfig`] |
/// | `max_grad_norm` | 1 | above 0 |
/// | `micro_batch_tokens` | 8192 | at least 1 |
/// | `save_every` | none | at least 1 |
/// | `keep_last` | 1 | at least 1 |
/// | `sample_every` | none | at least 1 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PpoConfig {
    /// Name of the stage in checkpoints and metrics, from ASCII letters, digits, `.`, `_` and `-`.
    pub stage: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Baseline with which a response's reward is compared.
    pub estimator: Estimator,
    /// Number of rollouts, 1 to 10^9. In each rollout, the policy writes responses and learns from
    /// them.
    pub rollouts: u64,
    /// Number of responses in a rollout, a multiple of `samples_per_prompt`, at most 10^6.
    pub rollout_size: usize,
    /// Number of responses to each prompt of a rollout, at least 1; at least 2 with `rloo` and
    /// `grpo`.
    pub samples_per_prompt: usize,
    /// Number of responses in an optimiser step, 1 to `rollout_size`.
    pub mini_batch_size: usize,
    /// Number of passes over a rollout, 1 to 1000.
    pub ppo_epochs: u64,
    /// Largest number of tokens in a response, 1 to 10^6.
    pub max_new_tokens: usize,
    /// Softmax temperature for sampling and for every log-probability, 0.001 to 1000.
    pub temperature: f64,
    /// Distance ε that the ratio of probabilities may move from 1 before the gradient is cut, above
    /// 0 and below 1; typically 0.1 to 0.3.
    pub clip_range: f64,
    /// Largest loss of a token with a negative advantage, in units of the advantage's size, larger
    /// than 1 plus `clip_range`; null sets no limit.
    pub dual_clip: Option<f64>,
    /// Coefficient of the divergence from the reference model.
    pub kl: KlControl,
    /// Place where the divergence from the reference model enters: the reward or the loss. Null
    /// means the loss with GRPO, else the reward.
    pub kl_placement: Option<KlPlacement>,
    /// Options of turning scores into rewards.
    pub reward: RewardConfig,
    /// Divergence limit, above 0. A mini-batch is skipped, and the passes over its rollout end, if its
    /// approximate divergence from the rollout's policy is above 1.5 times this limit. The divergence
    /// is ½ (log π − log π_old)², averaged over tokens. Null sets no limit.
    pub early_stop_kl: Option<f64>,
    /// Largest mean ratio of probabilities, above 1. A mini-batch with a larger mean ratio is
    /// skipped. Null sets no limit.
    pub ratio_threshold: Option<f64>,
    /// Weight of the entropy in the objective, at least 0. A weight above 0 needs memory for a
    /// matrix of response tokens by vocabulary in each micro-batch.
    pub entropy_coef: f64,
    /// Peak learning rate of the policy, above 0 and at most 1.
    pub learning_rate: f64,
    /// Course of the learning rate over all planned optimiser steps.
    pub schedule: Schedule,
    /// Number of optimiser steps in which the learning rate rises linearly, at most 10^12.
    pub warmup_steps: u64,
    /// Options of the optimiser AdamW.
    pub adamw: AdamWConfig,
    /// Largest global norm of the gradient, above 0. A gradient with a larger norm is scaled down
    /// to this norm. Null never clips.
    pub max_grad_norm: Option<f64>,
    /// Largest number of tokens in a micro-batch, at least 1. Null processes the whole mini-batch
    /// at once.
    pub micro_batch_tokens: Option<usize>,
    /// Number of optimiser steps between two checkpoints, at least 1. If set, every rollout's
    /// responses are saved too. Ctrl-C and the end of the run always save.
    pub save_every: Option<u64>,
    /// Number of latest checkpoints to keep, at least 1.
    pub keep_last: usize,
    /// Number of rollouts between two reports of the answers to the watched prompts, at least 1.
    /// Null reports them only at the end.
    pub sample_every: Option<u64>,
}

impl Default for PpoConfig {
    fn default() -> Self {
        Self {
            stage: "ppo".to_owned(),
            seed: 0,
            estimator: Estimator::default(),
            rollouts: 100,
            rollout_size: 8,
            samples_per_prompt: 1,
            mini_batch_size: 1,
            ppo_epochs: 4,
            max_new_tokens: 256,
            temperature: 1.0,
            clip_range: 0.2,
            dual_clip: None,
            kl: KlControl::default(),
            kl_placement: None,
            reward: RewardConfig::default(),
            early_stop_kl: None,
            ratio_threshold: Some(10.0),
            entropy_coef: 0.0,
            learning_rate: 1.4e-5,
            schedule: Schedule::Linear,
            warmup_steps: 0,
            adamw: AdamWConfig {
                eps: 1e-5,
                ..AdamWConfig::default()
            },
            max_grad_norm: Some(1.0),
            micro_batch_tokens: Some(8192),
            save_every: None,
            keep_last: 1,
            sample_every: None,
        }
    }
}

fn positive(value: f64) -> bool {
    value > 0.0 && value.is_finite()
}

impl CriticConfig {
    #[rustfmt::skip] // One option per line.
    fn check(&self) -> Result<(), OptionError> {
        let Self { gamma, gae_lambda, .. } = *self;
        let (coef, clip, rate) = (self.value_coef, self.value_clip_range, self.learning_rate);
        let gamma_holds = gamma > 0.0 && gamma <= 1.0;
        let lambda_holds = (0.0..=1.0).contains(&gae_lambda);
        let rate_holds = rate.is_none_or(|rate| rate > 0.0 && rate <= 1.0);
        let rates = "above 0, at most 1, or null for the policy's";
        let path = |name: &str| format!("estimator.critic.{name}");
        check_options(&[
            (gamma_holds, &path("gamma"), &gamma, "above 0, at most 1"),
            (lambda_holds, &path("gae_lambda"), &gae_lambda, "0 to 1"),
            (positive(coef), &path("value_coef"), &coef, "above 0, finite"),
            (positive(clip), &path("value_clip_range"), &clip, "above 0, finite"),
            (rate_holds, &path("learning_rate"), &OrNull(rate), rates),
        ])
    }
}

impl PpoConfig {
    /// Checks every option.
    ///
    /// # Errors
    /// The first option out of range.
    #[rustfmt::skip] // One option per line.
    pub fn check(&self) -> Result<(), PpoError> {
        let (rollouts, epochs, warmup) = (self.rollouts, self.ppo_epochs, self.warmup_steps);
        let (size, batch) = (self.rollout_size, self.mini_batch_size);
        let (samples, tokens) = (self.samples_per_prompt, self.max_new_tokens);
        let few = 1..=1_000_000;
        let critic = self.estimator.critic();
        let two = "at least 2: responses are compared with others to the same prompt";
        let whole = size.is_multiple_of(samples);
        check_options(&[
            // Products of these three stay within u64.
            ((1..=1_000_000_000).contains(&rollouts), "rollouts", &rollouts, "1 to 10^9"),
            ((1..=1_000).contains(&epochs), "ppo_epochs", &epochs, "1 to 1000"),
            (few.contains(&size), "rollout_size", &size, "1 to 10^6"),
            (few.contains(&tokens), "max_new_tokens", &tokens, "1 to 10^6"),
            (warmup <= 1_000_000_000_000, "warmup_steps", &warmup, "at most 10^12"),
            (self.keep_last >= 1, "keep_last", &self.keep_last, "at least 1"),
            (samples >= 1, "samples_per_prompt", &samples, "at least 1"),
            (whole, "rollout_size", &size, "a multiple of samples_per_prompt"),
            (critic.is_some() || samples >= 2, "samples_per_prompt", &samples, two),
            ((1..=size).contains(&batch), "mini_batch_size", &batch, "1 to rollout_size"),
        ])?;
        if let Some(critic) = critic {
            critic.check()?;
        }
        let t = self.temperature;
        // Logits are divided by the temperature. Far from 1 they become infinite or all equal.
        let usable = (0.001..=1000.0).contains(&t);
        check_options(&[(usable, "temperature", &t, "0.001 to 1000")])?;
        self.sampling(0)
            .check()
            .map_err(|source| PpoError::Generate { rollout: 1, source })?;
        let (clip, dual, ratio) = (self.clip_range, self.dual_clip, self.ratio_threshold);
        let above = |value: Option<f64>, least| value.is_none_or(|v| v > least && v.is_finite());
        let far = above(dual, 1.0 + clip);
        check_options(&[
            (clip > 0.0 && clip < 1.0, "clip_range", &clip, "above 0, below 1"),
            (far, "dual_clip", &OrNull(dual), "above 1 + clip_range, or null"),
            (above(ratio, 1.0), "ratio_threshold", &OrNull(ratio), "above 1, or null"),
        ])?;
        self.kl.check(self.rollout_size)?;
        self.reward.check()?;
        let (stop, entropy) = (self.early_stop_kl, self.entropy_coef);
        let (rate, norm) = (self.learning_rate, self.max_grad_norm);
        let entropy_holds = entropy >= 0.0 && entropy.is_finite();
        check_options(&[
            (above(stop, 0.0), "early_stop_kl", &OrNull(stop), "above 0, or null"),
            (entropy_holds, "entropy_coef", &entropy, "at least 0, finite"),
            (rate > 0.0 && rate <= 1.0, "learning_rate", &rate, "above 0, at most 1"),
            (above(norm, 0.0), "max_grad_norm", &OrNull(norm), "above 0, or null"),
        ])?;
        self.adamw.check()?;
        let (budget, save, sample) = (self.micro_batch_tokens, self.save_every, self.sample_every);
        let some = "at least 1, or null";
        check_options(&[
            (budget != Some(0), "micro_batch_tokens", &OrNull(budget), some),
            (save != Some(0), "save_every", &OrNull(save), some),
            (sample != Some(0), "sample_every", &OrNull(sample), some),
        ])?;
        Ok(())
    }

    /// Returns the place where the divergence from the reference model enters.
    pub fn kl_placement(&self) -> KlPlacement {
        let usual = match self.estimator {
            Estimator::Grpo { .. } => KlPlacement::Loss,
            Estimator::Critic(_) | Estimator::Rloo => KlPlacement::Reward,
        };
        self.kl_placement.unwrap_or(usual)
    }

    /// Returns the number of prompts in a rollout.
    pub fn prompts_per_rollout(&self) -> usize {
        self.rollout_size / self.samples_per_prompt.max(1)
    }

    /// Returns the number of optimiser steps in one pass over a rollout.
    pub fn steps_per_epoch(&self) -> u64 {
        self.rollout_size.div_ceil(self.mini_batch_size.max(1)) as u64
    }

    /// Returns the number of optimiser steps if none is skipped.
    pub fn total_steps(&self) -> u64 {
        self.rollouts.saturating_mul(self.steps_per_rollout())
    }

    /// Returns the number of optimiser steps in all passes over a rollout.
    pub(crate) fn steps_per_rollout(&self) -> u64 {
        self.ppo_epochs.saturating_mul(self.steps_per_epoch())
    }

    /// Returns the options of sampling responses. The whole distribution is sampled, so that the
    /// sampler's probabilities are the model's.
    pub(crate) fn sampling(&self, seed: u64) -> Sampling {
        Sampling {
            n: self.samples_per_prompt,
            seed,
            temperature: self.temperature,
            max_new_tokens: self.max_new_tokens,
            ..Sampling::default()
        }
    }
}
