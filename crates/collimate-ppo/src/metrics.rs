//! The names under which a rollout is logged: TRL's where it has one. `docs/methods/ppo.md` explains each.

/// Loss, a mean over the optimiser steps.
pub const LOSS: &str = "loss";
/// Global norm of the gradient before clipping, a mean over the optimiser steps.
pub const GRAD_NORM: &str = "grad_norm";
/// The policy's learning rate at the rollout's last planned optimiser step.
pub const LEARNING_RATE: &str = "learning_rate";
/// Mean score of the responses, as the reward gives it.
pub const SCORES: &str = "objective/scores";
/// Standard deviation of these.
pub const SCORES_STD: &str = "objective/scores_std";
/// Share of responses whose score lands on the smallest reward that the scaling gives; only with a
/// scaling that has one.
pub const SCORES_FLOOR: &str = "objective/scores_floor";
/// Mean scaled score minus the coefficient times the divergence, per response.
pub const RLHF_REWARD: &str = "objective/rlhf_reward";
/// Minus the coefficient times the divergence, per response.
pub const NON_SCORE_REWARD: &str = "objective/non_score_reward";
/// Divergence from the reference, k1, in nats per response.
pub const KL: &str = "objective/kl";
/// The same by k3.
pub const KL_K3: &str = "objective/kl_k3";
/// −Σ log π of the sampled tokens, a mean in nats per response: the entropy, estimated.
pub const ENTROPY: &str = "objective/entropy";
/// Coefficient on the divergence in this rollout.
pub const KL_COEF: &str = "kl_coef";
/// The policy's loss, a mean over tokens.
pub const POLICY_LOSS: &str = "loss/policy_avg";
/// The critic's loss, a mean over tokens, without its coefficient.
pub const VALUE_LOSS: &str = "loss/value_avg";
/// k3 of the KL term in the loss, a mean over tokens, without its coefficient.
pub const KL_LOSS: &str = "loss/kl_avg";
/// ½ (log π − log π_old)², a mean over tokens; mini-batches that are left out count too.
pub const APPROX_KL: &str = "policy/approxkl_avg";
/// Share of tokens whose gradient the ratio's clip cuts.
pub const CLIP_FRACTION: &str = "policy/clipfrac_avg";
/// Entropy over the vocabulary, a mean over tokens; only with an entropy bonus.
pub const POLICY_ENTROPY: &str = "policy/entropy_avg";
/// Mean ratio.
pub const RATIO: &str = "val/ratio";
/// Largest ratio.
pub const RATIO_MAX: &str = "val/ratio_max";
/// Share of tokens whose clipped value is further from the return than the value itself.
pub const VALUE_CLIP_FRACTION: &str = "val/clipfrac_avg";
/// Share of the returns' variance that the critic explains.
pub const EXPLAINED_VARIANCE: &str = "val/explained_variance";
/// Mean value before the first token.
pub const VALUE: &str = "val/value";
/// Mean length of the responses in tokens, their end included.
pub const LENGTH: &str = "responses/tokens";
/// Share of responses that end by themselves.
pub const EOS: &str = "responses/eos";
/// Share of responses without text.
pub const EMPTY: &str = "responses/empty";
/// Mini-batches left out for their ratios.
pub const SKIPPED: &str = "updates/skipped";
/// 1 where the passes over the rollout ended early.
pub const STOPPED: &str = "updates/stopped";
/// Optimiser steps so far.
pub const UPDATES: &str = "updates/total";
/// Responses so far.
pub const EPISODES: &str = "episode";
/// Tokens of prompts and responses so far.
pub const NUM_TOKENS: &str = "num_tokens";
