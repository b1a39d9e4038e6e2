//! Common to the commands `dpo` and `sera`: options, data, the run.

mod args;
mod data;
mod run;

pub(crate) use args::{Config, Defaults, flags, settle};
pub(crate) use run::run;
