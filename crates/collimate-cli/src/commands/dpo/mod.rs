//! Direct alignment with any loss: `collimate dpo --help`.

mod args;
mod run;

pub(crate) use args::{Args, Dpo};
