//! A test of a recipe on human labels that it has not seen.

use collimate_data::{HiddenLabelPool, TokenizedPair};
use collimate_nn::HfReward;
use collimate_status::{GainTest, gain_test};
use collimate_train::hash_json;
use serde::{Deserialize, Serialize};

use super::evolved::evolve_by;
use super::loops::LoopInputs;
use super::recipe::Recipe;
use super::session::{Length, Lesson, Session};
use crate::RecipeError;

/// Score gaps of a fold's pairs after the recipe.
#[derive(Serialize, Deserialize)]
struct After {
    gaps: Vec<f64>,
}

/// For each fold of the labels, runs the recipe without this fold. Compares the log loss of the
/// fold's pairs before and after the recipe.
pub(crate) fn check<B: HfReward>(
    session: &mut Session<'_>,
    recipe: Recipe,
    inputs: &LoopInputs<'_, B>,
    pool: &HiddenLabelPool,
) -> Result<Option<GainTest>, RecipeError> {
    let Some(cross) = inputs.cross else {
        return Ok(None);
    };
    let mut after = vec![0.0; inputs.seed.len()];
    for fold in 0..cross.count() {
        let name = format!("check-{}-fold{fold}", recipe.name());
        let held: Vec<usize> = (0..inputs.seed.len())
            .filter(|&index| cross.folds[index] == fold)
            .collect();
        let hash = hash_json(&(session.config, inputs.seed, pool.pairs(), &session.start));
        let gaps = session.cached(&name, &hash, |session| {
            let seed = cross.others(inputs.seed, fold);
            let lesson = Lesson::plain(seed.clone(), Length::Epochs(cross.report.epochs));
            let zero = session.train(&format!("{name}-loop0"), inputs.start, lesson)?;
            let of_fold = LoopInputs {
                zero: &zero,
                seed: &seed,
                trained_on: &seed,
                // No audit here: the test needs only the human labels of the fold.
                auditor: None,
                ..*inputs
            };
            let evolved = evolve_by(session, recipe, &name, &of_fold, pool.clone())?;
            let pairs: Vec<TokenizedPair> = held
                .iter()
                .map(|&index| inputs.seed[index].clone())
                .collect();
            let scores = session.scores(&evolved.model, &pairs, &name, "held-out labelled")?;
            let gap = |(chosen, rejected): (f32, f32)| f64::from(chosen) - f64::from(rejected);
            Ok(After {
                gaps: scores.into_iter().map(gap).collect(),
            })
        })?;
        for (index, gap) in held.into_iter().zip(gaps.gaps) {
            after[index] = gap;
        }
    }
    Ok(Some(gain_test(&cross.gaps, &after, &cross.folds)?))
}
