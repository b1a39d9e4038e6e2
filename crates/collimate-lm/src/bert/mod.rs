//! The BERT encoder: learned positions, bidirectional attention, post-normalisation.

mod config;
mod model;
mod parts;
mod store;

pub use config::BertConfig;
pub use model::Bert;
