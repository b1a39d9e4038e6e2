#![doc = include_str!("../README.md")]

mod answer;
mod body;
mod check;
mod client;
mod config;
mod error;
mod generator;
mod key;
mod pool;
mod retry;
mod score_config;
mod score_wire;
mod scorer;
mod stats;

pub use config::{Endpoint, ExtraSampling, RemoteConfig, TokenLimit};
pub use error::RemoteError;
pub use generator::RemoteGenerator;
pub use key::ApiKey;
pub use score_config::{ScoreConfig, ScoreEndpoint, ScoreInput};
pub use scorer::RemoteScorer;
pub use stats::{Outcome, RemoteStats};
