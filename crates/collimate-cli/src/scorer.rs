//! A saved reward model as a scorer.

use std::path::Path;

use collimate::core::Scorer;
use collimate::data::{ChatFallback, TextTokenizer, Truncation};
use collimate::lm::{Architecture, Encoder, Llama};
use collimate::nn::{HfFolder, HfReward};
use collimate::prelude::Device;
use collimate::reward::{RewardModel, RewardScorer};

use crate::common::{self, Failure};
use crate::loading;

/// Opens the reward model in a folder, a decoder or an encoder. The maximum length is the one that
/// the model was trained with. If that is unknown, it is the model's own maximum, limited to 2048
/// tokens. The model sees the end of a longer text.
pub(crate) fn reward_model(
    option: &str,
    dir: &Path,
    fallback: ChatFallback,
    device: &Device,
) -> Result<Box<dyn Scorer>, Failure> {
    match common::architecture_of(option, dir)? {
        Architecture::Encoder => load::<Encoder>(dir, fallback, device),
        _ => load::<Llama>(dir, fallback, device),
    }
}

fn load<B: HfReward>(
    dir: &Path,
    fallback: ChatFallback,
    device: &Device,
) -> Result<Box<dyn Scorer>, Failure> {
    let model = RewardModel::<B>::load(dir, loading::frozen(device))?;
    let tokenizer = TextTokenizer::from_folder(dir)?.with_chat_fallback(fallback);
    let most = model.backbone.max_positions();
    let length = most.min(tokenizer.max_length().unwrap_or(2048));
    let cut = Truncation::KeepEnd;
    Ok(Box::new(RewardScorer::new(model, tokenizer, length, cut)))
}
