//! Checkpoints of loops that are no pass over a data set.

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::module::Module;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checkpoint::{Checkpoints, first_difference};
use crate::resume::normal;
use crate::{FitContext, Stepper, TrainError, params};

/// Checkpoints of one stage: trained parameters, optimiser, and a state of the loop's own.
///
/// A checkpoint is complete or not there. Parameters that do not train are not saved; their hash
/// is, so that a loop that goes on over another base model is refused, as one with another
/// configuration is.
#[derive(Debug)]
pub struct LoopCheckpoints<'a> {
    stage: String,
    context: &'a FitContext<'a>,
    checkpoints: Option<Checkpoints>,
    config: Value,
    frozen: String,
}

/// What a loop goes on from.
#[derive(Debug)]
pub struct Restored<M, S> {
    /// The model.
    pub model: M,
    /// The optimiser.
    pub stepper: Stepper,
    /// The loop's own state.
    pub state: S,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved<S> {
    frozen: String,
    config: Value,
    metrics_lines: usize,
    optimizer_steps: BTreeMap<String, u64>,
    state: S,
}

impl<'a> LoopCheckpoints<'a> {
    /// The checkpoints of `stage` in the context's folder; without one nothing is saved.
    /// `config` is whatever must be the same when the loop goes on. `model` is tracked.
    ///
    /// # Errors
    /// When the folder cannot be made, or nothing of the model trains.
    pub fn open<M: Module>(
        stage: &str,
        model: &M,
        config: &impl Serialize,
        context: &'a FitContext<'a>,
    ) -> Result<Self, TrainError> {
        crate::config::check_stage(stage)?;
        if let Some(path) = params::shared(model) {
            return Err(TrainError::objective(format!(
                "parameter {path} occurs twice in the model: use one and refer to it"
            )));
        }
        if params::collect(model, true).is_empty() {
            return Err(TrainError::Empty {
                stage: stage.to_owned(),
                what: "trainable parameters",
            });
        }
        let checkpoints = match &context.checkpoints {
            Some(folder) => Some(Checkpoints::open(folder.join(stage))?),
            None => None,
        };
        let frozen = match &checkpoints {
            Some(_) => params::fingerprint(&params::collect(model, false)),
            None => String::new(),
        };
        Ok(Self {
            stage: stage.to_owned(),
            context,
            checkpoints,
            config: normal(config),
            frozen,
        })
    }

    /// The stage's folder, where there is one: for files that the loop itself keeps beside.
    pub fn folder(&self) -> Option<PathBuf> {
        let folder = self.context.checkpoints.as_ref();
        folder.map(|folder| folder.join(&self.stage))
    }

    /// The last checkpoint, put into `model`; the stage's metrics are cut to what it had written.
    /// `None` (and no metrics) where there is none.
    ///
    /// # Errors
    /// When a file cannot be read, or belongs to another configuration or base model.
    pub fn restore<M: Module, S: DeserializeOwned>(
        &self,
        model: &M,
    ) -> Result<Option<Restored<M, S>>, TrainError> {
        let last = match &self.checkpoints {
            Some(checkpoints) => checkpoints.steps()?.last().map(|&step| (checkpoints, step)),
            None => None,
        };
        let Some((checkpoints, step)) = last else {
            self.rewind(0)?;
            return Ok(None);
        };
        let path = checkpoints.path(step);
        let saved: Saved<S> = checkpoints.state(step)?;
        let facts = |frozen: &str, config: &Value| serde_json::json!({ "frozen parameters (hash)": frozen, "config": config });
        let (before, now) = (
            facts(&saved.frozen, &saved.config),
            facts(&self.frozen, &self.config),
        );
        if let Some((key, before, now)) = first_difference(&before, &now) {
            return Err(TrainError::Changed {
                path,
                key,
                before,
                now,
            });
        }
        let wrong = |reason: String| TrainError::format(&path, reason);
        let trainable = params::collect(model, true);
        let data = checkpoints.model(step)?;
        if let Some(missing) = trainable.keys().find(|key| !data.contains_key(*key)) {
            return Err(wrong(format!("{missing} is missing")));
        }
        let moments = checkpoints.optimizer(step)?;
        self.rewind(saved.metrics_lines)?;
        Ok(Some(Restored {
            model: params::load(model.clone(), data).map_err(wrong)?,
            stepper: Stepper::restore(moments, &saved.optimizer_steps, &trainable)
                .map_err(wrong)?,
            state: saved.state,
        }))
    }

    /// Writes checkpoint number `step`, keeps the last `keep_last`; where there is one of this
    /// number already, nothing is written. Returns its folder.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save<M: Module>(
        &self,
        step: u64,
        model: &M,
        stepper: &Stepper,
        state: &impl Serialize,
        keep_last: usize,
    ) -> Result<Option<PathBuf>, TrainError> {
        let Some(checkpoints) = &self.checkpoints else {
            return Ok(None);
        };
        let mut metrics_lines = 0;
        if let Some(metrics) = self.context.metrics {
            metrics.sync()?;
            metrics_lines = metrics.lines(&self.stage)?;
        }
        let (moments, optimizer_steps) = stepper.optimizer.store();
        let saved = Saved {
            frozen: self.frozen.clone(),
            config: self.config.clone(),
            metrics_lines,
            optimizer_steps,
            state,
        };
        let model = params::collect(model, true);
        checkpoints
            .save(step, &saved, &model, &moments, keep_last, None)
            .map(Some)
    }

    fn rewind(&self, lines: usize) -> Result<(), TrainError> {
        match self.context.metrics {
            Some(metrics) => metrics.rewind(&self.stage, lines),
            None => Ok(()),
        }
    }
}
