//! Which parameters a stage trains.

use collimate_nn::LoraConfig;
use serde::{Deserialize, Serialize};

/// Which parameters a stage trains.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adaptation {
    /// All.
    #[default]
    Full,
    /// Fresh low-rank adapters (and the head of a reward model); they are folded in after the stage.
    Lora(LoraConfig),
}
