//! Cross-fitting: estimates the quality of the seed model from the human labels alone. Each fold of
//! the labels is predicted by a model that learnt from the other folds.

use collimate_core::{Key, PreferencePair, Purpose};
use collimate_data::TokenizedPair;
use collimate_eval::pairwise_accuracy;
use collimate_nn::HfReward;
use collimate_reward::RewardModel;
use collimate_status::PairCalibration;
use collimate_train::hash_json;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::outcome::{CrossFitReport, TriedLength};
use super::recipe::SeedSteps;
use super::session::{Length, Lesson, Session};
use crate::RecipeError;
use crate::groups::groups_of_texts;

/// Largest number of times that the number of passes is doubled, or halved.
const DOUBLINGS: i32 = 4;
const HALVINGS: i32 = 2;

/// Result of the cross-fit of a run.
pub(crate) struct CrossFit {
    /// Fold of each labelled pair.
    pub(crate) folds: Vec<usize>,
    /// Score gaps r(chosen) − r(rejected) of the labelled pairs, each by a model that has not seen
    /// the pair.
    pub(crate) gaps: Vec<f64>,
    pub(crate) report: CrossFitReport,
}

impl CrossFit {
    /// Returns the number of folds.
    pub(crate) fn count(&self) -> usize {
        self.report.folds
    }

    /// Returns the labelled pairs outside a fold.
    pub(crate) fn others(&self, seed: &[TokenizedPair], fold: usize) -> Vec<TokenizedPair> {
        let pairs = seed.iter().zip(&self.folds);
        let others = pairs.filter(|(_, of)| **of != fold);
        others.map(|(pair, _)| pair.clone()).collect()
    }

    /// Returns the model of a fold, which has seen all other folds. After the cross-fit it is read
    /// from disk.
    pub(crate) fn model<B: HfReward>(
        &self,
        session: &mut Session<'_>,
        start: &RewardModel<B>,
        seed: &[TokenizedPair],
        fold: usize,
    ) -> Result<RewardModel<B>, RecipeError> {
        let epochs = self.report.epochs;
        let lesson = Lesson::plain(self.others(seed, fold), Length::Epochs(epochs));
        let stage = session.train_unwatched(&stage_name(epochs, fold), start, lesson)?;
        Ok(stage.model)
    }

    /// Removes the models of the folds from disk; they are not needed again.
    pub(crate) fn forget_models(&self, session: &Session<'_>) -> Result<(), RecipeError> {
        forget(session, self.report.epochs, self.count())
    }
}

fn stage_name(epochs: f64, fold: usize) -> String {
    format!("crossfit-{epochs}-fold{fold}")
}

/// Gaps of all labelled pairs under the models of one number of passes.
#[derive(Serialize, Deserialize)]
struct Tried {
    gaps: Vec<f64>,
}

/// Number of passes that predicts best so far, with its results.
struct Best {
    epochs: f64,
    gaps: Vec<f64>,
    /// Log loss of each labelled pair.
    losses: Vec<f64>,
}

