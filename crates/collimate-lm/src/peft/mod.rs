//! Folders of PEFT with low-rank adapters: `adapter_config.json` and `adapter_model.safetensors`.

mod adapter;
mod chain;
mod config;
mod save;
mod unchanged;

use chain::base_of;
pub(crate) use chain::{Chain, root};
pub(crate) use save::{Form, Whole, save_adapter};
pub(crate) use unchanged::Place;

/// Name of the file with the options of an adapter.
const CONFIG: &str = "adapter_config.json";

/// Name of the file with the tensors of an adapter.
const TENSORS: &str = "adapter_model.safetensors";

/// Prefix of all tensor names of an adapter.
const PREFIX: &str = "base_model.model.";
