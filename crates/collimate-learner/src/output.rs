//! What a step hands to Burn's metrics.

use burn::tensor::{ExecutionError, Tensor};
use burn_train::ItemLazy;
use burn_train::metric::{Adaptor, LossInput};

use crate::Losses;

/// The output of a batch of examples.
#[derive(Debug, Clone)]
pub struct ExampleOutput {
    /// −log π(y_t | x, y_<t) of every completion token, in nats, `[completion tokens]`.
    pub loss: Tensor<1>,
}

/// The output of a batch of pairs, `[pairs]` each.
#[derive(Debug, Clone)]
pub struct PairOutput {
    /// The loss of each pair.
    pub loss: Tensor<1>,
    /// Rewards of the chosen completions: a reward model's scores, or the implicit rewards of a
    /// direct alignment loss.
    pub chosen_rewards: Tensor<1>,
    /// Rewards of the rejected completions.
    pub rejected_rewards: Tensor<1>,
}

/// What a [`RewardMetric`](crate::RewardMetric) looks at, `[pairs]` each.
#[derive(Debug, Clone)]
pub struct RewardsInput {
    /// Rewards of the chosen completions.
    pub chosen: Tensor<1>,
    /// Rewards of the rejected completions.
    pub rejected: Tensor<1>,
}

impl Losses for ExampleOutput {
    fn losses(&self) -> Tensor<1> {
        self.loss.clone()
    }
}

impl Losses for PairOutput {
    fn losses(&self) -> Tensor<1> {
        self.loss.clone()
    }
}

impl Adaptor<LossInput> for ExampleOutput {
    fn adapt(&self) -> LossInput {
        LossInput::new(self.losses())
    }
}

impl Adaptor<LossInput> for PairOutput {
    fn adapt(&self) -> LossInput {
        LossInput::new(self.losses())
    }
}

impl Adaptor<RewardsInput> for PairOutput {
    fn adapt(&self) -> RewardsInput {
        RewardsInput {
            chosen: self.chosen_rewards.clone(),
            rejected: self.rejected_rewards.clone(),
        }
    }
}

// Metrics run in a thread of their own: the device is told to begin, and no graph goes along.
impl ItemLazy for ExampleOutput {
    fn sync(self) -> Result<Self, ExecutionError> {
        self.loss.device().flush()?;
        Ok(Self {
            loss: self.loss.without_autodiff(),
        })
    }
}

impl ItemLazy for PairOutput {
    fn sync(self) -> Result<Self, ExecutionError> {
        self.loss.device().flush()?;
        Ok(Self {
            loss: self.loss.without_autodiff(),
            chosen_rewards: self.chosen_rewards.without_autodiff(),
            rejected_rewards: self.rejected_rewards.without_autodiff(),
        })
    }
}
