#![doc = include_str!("../README.md")]
// The parts that only a download needs are small and bring no dependency.
#![cfg_attr(not(feature = "download"), allow(dead_code))]

mod cache;
#[cfg(feature = "download")]
mod download;
mod env;
mod error;
mod hub;
mod index;
mod listing;
mod name;
mod path;
mod token;
mod wanted;
mod watch;

pub use error::HubError;
pub use hub::Hub;
pub use name::{RepoKind, RepoName};
pub use token::Token;
pub use wanted::Wanted;
pub use watch::{Progress, Watch};