/// Cuts the labels into folds by prompt and predicts each fold, with several numbers of passes over
/// the other folds.
///
/// Another number of passes than the configured one is taken only if it clearly lowers the mean log
/// loss, each with its own fitted slope. Clearly means by more than one standard error of the
/// paired difference: a few hundred labels cannot tell smaller differences from chance.
pub(crate) fn run<B: HfReward>(
    session: &mut Session<'_>,
    start: &RewardModel<B>,
    pairs: &[PreferencePair],
    seed: &[TokenizedPair],
) -> Result<CrossFit, RecipeError> {
    let folds = folds(pairs, session.config.folds, session.key("folds"));
    let count = folds.iter().copied().max().unwrap_or(0) + 1;
    let mut fit = CrossFit {
        folds,
        gaps: Vec::new(),
        report: CrossFitReport {
            folds: count,
            tried: Vec::new(),
            epochs: session.config.train.epochs,
            accuracy: pairwise_accuracy(&[(0.0, 0.0)])?,
            calibration: PairCalibration { slope: 0.0 },
            sharpness: 1.0,
            reliability: collimate_eval::calibration(&[(0.0, 0.0)], 1)?,
        },
    };
    let base = session.config.train.epochs;
    let mut best: Option<Best> = None;
    let mut tried: Vec<TriedLength> = Vec::new();
    let mut attempt = |session: &mut Session<'_>, epochs: f64| -> Result<bool, RecipeError> {
        let result = try_length(session, start, seed, &fit, epochs)?;
        let calibration = PairCalibration::fit(&result.gaps)?;
        let losses: Vec<f64> = (result.gaps.iter())
            .map(|gap| calibration.log_loss(*gap))
            .collect();
        let log_loss = losses.iter().sum::<f64>() / losses.len().max(1) as f64;
        tried.push(TriedLength {
            epochs,
            log_loss,
            accuracy: pairwise_accuracy(&as_scores(&result.gaps))?.accuracy,
        });
        let better = best
            .as_ref()
            .is_none_or(|best| clearly_less(&losses, &best.losses));
        // Models on disk are many and large, so the loser's are removed.
        let gaps = result.gaps;
        let loser = match better {
            true => best
                .replace(Best {
                    epochs,
                    gaps,
                    losses,
                })
                .map(|best| best.epochs),
            false => Some(epochs),
        };
        if let Some(epochs) = loser {
            forget(session, epochs, fit.count())?;
        }
        Ok(better)
    };
    attempt(session, base)?;
    if session.config.seed_steps == SeedSteps::CrossFitted {
        let mut doubled = false;
        for power in 1..=DOUBLINGS {
            if !attempt(session, base * 2_f64.powi(power))? {
                break;
            }
            doubled = true;
        }
        for power in 1..=HALVINGS {
            if doubled || !attempt(session, base * 0.5_f64.powi(power))? {
                break;
            }
        }
    }
    let (epochs, gaps_of_best) = match best {
        Some(best) => (best.epochs, best.gaps),
        None => (base, Vec::new()),
    };
    let slope = PairCalibration::fit(&gaps_of_best)?;
    let scaled: Vec<f64> = gaps_of_best.iter().map(|gap| slope.slope * gap).collect();
    fit.report = CrossFitReport {
        folds: count,
        epochs,
        accuracy: pairwise_accuracy(&as_scores(&gaps_of_best))?,
        calibration: slope,
        sharpness: 1.0,
        reliability: collimate_eval::calibration(&as_scores(&scaled), 5)?,
        tried,
    };
    fit.gaps = gaps_of_best;
    Ok(fit)
}

/// Returns true if the mean loss is lower by more than one standard error of the difference.
fn clearly_less(losses: &[f64], than: &[f64]) -> bool {
    let n = losses.len() as f64;
    let gains: Vec<f64> = than.iter().zip(losses).map(|(b, a)| b - a).collect();
    let mean = gains.iter().sum::<f64>() / n;
    let variance = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / (n - 1.0);
    mean > (variance / n).sqrt()
}

/// Removes the models of a number of passes from disk.
fn forget(session: &Session<'_>, epochs: f64, folds: usize) -> Result<(), RecipeError> {
    (0..folds).try_for_each(|fold| session.forget(&stage_name(epochs, fold)))
}

fn as_scores(gaps: &[f64]) -> Vec<(f32, f32)> {
    gaps.iter().map(|gap| (*gap as f32, 0.0)).collect()
}

fn try_length<B: HfReward>(
    session: &mut Session<'_>,
    start: &RewardModel<B>,
    seed: &[TokenizedPair],
    fit: &CrossFit,
    epochs: f64,
) -> Result<Tried, RecipeError> {
    let inputs = hash_json(&(session.config, seed, &fit.folds, &session.start));
    session.cached(&format!("crossfit-{epochs}"), &inputs, |session| {
        let mut gaps = vec![0.0; seed.len()];
        for fold in 0..fit.count() {
            let name = stage_name(epochs, fold);
            let lesson = Lesson::plain(fit.others(seed, fold), Length::Epochs(epochs));
            let model = session.train_unwatched(&name, start, lesson)?.model;
            let held: Vec<usize> = (0..seed.len())
                .filter(|&index| fit.folds[index] == fold)
                .collect();
            let pairs: Vec<TokenizedPair> = held.iter().map(|&index| seed[index].clone()).collect();
            let scores = session.scores(&model, &pairs, &name, "held-out labelled")?;
            for (index, (chosen, rejected)) in held.into_iter().zip(scores) {
                gaps[index] = f64::from(chosen) - f64::from(rejected);
            }
        }
        Ok(Tried { gaps })
    })
}

