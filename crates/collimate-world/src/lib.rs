#![doc = include_str!("../README.md")]

mod annotator;
mod answer;
mod config;
mod gold;
mod lexicon;
mod ranking;
mod task;
mod vocabulary;
mod world;

pub use answer::Corruption;
pub use config::{AnnotatorConfig, WorldConfig, WorldError};
pub use gold::GoldParts;
pub use ranking::WorldRanking;
pub use task::TaskKind;
pub use vocabulary::SpecialIds;
pub use world::{World, WorldPair};
