//! Runs that tell where the gain comes from, each with the optimiser steps of the main run: its
//! last model has taken as many as the main run's.

use collimate_data::oracle_labels;
use collimate_nn::HfReward;
use collimate_status::FilterConfig;

use super::config::{Control, RetrainFrom};
use super::data::SerData;
use super::final_test::{Candidate, candidate};
use super::loops::{Evolution, Evolved, LoopInputs};
use super::outcome::Steps;
use super::session::Session;
use crate::RecipeError;
use crate::lengths::differ;

/// What the controls share with the main run.
pub(crate) struct Setting<'a, B: HfReward> {
    pub(crate) loop_inputs: &'a LoopInputs<'a, B>,
    pub(crate) evolved: &'a Evolved<B>,
    pub(crate) data: &'a SerData,
}

/// Runs a control; none comes back where it cannot be run: the main run trained no loop, or the
/// labels that it needs are not held.
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
    if steps.is_empty() {
        return Ok(None);
    }
    let name = control.name();
    let seed_steps = setting.loop_inputs.zero.steps;
    let seed_labels = setting.loop_inputs.seed.len();
    match control {
        Control::LongerSeed => {
            // As the main run's last model: on from the seed model, or anew in one stage.
            let (from, before) = match session.config.retrain_from {
                RetrainFrom::Previous => (&setting.loop_inputs.zero.model, seed_steps),
                RetrainFrom::Start => (setting.loop_inputs.start, 0),
            };
            let own = setting.evolved.steps(session.config.retrain_from).own;
            let pairs = setting.loop_inputs.seed.to_vec();
            let stage = session.train(name, from, pairs, Some(own - before), 0.0)?;
            let all = before + stage.steps;
            Ok(Some(candidate(
                name,
                &stage.model,
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
                let from = match session.config.retrain_from {
                    RetrainFrom::Previous => &model,
                    RetrainFrom::Start => setting.loop_inputs.start,
                };
                let stage = session.train(&stage_name, from, pairs.clone(), Some(steps), 0.0)?;
                done.push(stage.steps);
                (model, validation) = (stage.model, stage.validation);
            }
            let done = Steps::of(session.config.retrain_from, seed_steps, &done);
            Ok(Some(candidate(name, &model, pairs.len(), done, validation)))
        }
        Control::Unfiltered | Control::EasyOnly | Control::HardOnly | Control::EitherPerPair => {
            let rule = control.rule().unwrap_or(session.config.filter.rule);
            let evolution = Evolution {
                name,
                filter: FilterConfig {
                    rule,
                    ..session.config.filter
                },
                steps: Some(steps),
            };
            let evolved = evolution.run(session, setting.loop_inputs, setting.data.pool.clone())?;
            Ok(Some(candidate(
                name,
                &evolved.model,
                seed_labels,
                evolved.steps(session.config.retrain_from),
                evolved.validation(),
            )))
        }
    }
}
