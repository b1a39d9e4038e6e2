//! The step loop.

use std::collections::BTreeMap;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Tensor;
use collimate_core::Key;

use crate::checkpoint::{BestStep, Checkpoints, Exact, State};
use crate::order::{EpochOrder, place};
use crate::stepper::{Stepper, untracked};
use crate::{
    Evaluation, FitContext, Objective, TrainConfig, TrainError, clip_factor, metric_names,
    micro_batches,
};

/// A fit in progress.
pub(crate) struct Run<'a, O: Objective> {
    pub(crate) objective: &'a O,
    pub(crate) config: &'a TrainConfig,
    pub(crate) context: &'a FitContext<'a>,
    pub(crate) checkpoints: Option<Checkpoints>,
    pub(crate) key: Key,
    pub(crate) stepper: Stepper,
    pub(crate) state: State,
    pub(crate) order: Option<(u64, EpochOrder)>,
    pub(crate) best: Option<O::Model>,
    pub(crate) seconds_before: f64,
    pub(crate) tokens_before: u64,
    pub(crate) started: Instant,
}

impl<O: Objective> Run<'_, O> {
    /// Returns the examples of the next step.
    fn examples(&mut self) -> Vec<usize> {
        let (epoch, range) = place(self.config, self.state.step, self.state.examples);
        let known = self.order.take().filter(|(of, _)| *of == epoch);
        let (_, order) = self.order.insert(
            known.unwrap_or_else(|| (epoch, EpochOrder::new(self.key, epoch, self.state.examples))),
        );
        order.take(range)
    }

    /// Runs one optimiser step.
    pub(crate) fn step(&mut self, model: O::Model) -> Result<O::Model, TrainError> {
        let (objective, config) = (self.objective, self.config);
        let step = self.state.step + 1;
        let stage = || config.stage.clone();
        let examples = self.examples();
        let weight = objective.weight(&examples);
        if !(weight > 0.0 && weight.is_finite()) {
            return Err(TrainError::Weight {
                stage: stage(),
                step,
                weight,
            });
        }
        objective.begin_step(&model, &examples)?;
        let tokens = |example| objective.tokens(example);
        let cut = micro_batches(
            &examples,
            tokens,
            config.micro_batch_tokens,
            config.micro_batch_order,
        );
        let mut losses = Vec::new();
        let mut sums: BTreeMap<&'static str, (f64, f64)> = BTreeMap::new();
        for micro_batch in &cut {
            let key = self.key.step(self.state.step);
            let forwarded = objective.forward(&model, micro_batch, key)?;
            let loss = forwarded.loss_sum;
            if !loss.is_tracked() {
                return Err(untracked());
            }
            losses.push(loss.clone().inner());
            self.stepper.backward(&model, loss.div_scalar(weight))?;
            for (name, sum, weight) in forwarded.metrics {
                let entry = sums.entry(name).or_default();
                *entry = (entry.0 + sum, entry.1 + weight);
            }
            self.state.tokens += forwarded.tokens as u64;
        }
        let finite = |what, value: f64| match value.is_finite() {
            true => Ok(value),
            false => Err(TrainError::NotFinite {
                stage: stage(),
                step,
                what,
                value,
            }),
        };
        let loss = Tensor::cat(losses, 0)
            .into_data()
            .iter::<f64>()
            .sum::<f64>()
            / weight;
        let loss = finite("the loss", loss)?;
        let norm = finite("the gradient norm", self.stepper.gradient_norm())?;
        let clip = clip_factor(norm, config.max_grad_norm);
        let learning_rate = config.learning_rate_at(self.state.step, self.state.total_steps);
        let model = self
            .stepper
            .apply(model, clip, &|_| learning_rate, &config.adamw);

        self.state.step = step;
        let (epoch, range) = place(config, step, self.state.examples);
        (self.state.epoch, self.state.cursor) = (epoch, range.start);
        let mut values = vec![
            (metric_names::LOSS, loss),
            (metric_names::GRAD_NORM, norm),
            (metric_names::LEARNING_RATE, learning_rate),
            (metric_names::NUM_TOKENS, self.state.tokens as f64),
        ];
        let means = sums.into_iter().filter(|(_, (_, weight))| *weight != 0.0);
        values.extend(means.map(|(name, (sum, weight))| (name, sum / weight)));
        self.log(
            values
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )?;
        Ok(model)
    }

    /// Evaluates and saves if the step calls for it, and marks the last step as finished.
    pub(crate) fn conclude_step(&mut self, model: &O::Model) -> Result<(), TrainError> {
        let step = self.state.step;
        let due = |every: Option<u64>| every.is_some_and(|every| step.is_multiple_of(every));
        self.state.finished = step >= self.state.total_steps;
        let mut improved = false;
        if self.state.finished || due(self.config.eval_every) {
            let valid = model.valid();
            if let Some(evaluation) = self.objective.evaluate(&valid)? {
                improved = self.judge(evaluation)?;
                if improved && self.config.keep_best && self.checkpoints.is_none() {
                    self.best = Some(valid);
                }
            }
        }
        let best = improved && self.config.keep_best;
        if self.state.finished || best || due(self.config.save_every) {
            self.save(model)?;
        }
        Ok(())
    }

    /// Logs an evaluation. Returns true if it is the best so far.
    fn judge(&mut self, evaluation: Evaluation) -> Result<bool, TrainError> {
        let Evaluation { metrics, score } = evaluation;
        if !score.is_finite() {
            return Err(TrainError::NotFinite {
                stage: self.config.stage.clone(),
                step: self.state.step,
                what: "the evaluation's score",
                value: score,
            });
        }
        let prefixed = metrics
            .into_iter()
            .map(|(name, value)| (format!("eval_{name}"), value));
        self.log(prefixed.chain([("eval_score".to_owned(), score)]).collect())?;
        let improved = self.state.best.is_none_or(|best| score > best.score.0);
        if improved {
            self.state.best = Some(BestStep {
                step: self.state.step,
                score: Exact(score),
            });
            self.state.evaluations_without_best = 0;
        } else {
            self.state.evaluations_without_best += 1;
            let patience = self.config.patience;
            self.state.finished |=
                patience.is_some_and(|patience| self.state.evaluations_without_best >= patience);
        }
        Ok(improved)
    }

    fn log(&mut self, values: Vec<(String, f64)>) -> Result<(), TrainError> {
        for (name, value) in &values {
            self.state.last_metrics.insert(name.clone(), Exact(*value));
        }
        if let Some(metrics) = self.context.metrics {
            metrics.log(&self.config.stage, self.state.step, values)?;
        }
        Ok(())
    }

    pub(crate) fn message(&self) -> String {
        let value = |name: &str| self.state.last_metrics.get(name).map_or(f64::NAN, |v| v.0);
        let elapsed = self.started.elapsed().as_secs_f64().max(1e-9);
        let speed = (self.state.tokens - self.tokens_before) as f64 / elapsed;
        let loss = value(metric_names::LOSS);
        match self.state.last_metrics.get("eval_score") {
            Some(score) => format!("loss {loss:.4} · eval {:.4} · {speed:.0} tok/s", score.0),
            None => format!("loss {loss:.4} · {speed:.0} tok/s"),
        }
    }
}
