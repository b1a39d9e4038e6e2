//! The map of Loop 0's score gaps, from the map that the cross-fit finds for the models of the folds.

use collimate_data::TokenizedPair;
use collimate_nn::HfReward;
use collimate_reward::RewardModel;
use collimate_status::PairCalibration;
use collimate_train::hash_json;
use serde::{Deserialize, Serialize};

use super::cross_fit::CrossFit;
use super::session::Session;
use crate::RecipeError;

/// Largest number of pairs of the pool that are scored.
const PAIRS: usize = 512;

/// Mean sizes of the score gaps on the same pairs, as stored in the journal.
#[derive(Serialize, Deserialize)]
struct Sizes {
    zero: f64,
    folds: f64,
}

/// Measures how much larger the gaps of Loop 0 are than those of the models of the folds.
///
/// A model of a fold has learnt from fewer labels than Loop 0, for fewer steps, and its gaps are
/// mostly smaller. The slope that the cross-fit finds would make Loop 0 too sure of itself. Both
/// kinds of model score some pairs of the pool, which neither has seen.
pub(crate) fn measure<B: HfReward>(
    session: &mut Session<'_>,
    start: &RewardModel<B>,
    zero: &RewardModel<B>,
    seed: &[TokenizedPair],
    cross: &CrossFit,
    pool: &[TokenizedPair],
) -> Result<f64, RecipeError> {
    let pairs: Vec<TokenizedPair> = spread(pool, PAIRS).cloned().collect();
    if pairs.is_empty() {
        return Ok(1.0);
    }
    let hash = hash_json(&(session.config, seed, &pairs, &session.start));
    let sizes = session.cached("sharpness", &hash, |session| {
        let mut folds = 0.0;
        for fold in 0..cross.count() {
            let model = cross.model(session, start, seed, fold)?;
            let name = format!("sharpness-fold{fold}");
            folds += mean_gap(session, &model, &pairs, &name)? / cross.count() as f64;
        }
        Ok(Sizes {
            zero: mean_gap(session, zero, &pairs, "sharpness-loop0")?,
            folds,
        })
    })?;
    let ratio = sizes.zero / sizes.folds;
    Ok(match ratio > 0.0 && ratio.is_finite() {
        true => ratio,
        false => 1.0,
    })
}

/// Returns the map for a model whose gaps are `sharpness` times those of the calibrated models.
pub(crate) fn sharpened(of_folds: PairCalibration, sharpness: f64) -> PairCalibration {
    PairCalibration {
        slope: of_folds.slope / sharpness,
    }
}

fn mean_gap<B: HfReward>(
    session: &Session<'_>,
    model: &RewardModel<B>,
    pairs: &[TokenizedPair],
    name: &str,
) -> Result<f64, RecipeError> {
    let scores = session.scores(model, pairs, name, "pool")?;
    let sizes = scores
        .iter()
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
    Ok(sizes.sum::<f64>() / pairs.len() as f64)
}

/// Returns at most `count` items at even distances.
fn spread<T>(items: &[T], count: usize) -> impl Iterator<Item = &T> {
    let count = count.min(items.len());
    (0..count).map(move |index| &items[index * items.len() / count])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_spread_over_the_whole_list() {
        let items: Vec<usize> = (0..10).collect();
        assert_eq!(spread(&items, 4).copied().collect::<Vec<_>>(), [0, 2, 5, 7]);
        assert_eq!(spread(&items, 99).count(), 10);
        assert_eq!(spread(&items[..0], 4).count(), 0);
    }

    /// Gaps that are twice as large give the same probabilities with half of the slope.
    #[test]
    fn a_sharper_model_has_a_smaller_slope() {
        let of_folds = PairCalibration { slope: 0.8 };
        let of_zero = sharpened(of_folds, 2.0);
        assert_eq!(of_zero.slope, 0.4);
        assert_eq!(of_zero.probability(3.0), of_folds.probability(1.5));
    }
}
