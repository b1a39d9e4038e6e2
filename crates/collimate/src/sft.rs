//! Supervised fine-tuning: next-token prediction on answers.

pub use collimate_data::{SftExample, read_sft};
pub use collimate_direct::{DirectError, SftObjective, completion_nll, example_batch, perplexity};
pub use collimate_losses::token_nll;
pub use collimate_recipes::{SftOutcome, SftPlan, fine_tune};
