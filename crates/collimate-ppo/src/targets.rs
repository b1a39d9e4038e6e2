//! Training targets of each token of a rollout.

use collimate_core::Finish;

use crate::advantage::{explained_variance, gae, grpo_advantages, rloo_advantages, whiten};
use crate::config::{Estimator, PpoConfig};
use crate::kl::{KlEstimator, KlPlacement};
use crate::reward::token_rewards;
use crate::rollout::Rollout;
use crate::scaling::RunningMoments;

/// Advantages and returns of every token, and statistics of the rollout.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Targets {
    pub(crate) advantages: Vec<Vec<f64>>,
    /// Empty without a critic.
    pub(crate) returns: Vec<Vec<f64>>,
    /// Scores after scaling, clipping and the rule for responses without an end.
    pub(crate) scores: Vec<f64>,
    /// Mean divergence by k1, in nats per response and per token.
    pub(crate) kl: [f64; 2],
    /// Mean divergence by k3, in nats per response.
    pub(crate) kl_k3: f64,
    pub(crate) tokens: usize,
    pub(crate) explained_variance: Option<f64>,
}

fn double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// Computes the targets in f64 from the stored rollout, so that a resumed run gets the same values.
pub(crate) fn targets(
    rollout: &Rollout,
    config: &PpoConfig,
    kl_coef: f64,
    seen: &mut RunningMoments,
) -> Targets {
    let responses = &rollout.responses;
    let raw: Vec<f64> = responses.iter().map(|r| f64::from(r.score)).collect();
    let ends: Vec<Finish> = responses.iter().map(|r| r.completion.finish).collect();
    let scores = config.reward.apply(&raw, &ends, seen);
    let in_reward = match config.kl_placement() {
        KlPlacement::Reward => kl_coef,
        KlPlacement::Loss => 0.0,
    };
    let (mut k1, mut k3, mut tokens) = (0.0, 0.0, 0);
    let mut rewards = Vec::with_capacity(responses.len());
    for (index, &score) in scores.iter().enumerate() {
        let policy = double(&rollout.old_logps[index]);
        let reference = double(&rollout.reference_logps[index]);
        for (p, r) in policy.iter().zip(&reference) {
            k1 += p - r;
            k3 += KlEstimator::K3.value(p - r);
        }
        tokens += policy.len();
        rewards.push(token_rewards(&policy, &reference, in_reward, score));
    }
    let n = responses.len().max(1) as f64;
    let mut found = Targets {
        advantages: Vec::new(),
        returns: Vec::new(),
        scores,
        kl: [k1 / n, k1 / tokens.max(1) as f64],
        kl_k3: k3 / n,
        tokens,
        explained_variance: None,
    };
    match &config.estimator {
        Estimator::Critic(critic) => {
            let values: Vec<Vec<f64>> = rollout.values.iter().map(|v| double(v)).collect();
            for (rewards, values) in rewards.iter().zip(&values) {
                let one = gae(rewards, values, critic.gamma, critic.gae_lambda);
                found.advantages.push(one.advantages);
                found.returns.push(one.returns);
            }
            found.explained_variance =
                explained_variance(&values.concat(), &found.returns.concat());
            if critic.whiten {
                whiten(&mut found.advantages);
            }
        }
        Estimator::Rloo => found.advantages = by_group(rollout, &rewards, rloo_advantages),
        Estimator::Grpo { scale } => {
            let advantages = |group: &[f64]| grpo_advantages(group, *scale);
            found.advantages = by_group(rollout, &rewards, advantages);
        }
    }
    found
}

/// Computes one advantage for all tokens of a response, from the rewards of the responses in its
/// group. The responses of a group are adjacent.
fn by_group(
    rollout: &Rollout,
    rewards: &[Vec<f64>],
    advantages: impl Fn(&[f64]) -> Vec<f64>,
) -> Vec<Vec<f64>> {
    let sums: Vec<f64> = rewards.iter().map(|r| r.iter().sum()).collect();
    let mut start = 0;
    let groups = rollout.responses.chunk_by(|a, b| a.group == b.group);
    let mut found = Vec::with_capacity(rewards.len());
    for group in groups {
        let range = start..start + group.len();
        start = range.end;
        for (advantage, index) in advantages(&sums[range.clone()]).into_iter().zip(range) {
            found.push(vec![advantage; rewards[index].len()]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use collimate_core::Completion;

    use super::*;
    use crate::config::CriticConfig;
    use crate::kl::KlControl;
    use crate::reward::{MissingEos, RewardConfig};
    use crate::rollout::Response;

    /// Returns two responses to one prompt: one token that ends, and three tokens that are cut.
    fn rollout() -> Rollout {
        let response = |tokens: usize, finish, score| Response {
            prompt: 0,
            group: 0,
            completion: Completion {
                text: "x".to_owned(),
                tokens: Some(vec![7; tokens]),
                finish,
            },
            score,
        };
        let rows = |value: f32| vec![vec![value], vec![value; 3]];
        Rollout {
            responses: vec![
                response(1, Finish::Eos, 2.0),
                response(3, Finish::Length, 5.0),
            ],
            old_logps: rows(-1.0),
            reference_logps: rows(-1.5),
            values: rows(0.0),
        }
    }

    fn config(gae_lambda: f64) -> PpoConfig {
        PpoConfig {
            estimator: Estimator::Critic(CriticConfig {
                gae_lambda,
                whiten: false,
                ..CriticConfig::default()
            }),
            kl: KlControl::Fixed { coefficient: 0.0 },
            ..PpoConfig::default()
        }
    }

    #[test]
    fn the_score_lands_on_the_last_token_of_its_response() {
        let of = |config: &PpoConfig, kl_coef| {
            targets(&rollout(), config, kl_coef, &mut RunningMoments::default())
        };
        let found = of(&config(0.0), 0.0);
        assert_eq!(found.advantages, [vec![2.0], vec![0.0, 0.0, 5.0]]);
        let found = of(&config(0.0), 0.1);
        // −0.1 · (−1 + 1.5) at every token.
        assert_eq!(found.advantages, [vec![1.95], vec![-0.05, -0.05, 4.95]]);
        assert_eq!(found.kl, [1.0, 0.5]);
        let penalised = PpoConfig {
            reward: RewardConfig {
                clip: Some(4.0),
                missing_eos: MissingEos::Penalty { amount: 3.0 },
                ..RewardConfig::default()
            },
            ..config(0.0)
        };
        assert_eq!(of(&penalised, 0.0).scores, [2.0, 1.0]);
    }

    #[test]
    fn groups_share_one_advantage_per_response() {
        let grouped = PpoConfig {
            estimator: Estimator::Rloo,
            samples_per_prompt: 2,
            rollout_size: 2,
            ..config(0.0)
        };
        let found = targets(&rollout(), &grouped, 0.1, &mut RunningMoments::default());
        // Sums of rewards: 2 − 0.05 and 5 − 0.15.
        let gap: f64 = 1.95 - 4.85;
        assert!((found.advantages[0][0] - gap).abs() < 1e-12);
        assert!(found.advantages[1].iter().all(|a| (a + gap).abs() < 1e-12));
        let in_loss = PpoConfig {
            estimator: Estimator::Grpo { scale: false },
            ..grouped
        };
        let found = targets(&rollout(), &in_loss, 0.1, &mut RunningMoments::default());
        assert_eq!(found.advantages, [vec![-1.5], vec![1.5; 3]]);
    }
}
