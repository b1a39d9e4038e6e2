//! Tokenizers in both formats.

mod pre;
mod read;
mod rules;
mod scores;
mod settings;
mod special;
mod vocab;
mod write;

pub(crate) use read::tokenizer;
pub(crate) use settings::{config, generation};
pub(crate) use vocab::Vocabulary;
pub(crate) use write::{Tokens, metadata};
