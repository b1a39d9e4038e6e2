//! Parameters that a stage trains.

use collimate_core::{Key, OptionError};
use collimate_nn::{Adaptable, HfReward, LoraConfig};
use collimate_reward::RewardModel;
use serde::{Deserialize, Serialize};

/// Parameters that a stage trains.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Adaptation {
    /// All parameters are trained.
    #[default]
    Full,
    /// Fresh low-rank adapters are trained; a reward model's head is trained with them. After the
    /// stage, the adapters are folded into weights of 32 bits; beside frozen matrices of 16 bits
    /// they stay attached until the next stage.
    Lora(LoraConfig),
}

impl Adaptation {
    /// Returns the model that a stage trains, from the model that the stage starts from.
    pub(crate) fn begin<M: Adaptable>(&self, start: &M, key: Key) -> Result<M, OptionError> {
        match self {
            Self::Full => Ok(start.clone().merged()),
            Self::Lora(lora) => start.clone().without_adapters().with_lora(lora, key),
        }
    }

    /// As [`Self::begin`], for a reward model.
    pub(crate) fn begin_reward<B: HfReward>(
        &self,
        start: &RewardModel<B>,
        key: Key,
    ) -> Result<RewardModel<B>, OptionError> {
        match self {
            Self::Full => Ok(start.clone().merged()),
            Self::Lora(lora) => start.clone().without_adapters().with_lora(lora, key),
        }
    }
}
