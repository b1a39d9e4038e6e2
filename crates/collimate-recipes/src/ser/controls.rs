//! Controls: runs that isolate a cause of the gain. The last model of each has as many optimiser
//! steps as the last model of the recipe that it is compared with, and learns without token noise.

use collimate_data::oracle_labels;
use collimate_eval::pairwise_accuracy;
use collimate_nn::HfReward;
use collimate_status::FilterConfig;

use super::config::{Control, RetrainFrom};
use super::data::SerData;
use super::final_test::{Candidate, mean_scores};
use super::loops::{Evolution, Evolved, LoopInputs, LoopRule, Teachers};
use super::outcome::Steps;
use super::session::{Length, Lesson, Session};
use crate::RecipeError;
use crate::lengths::differ;

/// State that the controls share with the main run.
pub(crate) struct Setting<'a, B: HfReward> {
    pub(crate) loop_inputs: &'a LoopInputs<'a, B>,
    /// Main recipe, or, if its loops trained nothing, the first other recipe whose loops trained.
    pub(crate) evolved: &'a Evolved<B>,
    /// Noised seed models of a recipe; empty if no recipe has them.
    pub(crate) teachers: &'a Teachers<B>,
    pub(crate) data: &'a SerData,
}

/// Runs a control. Returns `None` if it cannot be run: no recipe trained a loop, or the human labels
/// of the pool are not kept.
pub(crate) fn run<B: HfReward>(
    session: &mut Session<'_>,
    control: Control,
    setting: &Setting<'_, B>,
) -> Result<Option<Candidate<B>>, RecipeError> {
    let steps: Vec<u64> = setting.evolved.loops[1..]
        .iter()
        .map(|l| l.steps)
        .filter(|steps| *steps > 0)
        .collect();
    let name = control.name();
    if control == Control::SeedEnsemble {
        return seed_ensemble(session, setting).map(Some);
    }
    if steps.is_empty() {
        return Ok(None);
    }
    let retrain_from = setting.evolved.retrain_from;
    let seed_steps = setting.loop_inputs.zero.steps;
    let seed_labels = setting.loop_inputs.seed.len();
    match control {
        Control::SeedEnsemble => Ok(None),
        Control::LongerSeed => {
            // Like the main run's last model: continues from the seed model, or trains from the
            // start in one stage.
            let (from, before) = match retrain_from {
                RetrainFrom::Previous => (&setting.loop_inputs.zero.model, seed_steps),
                RetrainFrom::Start => (setting.loop_inputs.start, 0),
            };
            let own = setting.evolved.steps().own;
            let pairs = setting.loop_inputs.seed.to_vec();
            let lesson = Lesson::plain(pairs, Length::Steps(own - before));
            let stage = session.train(name, from, lesson)?;
            let all = before + stage.steps;
            Ok(Some(Candidate::new(
                name,
                vec![stage.model],
                seed_labels,
                Steps { own: all, all },
                stage.validation,
            )))
        }
        Control::OracleLabels => {
            let Some(labelled) = &setting.data.labelled_pool else {
                return Ok(None);
            };
            let mut model = setting.loop_inputs.zero.model.clone();
            let mut validation = setting.loop_inputs.zero.validation;
            let mut pairs = setting.loop_inputs.seed.to_vec();
            let mut done = Vec::new();
            for (index, (kept, &steps)) in setting.evolved.kept.iter().zip(&steps).enumerate() {
                let labelled = oracle_labels(labelled, kept)?;
                pairs.extend(session.encode(&labelled)?.into_iter().filter(differ));
                let stage_name = format!("{name}-loop{}", index + 1);
                let from = match retrain_from {
                    RetrainFrom::Previous => &model,
                    RetrainFrom::Start => setting.loop_inputs.start,
                };
                let lesson = Lesson::plain(pairs.clone(), Length::Steps(steps));
                let stage = session.train(&stage_name, from, lesson)?;
                done.push(stage.steps);
                (model, validation) = (stage.model, stage.validation);
            }
            let done = Steps::of(retrain_from, seed_steps, &done);
            Ok(Some(Candidate::new(
                name,
                vec![model],
                pairs.len(),
                done,
                validation,
            )))
        }
        Control::Unfiltered | Control::EasyOnly | Control::HardOnly | Control::EitherPerPair => {
            let configured = session.config.filter.rule;
            let rule = control.rule(configured).unwrap_or(configured);
            let filter = FilterConfig {
                rule,
                ..session.config.filter
            };
            let evolution = Evolution {
                name,
                rule: LoopRule::Paper(filter, Vec::new()),
                retrain_from,
                steps: Some(steps),
            };
            let evolved = evolution.run(session, setting.loop_inputs, setting.data.pool.clone())?;
            Ok(Some(Candidate::new(
                name,
                vec![evolved.model.clone()],
                seed_labels,
                evolved.steps(),
                evolved.validation(),
            )))
        }
    }
}

/// Averages several seed models: the noised seed models of a recipe, or Loop 0 and models that
/// differ from it in the order of the pairs and in dropout.
fn seed_ensemble<B: HfReward>(
    session: &mut Session<'_>,
    setting: &Setting<'_, B>,
) -> Result<Candidate<B>, RecipeError> {
    let inputs = setting.loop_inputs;
    let name = Control::SeedEnsemble.name();
    let Teachers {
        mut models,
        steps: mut all,
    } = setting.teachers.clone();
    if models.is_empty() {
        models.push(inputs.zero.model.clone());
        all = inputs.zero.steps;
        for index in 2..=session.config.ensemble.models {
            let lesson = Lesson::plain(
                inputs.seed.to_vec(),
                inputs.seed_length(session.config, 1.0),
            );
            let stage = format!("{name}{index}");
            let stage = session.train_unwatched(&stage, inputs.start, lesson)?;
            all += stage.steps;
            models.push(stage.model);
        }
    }
    let validation = match session.validation.as_slice() {
        [] => None,
        pairs => Some(pairwise_accuracy(&mean_scores(
            session,
            &models,
            pairs,
            name,
            "validation",
        )?)?),
    };
    let steps = Steps {
        own: all / models.len() as u64,
        all,
    };
    Ok(Candidate::new(
        name,
        models,
        inputs.seed.len(),
        steps,
        validation,
    ))
}
