#![doc = include_str!("../README.md")]

mod error;
mod files;
mod owned;

pub use error::FileError;
pub use files::{UNFINISHED, atomic_write, atomic_write_with, remove_unfinished, sync_folder};
pub use owned::{entries, remove_all_unfinished_owned, remove_unfinished_owned};
