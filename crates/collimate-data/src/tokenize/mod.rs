//! Texts to token ids, by one rule for every trainer.

mod around;
mod batch;
mod border;
mod encode;
mod folder;
mod length;
mod stream;
mod template;
mod text_tokenizer;

pub use batch::TokenizeReport;
pub use encode::{TokenizedExample, TokenizedPair, Truncation};
pub use folder::TokenizerOptions;
pub use stream::TextStream;
pub use template::{ChatFallback, ChatOptions, ChatTemplate};
pub use text_tokenizer::{AnswerEnd, SpecialTokenIds, TextTokenizer};
