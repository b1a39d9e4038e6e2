//! Memory of a run.

use collimate::recipes::self_rewarding::PairSource;
use collimate::train::TrainConfig;

use super::args::Config;
use crate::preview::{Beside, Held, Writing, largest};

/// Returns the models and micro-batches that a run holds in memory.
pub(super) fn held(config: &Config) -> Option<Held> {
    let model = config.model.clone()?;
    let recipe = &config.recipe;
    let asked =
        |train: &TrainConfig, longest| largest(train.batch_size, longest, train.micro_batch_tokens);
    // The longest example is a pair: both answers follow one prompt.
    let pair = recipe.max_length.saturating_mul(2);
    let compared = recipe.compare.iter();
    let branches = 1 + compared.filter(|&&from| from != PairSource::Judge).count();
    // M0, the baseline and M1, and the models of every iteration. The last one is the model that is
    // trained.
    let models = recipe.iterations.saturating_mul(branches).saturating_add(3);
    let frozen = [&config.evaluator, &config.eft_judge];
    Some(Held {
        // Fine-tuning trains all weights.
        lora: false,
        keeps_half: false,
        saved_activations: config.saved_activations,
        critic: None,
        copies: models - 1,
        beside: frozen
            .into_iter()
            .flatten()
            .map(|folder| Beside {
                folder: folder.clone(),
                keeps_half: true,
            })
            .collect(),
        asked: asked(&recipe.train, pair).max(asked(&recipe.sft, recipe.max_length)),
        longest: pair,
        writing: Some(Writing {
            weights: config.generation_weights,
            cache: config.generation_cache,
            max_length: recipe.max_length,
        }),
        advice: "give fewer --iterations or --compare none",
        model,
    })
}
