//! Options of reinforcement learning, for the examples `ppo` and `ser`.

use clap::{Args, ValueEnum};
use collimate::lm::Llama;
use collimate::nn::{LoraConfig, ValueModel};
use collimate::ppo::{
    CriticConfig, Estimator, KlControl, KlUnit, PpoConfig, RewardConfig, RewardScaling,
};
use collimate::recipes::Adaptation;
use collimate::recipes::ppo::{CriticStart, PolicyConfig, Reinforced};
use collimate::reward::RewardModel;

use crate::common;
use crate::options::assign;

/// What a response's reward is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EstimatorName {
    /// A critic's values: PPO
    Critic,
    /// The other responses to its prompt
    Rloo,
    /// The mean of all responses to its prompt, in standard deviations
    Grpo,
}

/// How scores become rewards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum ScalingName {
    /// Scores as they are
    None,
    /// To mean 0 and variance 1 over all scores so far
    Running,
    /// The sigmoid of the score minus a centre, from 0.5 to 1 mapped to -1 to 1 (SER, eq. 18)
    Sigmoid,
    /// Scores from -5 to 5 mapped to -1 to 1, the rest cut
    SymmetricClip,
}

/// Options of the policy stage.
#[derive(Debug, Args)]
#[command(next_help_heading = "Policy")]
pub(crate) struct PolicyOptions {
    /// What a response's reward is compared with [default: critic]
    #[arg(long, value_enum, value_name = "NAME")]
    estimator: Option<EstimatorName>,
    /// How many times responses are written and learned from [default: 100; for the world 24]
    #[arg(long, value_name = "N")]
    rollouts: Option<u64>,
    /// Responses of a rollout [default: 64; for the world 128]
    #[arg(long, value_name = "N")]
    rollout_size: Option<usize>,
    /// Responses to each prompt of a rollout [default: 1; with rloo and grpo 4]
    #[arg(long, value_name = "N")]
    samples_per_prompt: Option<usize>,
    /// Responses of an optimiser step [default: 16; for the world 32]
    #[arg(long, value_name = "N")]
    mini_batch: Option<usize>,
    /// Passes over a rollout [default: 4; for the world 2]
    #[arg(long, value_name = "N")]
    ppo_epochs: Option<u64>,
    /// Longest response in tokens [default: 256, at most half of --max-length; for the world 32]
    #[arg(long, value_name = "N")]
    response_tokens: Option<usize>,
    /// Softmax temperature while training, 0.001 to 1000 [default: 1]
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// The policy's learning rate [default: 1.4e-5; for the world 1e-3]
    #[arg(long, value_name = "RATE")]
    policy_lr: Option<f64>,
    /// Fixed coefficient on the divergence from the start, at least 0 [for the world 0.2]
    #[arg(long, value_name = "BETA", conflicts_with = "kl_target")]
    kl_coef: Option<f64>,
    /// Divergence that an adaptive coefficient aims at, in nats per response, above 0 [default: 6]
    #[arg(long, value_name = "NATS")]
    kl_target: Option<f64>,
    /// How scores become rewards; numbers of a scaling go into --config. A saved reward model has no
    /// centre for sigmoid, so give one there [default: running; of ser on your data sigmoid,
    /// centred on the labelled answers]
    #[arg(long, value_enum, value_name = "NAME")]
    reward_scaling: Option<ScalingName>,
    /// A value head on the policy, in place of a critic made from the reward model
    #[arg(long)]
    value_head: bool,
    /// Train low-rank adapters of the policy (r 8, alpha 32, dropout unused) instead of all weights
    #[arg(long)]
    policy_lora: bool,
}

/// Defaults for your own model.
pub(crate) fn defaults() -> PolicyConfig {
    PolicyConfig {
        ppo: PpoConfig {
            rollout_size: 64,
            mini_batch_size: 16,
            // As --kl-target: the usual 10,000 would hardly move.
            kl: KlControl::Adaptive {
                initial: 0.2,
                target: 6.0,
                horizon: 640.0,
                unit: KlUnit::PerSequence,
            },
            // Neither a rule nor a saved reward model says which of its scores is a middling one.
            reward: RewardConfig {
                scaling: RewardScaling::Running,
                ..RewardConfig::default()
            },
            save_every: Some(100),
            sample_every: Some(25),
            ..PpoConfig::default()
        },
        max_length: crate::lengths::DEFAULT,
        ..PolicyConfig::default()
    }
}

/// Defaults for reward models that the run trains itself: equation 18, centred on the labelled
/// answers.
pub(crate) fn for_own_reward_models() -> PolicyConfig {
    let mut policy = defaults();
    policy.ppo.reward.scaling = RewardScaling::PAPER;
    policy
}

