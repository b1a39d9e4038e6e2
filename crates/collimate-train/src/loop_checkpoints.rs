//! Checkpoints of loops that are not passes over a data set.

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::module::Module;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checkpoint::{Checkpoints, first_difference};
use crate::resume::normal;
use crate::{FitContext, Stepper, TrainError, params};

/// Checkpoints of one stage: trained parameters, optimiser, and a state that the loop defines.
///
/// A checkpoint is complete or absent. Parameters that do not train are not saved, but their hash
/// is. A loop is therefore refused if it continues with another base model or another
/// configuration.
#[derive(Debug)]
pub struct LoopCheckpoints<'a> {
    stage: String,
    context: &'a FitContext<'a>,
    checkpoints: Option<Checkpoints>,
    config: Value,
    frozen: String,
}

/// State from which a loop continues.
#[derive(Debug)]
pub struct Restored<M, S> {
    /// Model with the restored parameters.
    pub model: M,
    /// Optimiser with the restored moments.
    pub stepper: Stepper,
    /// State that the loop defines.
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
    /// Opens the checkpoints of `stage` in the context's folder. Without a folder nothing is saved.
    /// `config` holds everything that must be the same when the loop continues. `model` is tracked.
    ///
    /// # Errors
    /// The stage's name is not valid, the folder cannot be created, or the model has no trainable
    /// parameter or has one parameter twice.
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
        if params::collect(model).is_empty() {
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
            Some(_) => params::frozen_hash(model),
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

    /// Returns the stage's folder, if there is one. The loop may keep its own files there.
    pub fn folder(&self) -> Option<PathBuf> {
        let folder = self.context.checkpoints.as_ref();
        folder.map(|folder| folder.join(&self.stage))
    }

    /// Restores the last checkpoint into `model`. Metrics that the stage logged after the
    /// checkpoint are removed. If there is no checkpoint, returns `None` and removes all metrics of
    /// the stage.
    ///
    /// # Errors
    /// A file cannot be read, or belongs to another configuration or base model.
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
        let trainable = params::collect(model);
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

    /// Writes checkpoint number `step` and keeps the last `keep_last` checkpoints. If a checkpoint
    /// with this number exists, writes nothing. Returns the checkpoint's folder, or `None` if the
    /// context has no folder.
    ///
    /// # Errors
    /// A file cannot be written.
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
        let model = params::collect(model);
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
