//! New GGUF files.

mod bytes;
mod export;
mod writer;

pub use export::{Export, HfFolder, OutType, write_hugging_face};
pub use writer::{GgufWriter, ValuesError};
