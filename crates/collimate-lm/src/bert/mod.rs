//! The BERT encoder: learned positions, bidirectional attention, post-normalisation.

mod config;
mod model;
mod parts;
mod sentence;
mod sizes;
mod store;

pub use config::BertConfig;
pub use model::Bert;
