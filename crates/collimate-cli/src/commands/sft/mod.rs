//! Supervised fine-tuning: `collimate sft --help`.

mod args;
mod run;

pub(crate) use args::{Args, Sft};
