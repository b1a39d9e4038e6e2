//! Direct alignment that reviews its own pairs: `collimate sera --help`.

mod args;
mod run;

pub(crate) use args::{Args, Sera};
