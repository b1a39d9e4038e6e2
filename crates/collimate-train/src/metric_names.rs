//! Names under which metrics are logged, as users of TRL know them.

/// Loss of the step, a mean over the global batch.
pub const LOSS: &str = "loss";
/// Global norm of the gradient before clipping.
pub const GRAD_NORM: &str = "grad_norm";
/// Learning rate of the step.
pub const LEARNING_RATE: &str = "learning_rate";
/// Mean reward of the chosen answers.
pub const REWARDS_CHOSEN: &str = "rewards/chosen";
/// Mean reward of the rejected answers.
pub const REWARDS_REJECTED: &str = "rewards/rejected";
/// Mean of chosen minus rejected reward.
pub const REWARDS_MARGINS: &str = "rewards/margins";
/// Share of pairs whose chosen reward is larger; a tie counts one half.
pub const REWARDS_ACCURACIES: &str = "rewards/accuracies";
/// Mean summed log-probability of the chosen answers, in nats.
pub const LOGPS_CHOSEN: &str = "logps/chosen";
/// Mean summed log-probability of the rejected answers, in nats.
pub const LOGPS_REJECTED: &str = "logps/rejected";
/// Mean negative log-probability per token of the chosen answers, in nats.
pub const NLL_LOSS: &str = "nll_loss";
/// Estimated divergence of the policy from its reference, in nats.
pub const KL: &str = "kl";
/// Tokens processed so far, without padding.
pub const NUM_TOKENS: &str = "num_tokens";
/// Mean accuracy of the next-token prediction.
pub const MEAN_TOKEN_ACCURACY: &str = "mean_token_accuracy";
