//! Parameters that a stage trains.

use collimate_nn::LoraConfig;
use serde::{Deserialize, Serialize};

/// Parameters that a stage trains.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Adaptation {
    /// All parameters are trained.
    #[default]
    Full,
    /// Fresh low-rank adapters are trained; a reward model's head is trained with them. The
    /// adapters are folded into the weights after the stage.
    Lora(LoraConfig),
}
