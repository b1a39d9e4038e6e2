//! Scores of pairs by a reward model, checked to be finite.

use std::ops::ControlFlow;

use collimate_data::TokenizedPair;
use collimate_nn::Backbone;
use collimate_reward::{RewardModel, score_pairs_with};
use collimate_train::{Interrupt, Progress, TrainError};

use crate::RecipeError;
use crate::sft::EVALUATION_TOKENS;

/// Number of pairs between two checks for an interrupt.
const CHUNK: usize = 256;

/// Scores the pairs of a part of the data. A score that is not finite stops the run, and so does an
/// interrupt.
pub(crate) fn scores<B: Backbone>(
    model: &RewardModel<B>,
    pairs: &[TokenizedPair],
    stage: &str,
    part: &'static str,
    interrupt: &Interrupt,
    progress: Progress,
) -> Result<Vec<(f32, f32)>, RecipeError> {
    let label = format!("{stage}: score {part}");
    let mut meter = progress.start(&label, 0, pairs.len() as u64);
    let mut scores = Vec::with_capacity(pairs.len());
    for chunk in pairs.chunks(CHUNK) {
        if interrupt.is_set() {
            return Err(TrainError::Interrupted {
                stage: label,
                step: 0,
                saved: None,
            }
            .into());
        }
        let before = scores.len();
        let done = |done, _| {
            meter.set((before + done) as u64, "pairs");
            ControlFlow::Continue(())
        };
        let part = score_pairs_with(model, chunk, EVALUATION_TOKENS, done);
        scores.extend(part.map_err(|error| TrainError::objective(error.after(2 * before)))?);
    }
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
