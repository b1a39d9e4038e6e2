//! Defaults of the synthetic world: stages and the decoder that is trained from scratch.

use collimate::lm::LlamaConfig;
use collimate::train::{Schedule, TrainConfig};

/// Number of plain texts that the decoder is pretrained on.
pub(crate) const PRETRAIN_TEXTS: usize = 24_000;

/// Returns the training of a stage before the command's own training.
pub(crate) fn stage(
    stage: &str,
    learning_rate: f64,
    batch_size: usize,
    epochs: f64,
) -> TrainConfig {
    TrainConfig {
        stage: stage.to_owned(),
        learning_rate,
        schedule: Schedule::Cosine,
        warmup_steps: 20,
        batch_size,
        epochs,
        // A killed run then loses little work.
        save_every: Some(200),
        keep_best: false,
        ..TrainConfig::default()
    }
}

/// Returns the pretraining of a decoder from scratch on plain texts.
pub(crate) fn pretrain() -> TrainConfig {
    stage("pretrain", 3e-3, 64, 2.0)
}

/// Returns the fine-tuning of a decoder from scratch on chosen answers.
pub(crate) fn sft() -> TrainConfig {
    stage("sft", 1e-3, 32, 3.0)
}

/// Returns the decoder, which is the same in all commands.
pub(crate) fn llama() -> LlamaConfig {
    LlamaConfig {
        hidden_size: 96,
        intermediate_size: 256,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        num_key_value_heads: 4,
        max_position_embeddings: 256,
        ..LlamaConfig::default()
    }
}
