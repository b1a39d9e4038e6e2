//! Pairs to label next: those whose label would teach most.

use std::collections::HashMap;

use collimate_core::Prompt;
use collimate_data::{HiddenLabelPool, TokenizedPair};
use collimate_nn::HfReward;
use collimate_status::{PairCalibration, ask_next, disagreement};
use collimate_train::hash_json;
use serde::{Deserialize, Serialize};

use super::loops::LoopInputs;
use super::outcome::{AskNext, SeedAgreement};
use super::session::Session;
use crate::RecipeError;

/// Score gaps of the seed models, as stored in the journal.
#[derive(Serialize, Deserialize)]
struct Opinions {
    /// For each model, r₁ − r₂ of each pair.
    gaps: Vec<Vec<f64>>,
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
        let mut gaps = Vec::new();
        for fold in 0..cross.count() {
            let model = cross.model(session, inputs.start, inputs.seed, fold)?;
            let scores = session.scores(&model, &shown, &format!("ask-fold{fold}"), "pool")?;
            let gap = |(first, second): (f32, f32)| f64::from(first) - f64::from(second);
            gaps.push(scores.into_iter().map(gap).collect());
        }
        Ok(Opinions { gaps })
    })?;
    cross.forget_models(session)?;
    let believed = probabilities(&opinions.gaps, cross.report.calibration);
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
    let all = disagreement(&probabilities(
        &opinions.gaps,
        distinct(&opinions.gaps, cross.report.calibration),
    ));
    let mean = |index: usize| {
        let sum: f64 = believed.iter().map(|model| model[index]).sum();
        sum / believed.len() as f64
    };
    let next = ask_next(&all, &groups, session.config.ask)
        .into_iter()
        .map(|index| AskNext {
            pair: pool.pairs()[index].clone(),
            probability: mean(index),
            disagreement: all[index],
        });
    let unanimous = (0..pool.len())
        .filter(|&index| unanimous(&opinions.gaps, index))
        .count();
    Ok(Some(Asked {
        next: next.collect(),
        agreement: SeedAgreement {
            models: opinions.gaps.len(),
            pairs: pool.len(),
            unanimous: unanimous as f64 / pool.len().max(1) as f64,
            mean_disagreement: all.iter().sum::<f64>() / all.len().max(1) as f64,
        },
    }))
}

/// Returns, for each model, the probability of each pair that the first answer is better.
fn probabilities(gaps: &[Vec<f64>], calibration: PairCalibration) -> Vec<Vec<f64>> {
    let of_model = |gaps: &Vec<f64>| {
        let gaps = gaps.iter();
        gaps.map(|gap| calibration.probability(*gap)).collect()
    };
    gaps.iter().map(of_model).collect()
}

/// Returns a map that tells the models' opinions apart. With a slope of 0 every probability is ½ and
/// no pair would be worth more than another, so the slope is then 1 for a gap of mean size.
fn distinct(gaps: &[Vec<f64>], calibration: PairCalibration) -> PairCalibration {
    let n = gaps.iter().map(Vec::len).sum::<usize>().max(1) as f64;
    let mean = gaps.iter().flatten().map(|gap| gap.abs()).sum::<f64>() / n;
    match calibration.slope == 0.0 && mean > 0.0 {
        true => PairCalibration { slope: 1.0 / mean },
        false => calibration,
    }
}

/// Returns true if all models prefer the same answer of a pair.
fn unanimous(gaps: &[Vec<f64>], pair: usize) -> bool {
    gaps.iter().all(|model| model[pair] > 0.0) || gaps.iter().all(|model| model[pair] < 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Models that are worse than chance have the slope 0. Their opinions still differ.
    #[test]
    fn models_without_a_slope_disagree_by_their_order() {
        let gaps = [vec![2.0, 1.0, 0.0], vec![-2.0, 1.0, 0.0]];
        let zero = PairCalibration { slope: 0.0 };
        let all = disagreement(&probabilities(&gaps, distinct(&gaps, zero)));
        assert!(all[0] > 0.1 && all[1] < 1e-12, "{all:?}");
        assert!(
            probabilities(&gaps, zero)
                .concat()
                .iter()
                .all(|p| *p == 0.5)
        );
        let found = [0, 1, 2].map(|pair| unanimous(&gaps, pair));
        assert_eq!(found, [false, true, false]);
        let sloped = PairCalibration { slope: 0.3 };
        assert_eq!(distinct(&gaps, sloped), sloped);
    }
}
