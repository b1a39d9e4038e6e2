#![doc = include_str!("../README.md")]

mod bert;
mod hf;
mod llama;

pub use bert::{Bert, BertConfig};
pub use hf::{Architecture, detect_architecture};
pub use llama::{Llama, LlamaConfig};