/// Returns the fold of each pair. Groups of pairs that share a prompt, or a text if they have no
/// prompt, are drawn in a keyed order into the fold that has the fewest pairs. There are at most as
/// many folds as groups. If all pairs are of one group, pairs are drawn one by one.
fn folds(pairs: &[PreferencePair], count: usize, key: Key) -> Vec<usize> {
    let mut of_pair = groups_of_texts(pairs);
    let mut sizes = vec![0_usize; of_pair.iter().max().map_or(0, |last| last + 1)];
    if sizes.len() < 2 {
        of_pair = (0..pairs.len()).collect();
        sizes = vec![0; pairs.len()];
    }
    for &group in &of_pair {
        sizes[group] += 1;
    }
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.shuffle(&mut key.rng(Purpose::Split));
    let mut filled = vec![0_usize; count.min(sizes.len()).max(1)];
    let mut fold_of = vec![0; sizes.len()];
    for group in order {
        let (fold, _) = (filled.iter().enumerate())
            .min_by_key(|(_, filled)| **filled)
            .unwrap_or((0, &0));
        fold_of[group] = fold;
        filled[fold] += sizes[group];
    }
    of_pair.into_iter().map(|group| fold_of[group]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_keep_prompts_together_and_are_of_like_size() {
        let pairs: Vec<_> = (0..60)
            .map(|i| PreferencePair::new(format!("prompt {}", i / 3), "x", format!("y{i}")))
            .collect();
        let folds = folds(&pairs, 5, Key::new(1, "folds"));
        for three in folds.chunks(3) {
            assert!(three.iter().all(|fold| *fold == three[0]), "{three:?}");
        }
        for fold in 0..5 {
            assert_eq!(folds.iter().filter(|of| **of == fold).count(), 12);
        }
    }

    #[test]
    fn a_small_difference_decides_nothing() {
        // A mean of 0.1 with a standard error of 0.04, and the same mean with one of 0.16.
        let than = [0.0; 4];
        let sure = [-0.2, -0.1, -0.1, 0.0];
        assert!(clearly_less(&sure, &than) && !clearly_less(&than, &sure));
        let unsure = [-0.5, -0.2, 0.1, 0.2];
        assert!(!clearly_less(&unsure, &than));
        assert!(!clearly_less(&than, &than));
    }

    #[test]
    fn no_fold_shares_a_text_with_another() {
        // Rankings of three answers without a prompt: the pairs of a ranking share texts.
        let pairs: Vec<_> = (0..12)
            .flat_map(|i| {
                let [a, b, c] = ["a", "b", "c"].map(|name| format!("{name}{i}"));
                [(&a, &b), (&a, &c), (&b, &c)]
                    .map(|(x, y)| PreferencePair::new("", x.as_str(), y.as_str()))
            })
            .collect();
        let found = folds(&pairs, 5, Key::new(1, "folds"));
        for three in found.chunks(3) {
            assert!(three.iter().all(|fold| *fold == three[0]), "{three:?}");
        }
        // Three prompts give three folds, however many are asked for.
        let pairs: Vec<_> = (0..30)
            .map(|i| PreferencePair::new(format!("prompt {}", i % 3), "x", format!("y{i}")))
            .collect();
        let found = folds(&pairs, 5, Key::new(1, "folds"));
        assert_eq!(found.iter().max(), Some(&2));
        for (index, fold) in found.iter().enumerate() {
            assert_eq!(*fold, found[index % 3]);
        }
    }

    #[test]
    fn one_prompt_is_cut_by_pairs() {
        let pairs: Vec<_> = (0..10)
            .map(|i| PreferencePair::new("one", "x", format!("y{i}")))
            .collect();
        let folds = folds(&pairs, 5, Key::new(1, "folds"));
        for fold in 0..5 {
            assert_eq!(folds.iter().filter(|of| **of == fold).count(), 2);
        }
    }
}
