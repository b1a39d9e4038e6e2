//! Evaluation on the test part, once, at the end.

use collimate_data::TokenizedPair;
use collimate_eval::{Accuracy, Bootstrap, Groups, calibration, outcomes, pairwise_accuracy};
use collimate_nn::{Backbone, HfReward};
use collimate_reward::RewardModel;

use super::outcome::{ModelReport, ModelTest, Significance, Steps};
use super::session::Session;
use crate::RecipeError;

/// Number of bins of the reliability table.
const BINS: usize = 10;

/// A finished model, to be evaluated on the test part.
pub(crate) struct Candidate<B: Backbone> {
    name: String,
    /// One model, or several whose scores are averaged.
    models: Vec<RewardModel<B>>,
    human_labels: usize,
    steps: Steps,
    validation: Option<Accuracy>,
}

impl<B: Backbone> Candidate<B> {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn report(self, test: Option<ModelTest>) -> ModelReport {
        ModelReport {
            name: self.name,
            human_labels: self.human_labels,
            steps: self.steps,
            validation: self.validation,
            test,
        }
    }

    pub(crate) fn models(&self) -> &[RewardModel<B>] {
        &self.models
    }

    pub(crate) fn new(
        name: &str,
        models: Vec<RewardModel<B>>,
        human_labels: usize,
        steps: Steps,
        validation: Option<Accuracy>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            models,
            human_labels,
            steps,
            validation,
        }
    }
}

/// Returns the mean scores of several models.
pub(crate) fn mean_scores<B: HfReward>(
    session: &Session<'_>,
    models: &[RewardModel<B>],
    pairs: &[TokenizedPair],
    name: &str,
    part: &'static str,
) -> Result<Vec<(f32, f32)>, RecipeError> {
    let mut sums = vec![(0.0_f64, 0.0_f64); pairs.len()];
    for model in models {
        let scores = session.scores(model, pairs, name, part)?;
        for (sum, (chosen, rejected)) in sums.iter_mut().zip(scores) {
            *sum = (sum.0 + f64::from(chosen), sum.1 + f64::from(rejected));
        }
    }
    let n = models.len().max(1) as f64;
    let mean = |(chosen, rejected): (f64, f64)| ((chosen / n) as f32, (rejected / n) as f32);
    Ok(sums.into_iter().map(mean).collect())
}

/// Evaluates all models on the test part. Compares each model with Loop 0, and the evolved model
/// with each other one. Without a test part, nothing is compared.
pub(crate) fn test<B: HfReward>(
    session: &mut Session<'_>,
    stage: &str,
    candidates: Vec<Candidate<B>>,
    test: &[TokenizedPair],
    groups: &[usize],
    unseen: &[bool],
) -> Result<(Vec<ModelReport>, Vec<Significance>), RecipeError> {
    if test.is_empty() {
        let reports = candidates
            .into_iter()
            .map(|candidate| candidate.report(None));
        return Ok((reports.collect(), Vec::new()));
    }
    let names: Vec<String> = candidates.iter().map(|c| c.name.clone()).collect();
    let inputs = (session.config, names, test);
    session.cached(stage, &inputs, |session| {
        let key = session.key("test");
        let bootstrap = Bootstrap::default();
        let mut models: Vec<ModelReport> = Vec::new();
        let mut rows: Vec<Vec<f64>> = Vec::new();
        for candidate in candidates {
            let part = mean_scores(session, &candidate.models, test, &candidate.name, "test")?;
            let right = outcomes(&part)?;
            let fresh: Vec<(f32, f32)> = part
                .iter()
                .zip(unseen)
                .filter(|(_, unseen)| **unseen)
                .map(|(pair, _)| *pair)
                .collect();
            let unseen = match fresh.len() {
                0 => None,
                n if n == part.len() => None,
                _ => Some(pairwise_accuracy(&fresh)?),
            };
            models.push(
                candidate.report(Some(ModelTest {
                    accuracy: pairwise_accuracy(&part)?,
                    unseen,
                    interval: bootstrap.mean(&right, Groups::By(groups), key)?,
                    calibration: calibration(&part, BINS)?,
                    gaps: part
                        .iter()
                        .map(|(chosen, rejected)| chosen - rejected)
                        .collect(),
                })),
            );
            rows.push(right);
        }
        let mut significance = Vec::new();
        let mut compare = |of: usize, over: usize| -> Result<(), RecipeError> {
            significance.push(Significance {
                of: models[of].name.clone(),
                over: models[over].name.clone(),
                difference: bootstrap.paired_difference(
                    &rows[of],
                    &rows[over],
                    Groups::By(groups),
                    key,
                )?,
            });
            Ok(())
        };
        for of in 1..models.len() {
            compare(of, 0)?;
        }
        for over in 2..models.len() {
            compare(1, over)?;
        }
        Ok((models, significance))
    })
}
