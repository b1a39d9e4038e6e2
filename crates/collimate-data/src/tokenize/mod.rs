//! Conversion of texts to token ids, by one rule for every trainer.

mod adapter;
mod around;
mod batch;
mod border;
mod encode;
mod files;
mod fingerprint;
mod folder;
mod folder_tokens;
mod length;
mod render;
mod save;
mod special;
mod stream;
mod template;
mod text_tokenizer;

pub use adapter::{adapter_base, adapter_chain};
pub use batch::TokenizeReport;
pub use encode::{TokenizedExample, TokenizedPair, Truncation};
pub use folder::TokenizerOptions;
pub use special::{AnswerEnd, OnRewrittenPrompt, SpecialTokenIds};
pub use stream::TextStream;
pub use template::{ChatFallback, ChatOptions, ChatTemplate};
pub use text_tokenizer::TextTokenizer;
