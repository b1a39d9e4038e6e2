#![doc = include_str!("../README.md")]

mod arguments;
mod error;
mod instruction;
mod language;
mod scorer;
mod task;
mod text;

pub use error::InstructionError;
pub use instruction::{Instruction, Relation};
pub use language::Language;
pub use scorer::InstructionScorer;
pub use task::{Followed, InstructionTask};
