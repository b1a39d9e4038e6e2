//! Names of the metrics of a rollout: TRL's names where TRL logs the metric. `docs/methods/ppo.md` explains
//! each metric.

/// Loss, averaged over the optimiser steps.
pub const LOSS: &str = "loss";
/// Global norm of the gradient before clipping, averaged over the optimiser steps.
pub const GRAD_NORM: &str = "grad_norm";
/// The policy's learning rate at the rollout's last planned optimiser step.
pub const LEARNING_RATE: &str = "learning_rate";
/// Mean score of the responses, as given by the reward.
pub const SCORES: &str = "objective/scores";
/// Standard deviation of the scores.
pub const SCORES_STD: &str = "objective/scores_std";
/// Share of responses whose score gets the smallest reward of the scaling. Only for scalings that
/// have a smallest reward.
pub const SCORES_FLOOR: &str = "objective/scores_floor";
/// Mean over responses of the scaled score minus β times the divergence.
pub const RLHF_REWARD: &str = "objective/rlhf_reward";
/// Mean over responses of −β times the divergence.
pub const NON_SCORE_REWARD: &str = "objective/non_score_reward";
/// Divergence from the reference, by k1, in nats per response.
pub const KL: &str = "objective/kl";
/// Divergence from the reference, by k3, in nats per response.
pub const KL_K3: &str = "objective/kl_k3";
/// Estimate of the entropy: −Σ log π of the sampled tokens, averaged over responses, in nats.
pub const ENTROPY: &str = "objective/entropy";
/// Coefficient β of the divergence in this rollout.
pub const KL_COEF: &str = "kl_coef";
/// Loss of the policy, averaged over tokens.
pub const POLICY_LOSS: &str = "loss/policy_avg";
/// Loss of the critic without its coefficient, averaged over tokens.
pub const VALUE_LOSS: &str = "loss/value_avg";
/// KL term k3 in the loss without its coefficient, averaged over tokens.
pub const KL_LOSS: &str = "loss/kl_avg";
/// ½ (log π − log π_old)², averaged over tokens, including those of skipped mini-batches.
pub const APPROX_KL: &str = "policy/approxkl_avg";
/// Share of tokens whose gradient is cut by the clip of the ratio.
pub const CLIP_FRACTION: &str = "policy/clipfrac_avg";
/// Entropy over the vocabulary, averaged over tokens. Only with an entropy bonus.
pub const POLICY_ENTROPY: &str = "policy/entropy_avg";
/// Mean ratio π / π_old.
pub const RATIO: &str = "val/ratio";
/// Largest ratio π / π_old.
pub const RATIO_MAX: &str = "val/ratio_max";
/// Share of tokens whose clipped value is further from the return than the value itself.
pub const VALUE_CLIP_FRACTION: &str = "val/clipfrac_avg";
/// Share of the returns' variance that the critic explains.
pub const EXPLAINED_VARIANCE: &str = "val/explained_variance";
/// Mean value of the prompt, before the first response token.
pub const VALUE: &str = "val/value";
/// Mean length of the responses in tokens, including the end token.
pub const LENGTH: &str = "responses/tokens";
/// Share of responses that end before the largest number of tokens.
pub const EOS: &str = "responses/eos";
/// Share of responses without text.
pub const EMPTY: &str = "responses/empty";
/// Number of mini-batches skipped because of their ratios.
pub const SKIPPED: &str = "updates/skipped";
/// 1 if the passes over the rollout ended early.
pub const STOPPED: &str = "updates/stopped";
/// Number of optimiser steps so far.
pub const UPDATES: &str = "updates/total";
/// Number of responses so far.
pub const EPISODES: &str = "episode";
/// Number of tokens of prompts and responses so far.
pub const NUM_TOKENS: &str = "num_tokens";
