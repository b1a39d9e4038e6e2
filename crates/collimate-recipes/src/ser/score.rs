//! Scores of a stage's model, checked.

use collimate_data::TokenizedPair;
use collimate_nn::Backbone;
use collimate_reward::{RewardModel, score_pairs};
use collimate_train::{Progress, TrainError};

use crate::RecipeError;
use crate::sft::EVALUATION_TOKENS;

/// Scores pairs; a score that is not a number stops the run.
pub(crate) fn scores<B: Backbone>(
    model: &RewardModel<B>,
    pairs: &[TokenizedPair],
    stage: &str,
    part: &'static str,
    progress: Progress,
) -> Result<Vec<(f32, f32)>, RecipeError> {
    let mut meter = progress.start(&format!("{stage}: score {part}"), 0, pairs.len() as u64);
    let scores = score_pairs(model, pairs, EVALUATION_TOKENS, |done, _| {
        meter.set(done as u64, "pairs");
    })
    .map_err(TrainError::objective)?;
    match scores
        .iter()
        .position(|(first, second)| !(first.is_finite() && second.is_finite()))
    {
        Some(index) => Err(RecipeError::NotFinite {
            stage: stage.to_owned(),
            part,
            index,
        }),
        None => Ok(scores),
    }
}
