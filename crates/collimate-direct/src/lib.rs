#![doc = include_str!("../README.md")]

mod batch;
mod error;
mod logps;
mod objective;
mod reference;
mod reference_file;
mod sft;
mod step;
mod unpaired;

pub use batch::{DirectLosses, direct_losses};
pub use error::DirectError;
pub use logps::{PairLogp, pair_logps, pair_logps_with, targets};
pub use objective::{DirectObjective, check_numbers};
pub use reference::Reference;
pub use reference_file::{load_reference_logps, pairs_hash, save_reference_logps, training_hash};
pub use sft::{SftObjective, completion_nll, example_batch, perplexity};
pub use unpaired::{UnpairedExample, UnpairedObjective};
