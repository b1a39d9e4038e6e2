//! Architectures: names and forms of tensors, and `config.json`.

mod arch;
mod config;
mod keys;
mod read;
mod rope;
mod rope_write;
mod slots;
mod write;

pub(crate) use config::Json;
pub(crate) use keys::Keys;
pub(crate) use read::{ARCHITECTURE, arch, config, sizes};

pub(crate) use slots::{Sizes, Slot};
pub(crate) use write::{CONFIG, Model, model};