/// Defaults for the embedded world: a small decoder from scratch wants larger steps. Chosen in
/// another world (seed 99) and with a seed that no reported run uses.
pub(crate) fn for_world() -> PolicyConfig {
    let default = defaults();
    PolicyConfig {
        ppo: PpoConfig {
            rollouts: 24,
            rollout_size: 128,
            mini_batch_size: 32,
            ppo_epochs: 2,
            max_new_tokens: 32,
            learning_rate: 1e-3,
            kl: KlControl::Fixed { coefficient: 0.2 },
            // Rewards of all kinds on one scale, so the same coefficient means the same.
            reward: RewardConfig {
                scaling: RewardScaling::Running,
                ..RewardConfig::default()
            },
            estimator: Estimator::Critic(CriticConfig {
                value_coef: 0.5,
                ..CriticConfig::default()
            }),
            sample_every: Some(8),
            ..default.ppo
        },
        max_length: 128,
        ..default
    }
}

impl PolicyOptions {
    /// Puts what was given over a configuration.
    pub(crate) fn apply(&self, policy: &mut PolicyConfig) {
        let ppo = &mut policy.ppo;
        match self.estimator {
            Some(EstimatorName::Critic) if ppo.estimator.critic().is_none() => {
                ppo.estimator = Estimator::default();
                ppo.samples_per_prompt = 1;
            }
            Some(EstimatorName::Rloo) => ppo.estimator = Estimator::Rloo,
            Some(EstimatorName::Grpo) if !matches!(ppo.estimator, Estimator::Grpo { .. }) => {
                ppo.estimator = Estimator::Grpo { scale: true };
            }
            Some(EstimatorName::Critic | EstimatorName::Grpo) | None => {}
        }
        if self.estimator.is_some()
            && ppo.estimator.critic().is_none()
            && ppo.samples_per_prompt == 1
        {
            ppo.samples_per_prompt = 4;
        }
        assign(&mut ppo.rollouts, self.rollouts);
        assign(&mut ppo.rollout_size, self.rollout_size);
        assign(&mut ppo.samples_per_prompt, self.samples_per_prompt);
        assign(&mut ppo.mini_batch_size, self.mini_batch);
        assign(&mut ppo.ppo_epochs, self.ppo_epochs);
        assign(&mut ppo.max_new_tokens, self.response_tokens);
        assign(&mut ppo.temperature, self.temperature);
        assign(&mut ppo.learning_rate, self.policy_lr);
        if let Some(coefficient) = self.kl_coef {
            ppo.kl = KlControl::Fixed { coefficient };
        }
        if let Some(target) = self.kl_target {
            // The usual 10,000 would hardly move with so few responses.
            let (horizon, unit) = match ppo.kl {
                KlControl::Adaptive { horizon, unit, .. } => (horizon, unit),
                KlControl::Fixed { .. } => (10.0 * ppo.rollout_size as f64, KlUnit::default()),
            };
            ppo.kl = KlControl::Adaptive {
                initial: ppo.kl.initial(),
                target,
                horizon,
                unit,
            };
        }
        let scaling = &mut ppo.reward.scaling;
        match self.reward_scaling {
            Some(ScalingName::None) => *scaling = RewardScaling::None,
            Some(ScalingName::Running) => *scaling = RewardScaling::Running,
            // The numbers of a configuration file stay.
            Some(ScalingName::Sigmoid) if !matches!(scaling, RewardScaling::Sigmoid { .. }) => {
                *scaling = RewardScaling::PAPER;
            }
            Some(ScalingName::SymmetricClip)
                if !matches!(scaling, RewardScaling::SymmetricClip { .. }) =>
            {
                *scaling = RewardScaling::SymmetricClip {
                    limit: 5.0,
                    min: -1.0,
                    max: 1.0,
                };
            }
            Some(ScalingName::Sigmoid | ScalingName::SymmetricClip) | None => {}
        }
        // A response takes at most half of a sequence, unless somebody said otherwise.
        if self.response_tokens.is_none() {
            let ppo = &mut policy.ppo;
            ppo.max_new_tokens = ppo.max_new_tokens.min((policy.max_length / 2).max(1));
        }
        if self.value_head {
            policy.critic = CriticStart::ValueHead;
        }
        if self.policy_lora {
            policy.adaptation = Adaptation::Lora(LoraConfig {
                dropout: 0.0,
                ..LoraConfig::default()
            });
        }
    }
}

/// Says on the terminal what makes a policy hard to believe.
pub(crate) fn warn(policies: &[Reinforced<Llama>]) {
    for warning in policies.iter().flat_map(|policy| policy.report.warnings()) {
        common::tell(&format!("warning: {warning}"));
    }
}

/// A critic that begins as a reward model.
pub(crate) fn critic(model: &RewardModel<Llama>) -> ValueModel<Llama> {
    ValueModel::from_parts(model.backbone.clone(), model.head.clone())
}
