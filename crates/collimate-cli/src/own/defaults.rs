//! Defaults of the synthetic world: stages and the decoder that is trained from scratch.

use collimate::lm::LlamaConfig;
use collimate::recipes::world::WorldModel;
use collimate::train::TrainConfig;

/// Number of plain texts that the decoder reads first.
pub(crate) fn plain_texts() -> usize {
    WorldModel::default().plain_texts
}

/// Returns the pretraining of a decoder from scratch on plain texts.
pub(crate) fn pretrain() -> TrainConfig {
    WorldModel::default().pretrain
}

/// Returns the fine-tuning of a decoder from scratch on chosen answers.
pub(crate) fn sft() -> TrainConfig {
    WorldModel::default().sft
}

/// Fine-tuning of the user's decoder.
pub(crate) fn own_sft() -> TrainConfig {
    TrainConfig {
        learning_rate: 2e-5,
        batch_size: 16,
        epochs: 3.0,
        ..sft()
    }
}

/// Returns the decoder, which is the same in all commands.
pub(crate) fn llama() -> LlamaConfig {
    WorldModel::default().llama
}
