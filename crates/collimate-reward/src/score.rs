//! Scoring with a trained reward model: untracked, in packs.

use std::ops::ControlFlow;

use burn::module::Module;
use collimate_core::{Completion, Prompt, ScoreError, Scorer};
use collimate_data::{
    AnswerEnd, SftExample, TextTokenizer, TokenizedExample, TokenizedPair, Truncation,
};
use collimate_nn::{Backbone, Forward, Pack, PackError, packs};

use crate::model::RewardModel;
use crate::pack;

/// Scores items in packs of about `tokens_per_pack` tokens. Pass an untracked model (`valid()`): a
/// tracked model would build graphs that are never used. `progress` is called with (done, all); if
/// it breaks, scoring stops.
fn score_in_packs<B: Backbone, T>(
    model: &RewardModel<B>,
    items: &[T],
    tokens_per_pack: usize,
    cost: impl Fn(&T) -> usize,
    push: impl Fn(&mut Pack, &T),
    mut progress: impl FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Vec<f32>, PackError> {
    let mut scores = Vec::with_capacity(items.len());
    for (range, pack) in packs(items, tokens_per_pack, cost, push) {
        let batch =
            pack::to_device(pack, &model.backbone).map_err(|error| error.after(scores.len()))?;
        let part = model.score(&batch, Forward::EVAL).into_data();
        scores.extend(part.iter::<f32>());
        if progress(range.end, items.len()).is_break() {
            break;
        }
    }
    Ok(scores)
}

/// Returns the scores of both answers of every pair as (chosen, rejected), in order.
///
/// # Errors
/// A sequence that the model cannot process. Sequences 2i and 2i + 1 are the chosen and the
/// rejected answer of pair i.
pub fn score_pairs<B: Backbone>(
    model: &RewardModel<B>,
    pairs: &[TokenizedPair],
    tokens_per_pack: usize,
) -> Result<Vec<(f32, f32)>, PackError> {
    score_pairs_with(model, pairs, tokens_per_pack, |_, _| {
        ControlFlow::Continue(())
    })
}

/// Same as [`score_pairs`]; calls `progress` with (done, all) after each pack. If `progress`
/// breaks, returns the scores so far.
///
/// # Errors
/// Same as [`score_pairs`].
pub fn score_pairs_with<B: Backbone>(
    model: &RewardModel<B>,
    pairs: &[TokenizedPair],
    tokens_per_pack: usize,
    progress: impl FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Vec<(f32, f32)>, PackError> {
    let scores = score_in_packs(
        model,
        pairs,
        tokens_per_pack,
        |p| pack::cost::<B>(p.prompt.len(), &[p.chosen.len(), p.rejected.len()]),
        |batch, p| pack::push::<B>(batch, &p.prompt, &[&p.chosen, &p.rejected]),
        progress,
    )?;
    Ok(scores
        .chunks_exact(2)
        .map(|pair| (pair[0], pair[1]))
        .collect())
}

/// Returns the scores of single sequences, in order.
///
/// # Errors
/// A sequence that the model cannot process.
pub fn score_sequences<B: Backbone>(
    model: &RewardModel<B>,
    sequences: &[TokenizedExample],
    tokens_per_pack: usize,
) -> Result<Vec<f32>, PackError> {
    score_sequences_with(model, sequences, tokens_per_pack, |_, _| {
        ControlFlow::Continue(())
    })
}

/// Same as [`score_sequences`]; calls `progress` with (done, all) after each pack. If `progress`
/// breaks, returns the scores so far.
///
/// # Errors
/// Same as [`score_sequences`].
pub fn score_sequences_with<B: Backbone>(
    model: &RewardModel<B>,
    sequences: &[TokenizedExample],
    tokens_per_pack: usize,
    progress: impl FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Vec<f32>, PackError> {
    score_in_packs(
        model,
        sequences,
        tokens_per_pack,
        |s| s.prompt.len() + s.completion.len(),
        |batch, s| pack::push::<B>(batch, &s.prompt, &[&s.completion]),
        progress,
    )
}

/// A reward model with its tokenizer: a [`Scorer`] of texts.
///
/// Every text is read with an end, like the texts that the model was trained on. A completion that
/// was cut therefore looks finished to the model. A trainer must handle cut completions by its own
/// rule.
#[derive(Debug)]
pub struct RewardScorer<B: Backbone> {
    model: RewardModel<B>,
    tokenizer: TextTokenizer,
    max_length: usize,
    truncation: Truncation,
    tokens_per_pack: usize,
}

impl<B: Backbone> RewardScorer<B> {
    /// Returns a scorer that cuts texts to `max_length` tokens by the rule `truncation`. The scorer
    /// keeps the model untracked, and reads every text with an end ([`AnswerEnd::EveryAnswer`]).
    pub fn new(
        model: RewardModel<B>,
        tokenizer: TextTokenizer,
        max_length: usize,
        truncation: Truncation,
    ) -> Self {
        Self {
            model: model.valid(),
            tokenizer: tokenizer.with_answer_end(AnswerEnd::EveryAnswer),
            max_length,
            truncation,
            tokens_per_pack: 4096,
        }
    }
}

impl<B: Backbone> Scorer for RewardScorer<B> {
    fn score(&self, items: &[(Prompt, Completion)]) -> Result<Vec<f32>, ScoreError> {
        let examples: Vec<SftExample> = items
            .iter()
            .map(|(prompt, completion)| SftExample {
                prompt: prompt.clone(),
                // Token ids of another model would mean other texts here.
                completion: Completion {
                    tokens: None,
                    ..completion.clone()
                },
            })
            .collect();
        let (sequences, _) = self
            .tokenizer
            .encode_examples(&examples, self.max_length, self.truncation)
            .map_err(|error| ScoreError::Other(error.to_string()))?;
        let scores = score_sequences(&self.model, &sequences, self.tokens_per_pack)
            .map_err(|error| ScoreError::Other(error.to_string()))?;
        match scores.iter().position(|score| !score.is_finite()) {
            Some(index) => Err(ScoreError::NotFinite {
                index,
                value: scores[index],
            }),
            None => Ok(scores),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use collimate_core::Key;
    use collimate_lm::Llama;
    use collimate_testkit::flex;

    use super::*;

    #[test]
    fn a_scorer_of_a_tracked_model_builds_no_graph() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/hf");
        let dir = fixtures.join("llama-reward");
        let key = Key::new(1, "head");
        let model = RewardModel::<Llama>::load_or_fresh(&dir, key, &flex()).unwrap();
        assert!(model.backbone.device().is_autodiff());
        let tokenizer = TextTokenizer::from_folder(&dir).unwrap();
        let scorer = RewardScorer::new(model, tokenizer, 64, Truncation::KeepEnd);
        assert!(!scorer.model.backbone.device().is_autodiff());
    }
}
