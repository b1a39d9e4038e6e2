//! Pairs to label next: those whose label would teach most.

use std::collections::HashMap;

use collimate_core::Prompt;
use collimate_data::{HiddenLabelPool, TokenizedPair};
use collimate_nn::HfReward;
use collimate_status::{ask_next, disagreement};
use collimate_train::hash_json;
use serde::{Deserialize, Serialize};

use super::loops::LoopInputs;
use super::outcome::{AskNext, SeedAgreement};
use super::session::Session;
use crate::RecipeError;

/// Probabilities of the seed models, as stored in the journal.
#[derive(Serialize, Deserialize)]
struct Opinions {
    /// For each model, the probability that the first answer of each pair is better.
    models: Vec<Vec<f64>>,
}

/// Pairs to label next, and the seed models' agreement on the pool.
pub(crate) struct Asked {
    pub(crate) next: Vec<AskNext>,
    pub(crate) agreement: SeedAgreement,
}

/// Lets the models of the cross-fit judge the pool. These models have seen different labels, so
/// pairs on which they disagree are worth a label. Returns `None` without a cross-fit, or if the
/// options ask for no pair: the models then do not read the pool.
pub(crate) fn ask<B: HfReward>(
    session: &mut Session<'_>,
    inputs: &LoopInputs<'_, B>,
    pool: &HiddenLabelPool,
) -> Result<Option<Asked>, RecipeError> {
    let Some(cross) = inputs.cross else {
        return Ok(None);
    };
    if session.config.ask == 0 {
        cross.forget_models(session)?;
        return Ok(None);
    }
    let shown: Vec<TokenizedPair> = inputs.tokenized.shown_of(pool);
    let hash = hash_json(&(session.config, inputs.seed, &shown, &session.start));
    let opinions = session.cached("ask", &hash, |session| {
        let mut models = Vec::new();
        for fold in 0..cross.count() {
            let model = cross.model(session, inputs.start, inputs.seed, fold)?;
            let scores = session.scores(&model, &shown, &format!("ask-fold{fold}"), "pool")?;
            let calibration = cross.report.calibration;
            let p = |(first, second): (f32, f32)| {
                calibration.probability(f64::from(first) - f64::from(second))
            };
            models.push(scores.into_iter().map(p).collect());
        }
        Ok(Opinions { models })
    })?;
    cross.forget_models(session)?;
    let mut prompts: HashMap<&Prompt, usize> = HashMap::new();
    let groups: Vec<usize> = pool
        .pairs()
        .iter()
        .enumerate()
        .map(|(index, pair)| match pair.prompt.is_empty() {
            // A number that no prompt gets.
            true => pool.len() + index,
            false => {
                let next = prompts.len();
                *prompts.entry(&pair.prompt).or_insert(next)
            }
        })
        .collect();
    let all = disagreement(&opinions.models);
    let mean = |index: usize| {
        let sum: f64 = opinions.models.iter().map(|model| model[index]).sum();
        sum / opinions.models.len() as f64
    };
    let next = ask_next(&all, &groups, session.config.ask)
        .into_iter()
        .map(|index| AskNext {
            pair: pool.pairs()[index].clone(),
            probability: mean(index),
            disagreement: all[index],
        });
    let unanimous = (0..pool.len())
        .filter(|&index| {
            let first = opinions.models.iter().filter(|model| model[index] > 0.5);
            [0, opinions.models.len()].contains(&first.count())
        })
        .count();
    Ok(Some(Asked {
        next: next.collect(),
        agreement: SeedAgreement {
            models: opinions.models.len(),
            pairs: pool.len(),
            unanimous: unanimous as f64 / pool.len().max(1) as f64,
            mean_disagreement: all.iter().sum::<f64>() / all.len().max(1) as f64,
        },
    }))
}
