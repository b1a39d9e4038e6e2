//! Outputs of a step, which Burn's metrics read.

use burn::tensor::{ExecutionError, Tensor};
use burn_train::ItemLazy;
use burn_train::metric::{Adaptor, LossInput};

use crate::Losses;

/// Output of a batch of examples.
#[derive(Debug, Clone)]
pub struct ExampleOutput {
    /// −log π(y_t | x, y_<t) of every completion token, in nats, `[completion tokens]`.
    pub loss: Tensor<1>,
}

/// Output of a batch of pairs, `[pairs]` each.
#[derive(Debug, Clone)]
pub struct PairOutput {
    /// Loss of each pair.
    pub loss: Tensor<1>,
    /// Rewards of the chosen completions: a reward model's scores, or the implicit rewards of a
    /// direct alignment loss.
    pub chosen_rewards: Tensor<1>,
    /// Rewards of the rejected completions.
    pub rejected_rewards: Tensor<1>,
}

/// Input of a [`RewardMetric`](crate::RewardMetric), `[pairs]` each.
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

// Metrics run in another thread: the device starts its work now, and the outputs lose their graph.
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
