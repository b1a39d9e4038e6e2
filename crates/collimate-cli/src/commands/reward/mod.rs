//! A reward model from labelled pairs: `collimate reward --help`.

mod args;
mod run;

pub(crate) use args::{Args, Reward};
pub(crate) use run::check_pooling;
