//! A test of a recipe on human labels that it has not seen.

use collimate_data::{HiddenLabelPool, TokenizedPair};
use collimate_nn::HfReward;
use collimate_reward::RewardModel;
use collimate_status::{GainTest, PairCalibration, gain_test};
use collimate_train::hash_json;
use serde::{Deserialize, Serialize};

use super::evolved::evolve_by;
use super::loops::LoopInputs;
use super::recipe::Recipe;
use super::session::{Length, Lesson, Session};
use crate::RecipeError;

/// Score gaps r(chosen) − r(rejected) of a fold's pairs.
#[derive(Serialize, Deserialize)]
struct OfFold {
    /// Under the seed model that has not seen the fold.
    before: Vec<f64>,
    /// Under the model that the recipe makes of it.
    after: Vec<f64>,
}

/// For each fold of the labels, trains a seed model without this fold and runs the recipe from it.
/// Compares the log loss of the fold's pairs before and after the recipe.
///
/// The recipe's map from gaps to probabilities is fitted without the fold too. All labels decide the
/// number of passes of the seed models.
pub(crate) fn check<B: HfReward>(
    session: &mut Session<'_>,
    recipe: Recipe,
    inputs: &LoopInputs<'_, B>,
    pool: &HiddenLabelPool,
) -> Result<Option<GainTest>, RecipeError> {
    let Some(cross) = inputs.cross else {
        return Ok(None);
    };
    let mut before = vec![0.0; inputs.seed.len()];
    let mut after = before.clone();
    for fold in 0..cross.count() {
        let name = format!("check-{}-fold{fold}", recipe.name());
        let (held, others): (Vec<usize>, Vec<usize>) =
            (0..inputs.seed.len()).partition(|&index| cross.folds[index] == fold);
        let hash = hash_json(&(session.config, inputs.seed, pool.pairs(), &session.start));
        let found = session.cached(&name, &hash, |session| {
            let seed = cross.others(inputs.seed, fold);
            let lesson = Lesson::plain(seed.clone(), Length::Epochs(cross.report.epochs));
            let zero = session.train(&format!("{name}-loop0"), inputs.start, lesson)?;
            let gaps: Vec<f64> = others.iter().map(|&index| cross.gaps[index]).collect();
            let of_fold = LoopInputs {
                zero: &zero,
                seed: &seed,
                trained_on: &seed,
                calibration: Some(PairCalibration::fit(&gaps)?),
                // No audit here: the test needs only the human labels of the fold.
                auditor: None,
                ..*inputs
            };
            let evolved = evolve_by(session, recipe, &name, &of_fold, pool.clone())?;
            let pairs: Vec<TokenizedPair> = held
                .iter()
                .map(|&index| inputs.seed[index].clone())
                .collect();
            let gaps = |model: &RewardModel<B>| -> Result<Vec<f64>, RecipeError> {
                let scores = session.scores(model, &pairs, &name, "held-out labelled")?;
                let gap = |(chosen, rejected): (f32, f32)| f64::from(chosen) - f64::from(rejected);
                Ok(scores.into_iter().map(gap).collect())
            };
            Ok(OfFold {
                before: gaps(&zero.model)?,
                after: gaps(&evolved.model)?,
            })
        })?;
        let gaps = found.before.into_iter().zip(found.after);
        for (index, gaps) in held.into_iter().zip(gaps) {
            (before[index], after[index]) = gaps;
        }
    }
    Ok(Some(gain_test(&before, &after, &cross.folds)?))
}
