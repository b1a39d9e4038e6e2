//! What the examples `dpo` and `sera` share: options, data, the run.

mod args;
mod data;
mod run;

pub(crate) use args::{Defaults, Options};
pub(crate) use run::run;
