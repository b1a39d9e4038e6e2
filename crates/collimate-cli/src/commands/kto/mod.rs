//! Alignment with labelled answers: `collimate kto --help`.

mod args;
mod labelled;
mod run;

pub(crate) use args::{Args, Kto};
