//! Options of the stage that trains policies against rewards.

use collimate_core::OptionError;
use collimate_ppo::{PpoConfig, PpoError};
use serde::{Deserialize, Serialize};

use crate::{Adaptation, RecipeError};

/// Model that the critic starts from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CriticStart {
    /// `value_head` for a policy of more than 50 million parameters, because a second model of that
    /// size costs much time and memory; else `reward_model`.
    #[default]
    Auto,
    /// The reward model that the policy is trained against, if it reads the policy's tokens; else
    /// the same as `value_head`.
    RewardModel,
    /// A fresh head on the policy's own hidden states.
    ValueHead,
}

/// Number of parameters of a policy above which the critic is a value head by default.
const VALUE_HEAD_ABOVE: u64 = 50_000_000;

impl CriticStart {
    /// Returns true if the critic of a policy with this number of parameters starts from the reward
    /// model.
    pub fn takes_reward_model(self, parameters: u64) -> bool {
        match self {
            Self::Auto => parameters <= VALUE_HEAD_ABOVE,
            Self::RewardModel => true,
            Self::ValueHead => false,
        }
    }
}

/// Options of the stage that trains policies against rewards.
///
/// | field | default | allowed |
/// |---|---|---|
/// | `ppo` | see [`PpoConfig`] | every policy's stage name begins with `ppo.stage` |
/// | `adaptation` | `full` | `full`, `lora` without dropout: of the policy, and of a separate critic |
/// | `critic` | `auto` | `auto`, `reward_model`, `value_head`; RLOO and GRPO have no critic |
/// | `max_length` | 512 | longest sequence in tokens, above `ppo.max_new_tokens` |
/// | `watched` | 4 | number of prompts whose answers the report shows during training |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// Options of the PPO trainer; every policy's stage name begins with `ppo.stage`.
    pub ppo: PpoConfig,
    /// Parameters that are trained, in the policy and in a separate critic; `lora` must have no
    /// dropout.
    pub adaptation: Adaptation,
    /// Model that the critic starts from; RLOO and GRPO have no critic.
    pub critic: CriticStart,
    /// Longest sequence, in tokens, above `ppo.max_new_tokens`.
    pub max_length: usize,
    /// Number of prompts whose answers the report shows during training.
    pub watched: usize,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            ppo: PpoConfig::default(),
            adaptation: Adaptation::default(),
            critic: CriticStart::default(),
            max_length: 512,
            watched: 4,
        }
    }
}

impl PolicyConfig {
    /// Checks every option.
    ///
    /// # Errors
    /// The first option out of range.
    pub fn check(&self) -> Result<(), RecipeError> {
        self.ppo.check().map_err(|error| match error {
            PpoError::Config(error) => RecipeError::Config(error),
            error => error.into(),
        })?;
        if let Adaptation::Lora(lora) = &self.adaptation {
            lora.check()?;
            if lora.dropout != 0.0 {
                let allowed = "0: reinforcement learning runs without dropout";
                return Err(
                    OptionError::new("adaptation.lora.dropout", lora.dropout, allowed).into(),
                );
            }
        }
        if self.critic == CriticStart::ValueHead && self.ppo.estimator.critic().is_none() {
            let allowed = "auto, the default: rloo and grpo have no critic";
            return Err(OptionError::new("critic", "value_head", allowed).into());
        }
        if self.max_length <= self.ppo.max_new_tokens {
            let allowed = "above ppo.max_new_tokens: the prompt needs room too";
            return Err(OptionError::new("max_length", self.max_length, allowed).into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_policies_get_a_value_head() {
        let auto = CriticStart::Auto;
        assert!(auto.takes_reward_model(50_000_000) && !auto.takes_reward_model(50_000_001));
        assert!(CriticStart::RewardModel.takes_reward_model(u64::MAX));
        assert!(!CriticStart::ValueHead.takes_reward_model(1));
    }
}
