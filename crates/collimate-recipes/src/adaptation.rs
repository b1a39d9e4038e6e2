//! Which parameters a stage trains.

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
    /// Fresh low-rank adapters are trained (and the head of a reward model); they are folded in
    /// after the stage.
    Lora(LoraConfig),
}
