//! Shared parts of `dpo`, `sera` and `kto`: options for the user's data or the synthetic world, and
//! the steps up to the policy that the training starts from.

mod config;
mod flags;
pub(crate) mod pairs;
mod run;

pub(crate) use config::{Aligned, align_config, preview, settle};
pub(crate) use flags::{judged_inputs, label_noise, last_flags, loss_flags, training_flags};
pub(crate) use run::{Alignment, check_rows, read_pairs, run};
