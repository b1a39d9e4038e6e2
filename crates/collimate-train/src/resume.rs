//! Start, saving and end of a fit.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use burn::module::Module;
use collimate_core::Key;
use serde::Serialize;
use serde_json::Value;

use crate::checkpoint::{BestStep, Checkpoints, State, first_difference};
use crate::optimizer::Optimizer;
use crate::running::Run;
use crate::stepper::Stepper;
use crate::{Best, FitContext, Fitted, Objective, TrainConfig, TrainError, params};

impl<'a, O: Objective> Run<'a, O> {
    pub(crate) fn start(
        mut model: O::Model,
        objective: &'a O,
        config: &'a TrainConfig,
        context: &'a FitContext<'a>,
    ) -> Result<(Self, O::Model), TrainError> {
        let empty = |what| TrainError::Empty {
            stage: config.stage.clone(),
            what,
        };
        if objective.is_empty() {
            return Err(empty("training examples"));
        }
        if let Some(path) = params::shared(&model) {
            let reason =
                format!("parameter {path} occurs twice in the model: use one and refer to it");
            return Err(TrainError::objective(reason));
        }
        let trainable = params::collect(&model);
        if trainable.is_empty() {
            return Err(empty("trainable parameters"));
        }
        let checkpoints = match &context.checkpoints {
            Some(folder) => Some(Checkpoints::open(folder.join(&config.stage))?),
            None => None,
        };
        let frozen = match &checkpoints {
            Some(_) => params::frozen_hash(&model),
            None => String::new(),
        };
        let data = match &checkpoints {
            Some(_) => objective.fingerprint(),
            None => String::new(),
        };
        let mut state = State {
            step: 0,
            total_steps: config.total_steps(objective.len()),
            epoch: 0,
            cursor: 0,
            finished: false,
            tokens: 0,
            seconds: 0.0,
            best: None,
            evaluations_without_best: 0,
            metrics_lines: 0,
            last_metrics: BTreeMap::new(),
            examples: objective.len(),
            frozen,
            data,
            config: normal(config),
            optimizer_steps: BTreeMap::new(),
        };
        let mut stepper = Stepper::new();
        if let Some(checkpoints) = &checkpoints
            && let Some(&step) = checkpoints.steps()?.last()
        {
            let saved: State = checkpoints.state(step)?;
            check_unchanged(checkpoints, &saved, &state)?;
            let path = checkpoints.path(step);
            let wrong = |reason: String| TrainError::format(&path, reason);
            let data = checkpoints.model(step)?;
            if let Some(missing) = trainable.keys().find(|key| !data.contains_key(*key)) {
                return Err(wrong(format!("{missing} is missing")));
            }
            model = params::load(model, data).map_err(wrong)?;
            let moments = checkpoints.optimizer(step)?;
            stepper.optimizer =
                Optimizer::restore(moments, &saved.optimizer_steps, &trainable).map_err(wrong)?;
            let data = std::mem::take(&mut state.data);
            state = saved;
            if state.data.is_empty() {
                state.data = data;
            }
            // A kill between the last save and the removal of older checkpoints leaves these.
            checkpoints.prune(config.keep_last, kept_best(&state, config))?;
        }
        if let Some(metrics) = context.metrics {
            metrics.rewind(&config.stage, state.metrics_lines)?;
        }
        let run = Self {
            objective,
            config,
            context,
            checkpoints,
            key: Key::new(config.seed, &config.stage),
            stepper,
            order: None,
            best: None,
            seconds_before: state.seconds,
            tokens_before: state.tokens,
            started: Instant::now(),
            state,
        };
        Ok((run, model))
    }

    pub(crate) fn save(&mut self, model: &O::Model) -> Result<Option<PathBuf>, TrainError> {
        self.state.seconds = self.seconds_before + self.started.elapsed().as_secs_f64();
        let Some(checkpoints) = &self.checkpoints else {
            return Ok(None);
        };
        if let Some(metrics) = self.context.metrics {
            metrics.sync()?;
            self.state.metrics_lines = metrics.lines(&self.config.stage)?;
        }
        let (moments, steps) = self.stepper.optimizer.store();
        self.state.optimizer_steps = steps;
        let model = params::collect(model);
        let (step, last) = (self.state.step, self.config.keep_last);
        let best = kept_best(&self.state, self.config);
        checkpoints
            .save(step, &self.state, &model, &moments, last, best)
            .map(Some)
    }

    pub(crate) fn interrupted(&mut self, model: &O::Model) -> Result<TrainError, TrainError> {
        let step = self.state.step;
        let saved = if step == 0 { None } else { self.save(model)? };
        Ok(TrainError::Interrupted {
            stage: self.config.stage.clone(),
            step,
            saved,
        })
    }

    pub(crate) fn finish(self, model: O::Model) -> Result<Fitted<O::Model>, TrainError> {
        let best = match (&self.checkpoints, self.state.best, self.best) {
            (None, Some(BestStep { step, score }), Some(model)) => Some(Best {
                step,
                score: score.0,
                model,
            }),
            (Some(checkpoints), Some(BestStep { step, score }), _) if self.config.keep_best => {
                let wrong = |reason: String| TrainError::format(&checkpoints.path(step), reason);
                let model = params::load(model.clone(), checkpoints.model(step)?).map_err(wrong)?;
                Some(Best {
                    step,
                    score: score.0,
                    model: model.valid(),
                })
            }
            _ => None,
        };
        Ok(Fitted {
            model: model.valid(),
            best,
            steps: self.state.step,
            tokens: self.state.tokens,
            seconds: self.state.seconds,
            metrics: self
                .state
                .last_metrics
                .into_iter()
                .map(|(k, v)| (k, v.0))
                .collect(),
        })
    }
}

/// Returns a configuration as it reads after a round trip through JSON text, which may change the
/// last bit of a number.
pub(crate) fn normal(config: &impl Serialize) -> Value {
    let text = serde_json::to_string(config).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Returns the step of the best model if the fit keeps this model.
fn kept_best(state: &State, config: &TrainConfig) -> Option<u64> {
    let best = state.best.as_ref().filter(|_| config.keep_best);
    best.map(|best| best.step)
}

fn check_unchanged(
    checkpoints: &Checkpoints,
    saved: &State,
    now: &State,
) -> Result<(), TrainError> {
    // A missing fingerprint, of the objective or of the checkpoint, is not compared.
    let known = !saved.data.is_empty() && !now.data.is_empty();
    let facts = |state: &State| {
        serde_json::json!({
            "examples": state.examples,
            "frozen parameters (hash)": state.frozen,
            "training data (hash)": if known { state.data.as_str() } else { "" },
            "config": state.config,
        })
    };
    match first_difference(&facts(saved), &facts(now)) {
        Some((key, before, now)) => Err(TrainError::Changed {
            path: checkpoints.path(saved.step),
            key,
            before,
            now,
        }),
        None => Ok(()),
    }
}
