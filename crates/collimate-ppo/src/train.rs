//! The training loop: write responses, measure them, learn from them, adapt the coefficient.

use std::time::Instant;

use burn::module::Module;
use collimate_core::Key;
use collimate_nn::CausalLm;
use collimate_train::{
    Exact, FitContext, LoopCheckpoints, Meter, Restored, Stepper, TrainError, epoch_order,
    hash_json, metric_names, model_hash,
};
use serde::Serialize;

use crate::config::PpoConfig;
use crate::metrics as names;
use crate::outcome::Trained;
use crate::rollout::{Response, Rollout};
use crate::state::{State, Sums};
use crate::targets::{Targets, targets};
use crate::task::{KlReference, PpoTask};
use crate::update::{StepOutcome, Update};
use crate::write::Writer;
use crate::{ActorCritic, PpoError};

/// Trains a policy against a reward, or continues from the last checkpoint of this stage.
///
/// ```text
/// for each rollout:
///   write responses, score them; log π_old, log ρ and V of every token
///   r_t = −β (log π_old − log ρ),  + score at the last token;  A_t, R_t
///   for each pass, for each mini-batch:
///     θ ← AdamW(∇ mean over its tokens of  policy loss + c·value loss)
///   β ← controller(β, divergence)
/// ```
///
/// A training may be killed in a rollout or between two optimiser steps. If it is started again
/// with the same arguments, it ends with the same bytes as an uninterrupted one.
///
/// # Errors
/// Options out of range, prompts that leave no room for a response, parts that do not fit, a reward
/// that gives no finite numbers or the wrong count of them, a loss that is not finite, files that
/// cannot be read or written, a checkpoint of another configuration, an interrupt.
pub fn train<M: CausalLm>(
    start: ActorCritic<M>,
    task: &PpoTask<'_, M>,
    config: &PpoConfig,
    context: &FitContext<'_>,
) -> Result<Trained<M>, PpoError> {
    config.check()?;
    // A tracked reference would build graphs that are never used.
    let task = &task.untracked();
    start.check(&config.estimator)?;
    task.check(&start)?;
    let prompts = task.encode(&task.prompts, &start, config)?;
    let watched = task.encode(&task.watched, &start, config)?;
    let reference = match &task.reference {
        KlReference::Model(model) => Some(model_hash(model)),
        KlReference::AdaptersOff => None,
    };
    let tokens = task.tokenizer.special();
    let identity = Identity {
        config,
        inputs: hash_json(&(
            &prompts,
            &watched,
            &task.eos,
            tokens,
            model_hash(&start),
            reference,
        )),
    };
    let model = start.train();
    let checkpoints = LoopCheckpoints::open(&config.stage, &model, &identity, context)?;
    let note = checkpoints
        .folder()
        .map(|folder| folder.join("rollout.json"));
    let key = Key::new(config.seed, &config.stage);
    let fresh = State {
        kl_coef: Exact(config.kl.initial()),
        ..State::default()
    };
    let restored = checkpoints.restore(&model)?.unwrap_or(Restored {
        model,
        stepper: Stepper::new(),
        state: fresh,
    });
    let writer = Writer {
        task,
        prompts: &prompts,
        config,
        interrupt: &context.interrupt,
        key,
        note,
        identity: hash_json(&identity),
    };
    let before = restored.state.seconds;
    let per_rollout = config.steps_per_rollout();
    let at = restored.state.rollouts * per_rollout + restored.state.place;
    Loop {
        config,
        context,
        writer,
        watched: &watched,
        checkpoints: &checkpoints,
        stepper: restored.stepper,
        state: restored.state,
        meter: context
            .progress
            .start(&config.stage, at, config.total_steps()),
        started: Instant::now(),
        seconds_before: before,
    }
    .run(restored.model)
}

/// Inputs that must be the same when a training is resumed.
#[derive(Serialize)]
struct Identity<'a> {
    config: &'a PpoConfig,
    #[serde(rename = "prompts and models (hash)")]
    inputs: String,
}

struct Loop<'a, M: CausalLm> {
    config: &'a PpoConfig,
    context: &'a FitContext<'a>,
    writer: Writer<'a, M>,
    watched: &'a [Vec<u32>],
    checkpoints: &'a LoopCheckpoints<'a>,
    stepper: Stepper,
    state: State,
    meter: Meter,
    started: Instant,
    seconds_before: f64,
}

impl<M: CausalLm> Loop<'_, M> {
    fn run(mut self, mut model: ActorCritic<M>) -> Result<Trained<M>, PpoError> {
        while !self.state.finished {
            if self.state.rollouts == self.config.rollouts {
                self.stop_saved(&model, |this| this.watch(&model))?;
                self.state.finished = true;
                self.state.ticks += 1;
                self.save(&model)?;
                break;
            }
            let rollout = match self.state.current.take() {
                Some(rollout) => rollout,
                None => self.write(&model)?,
            };
            model = self.learn(model, rollout)?;
        }
        if let Some(note) = self.writer.note.as_ref().filter(|note| note.exists()) {
            // A file that cannot be removed only takes up space.
            let _ = std::fs::remove_file(note);
        }
        let metrics = self.state.metrics.into_iter().map(|(k, v)| (k, v.0));
        Ok(Trained {
            model: model.valid(),
            rollouts: self.state.rollouts,
            updates: self.state.updates,
            tokens: self.state.tokens,
            seconds: self.state.seconds,
            floor: self
                .state
                .floor
                .map(|[floor, all]| floor as f64 / all.max(1) as f64),
            metrics: metrics.collect(),
            answers: self.state.answers,
        })
    }

    /// Returns the mini-batches of one pass over the current rollout.
    fn mini_batches(&self, epoch: u64) -> Vec<Vec<usize>> {
        let key = self.writer.key.with(0x7570_6461).step(self.state.rollouts);
        let order = epoch_order(key, epoch, self.config.rollout_size);
        let parts = order.chunks(self.config.mini_batch_size);
        parts.map(<[usize]>::to_vec).collect()
    }

    /// Writes and measures the next rollout.
    fn write(&mut self, model: &ActorCritic<M>) -> Result<Rollout, PpoError> {
        let number = self.state.rollouts;
        if self.context.interrupt.is_set() {
            return Err(self.interrupted(model)?);
        }
        let due = |every: u64| number.is_multiple_of(every);
        let shown = self
            .state
            .answers
            .last()
            .is_some_and(|a| a.rollout == number);
        if self.config.sample_every.is_some_and(due) && !shown {
            self.stop_saved(model, |this| this.watch(model))?;
        }
        let policy = model.policy.valid();
        let (size, at) = (self.config.rollout_size, self.place());
        let responses = self.stop_saved(model, |this| {
            let meter = &mut this.meter;
            this.writer.responses(number, &policy, |done| {
                meter.set(
                    at,
                    &format!("rollout {}: {done} of {size} responses", number + 1),
                );
            })
        })?;
        let mini_batches = self.mini_batches(0);
        let rollout = self.stop_saved(model, |this| {
            this.writer.measure(number, model, responses, &mini_batches)
        })?;
        let tokens = |r: &Response| self.writer.prompts[r.prompt].len() + r.ids().len();
        self.state.tokens += rollout.responses.iter().map(tokens).sum::<usize>() as u64;
        self.state.ticks += 1;
        self.state.place = 0;
        self.state.sums = Sums::default();
        if self.config.save_every.is_some() {
            self.state.current = Some(rollout.clone());
            self.save(model)?;
            self.state.current = None;
        }
        Ok(rollout)
    }

    /// Runs a part that may fail through an interrupt, the reward or the generator. Saves the state
    /// in that case.
    fn stop_saved<T>(
        &mut self,
        model: &ActorCritic<M>,
        part: impl FnOnce(&mut Self) -> Result<T, PpoError>,
    ) -> Result<T, PpoError> {
        match part(self) {
            Err(error) if error.is_interrupt() => Err(self.interrupted(model)?),
            Err(error @ (PpoError::Score { .. } | PpoError::Generate { .. })) => {
                // The training itself did not fail, so its progress is saved.
                if self.state.ticks > 0 {
                    self.save(model)?;
                }
                Err(error)
            }
            other => other,
        }
    }

    /// Makes all passes over a rollout, starting where an earlier start stopped.
    fn learn(
        &mut self,
        mut model: ActorCritic<M>,
        rollout: Rollout,
    ) -> Result<ActorCritic<M>, PpoError> {
        let per_epoch = self.config.steps_per_epoch();
        let mut seen = self.state.seen;
        let kl_coef = self.state.kl_coef.0;
        let targets = targets(&rollout, self.config, kl_coef, &mut seen);
        let mut pass: Option<(u64, Vec<Vec<usize>>)> = None;
        let all = self.config.steps_per_rollout();
        while self.state.place < all {
            if self.context.interrupt.is_set() {
                self.state.current = Some(rollout);
                return Err(self.interrupted(&model)?);
            }
            let (epoch, index) = (self.state.place / per_epoch, self.state.place % per_epoch);
            let known = pass.take().filter(|(of, _)| *of == epoch);
            let (_, parts) =
                pass.insert(known.unwrap_or_else(|| (epoch, self.mini_batches(epoch))));
            let update = Update {
                config: self.config,
                prompts: self.writer.prompts,
                rollout: &rollout,
                targets: &targets,
                kl_coef,
                number: self.state.rollouts + 1,
                step: self.state.updates + 1,
                schedule: self.schedule(),
            };
            let (next, outcome) = update.step(
                model,
                &mut self.stepper,
                &parts[index as usize],
                &mut self.state.sums,
            )?;
            model = next;
            self.state.place += 1;
            self.state.ticks += 1;
            match outcome {
                StepOutcome::Applied => self.state.updates += 1,
                StepOutcome::Skipped => {}
                StepOutcome::Stopped => self.state.place = all,
            }
            self.meter.set(self.place(), &self.message());
            let due = |every: u64| self.state.updates.is_multiple_of(every);
            let more = self.state.place < all;
            if more && outcome == StepOutcome::Applied && self.config.save_every.is_some_and(due) {
                self.state.current = Some(rollout.clone());
                self.save(&model)?;
                self.state.current = None;
            }
        }
        self.conclude(&rollout, &targets, kl_coef)?;
        self.state.seen = seen;
        Ok(model)
    }

    /// Logs a rollout and adapts the coefficient of the divergence.
    fn conclude(
        &mut self,
        rollout: &Rollout,
        targets: &Targets,
        kl_coef: f64,
    ) -> Result<(), PpoError> {
        let responses = &rollout.responses;
        let n = responses.len() as f64;
        let share =
            |of: fn(&Response) -> bool| responses.iter().filter(|r| of(r)).count() as f64 / n;
        let raw: Vec<f64> = responses.iter().map(|r| f64::from(r.score)).collect();
        let mean = raw.iter().sum::<f64>() / n;
        let spread = raw.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / n;
        let scaled = targets.scores.iter().sum::<f64>() / n;
        let logps = rollout.old_logps.iter().flatten().map(|&l| f64::from(l));
        let rate = self.config.learning_rate * self.schedule_at(self.place().saturating_sub(1));
        let mut values = vec![
            (names::SCORES.to_owned(), mean),
            (names::SCORES_STD.to_owned(), spread.sqrt()),
            (
                names::RLHF_REWARD.to_owned(),
                scaled - kl_coef * targets.kl[0],
            ),
            (names::NON_SCORE_REWARD.to_owned(), -kl_coef * targets.kl[0]),
            (names::KL.to_owned(), targets.kl[0]),
            (names::KL_K3.to_owned(), targets.kl_k3),
            (names::ENTROPY.to_owned(), -logps.sum::<f64>() / n),
            (names::KL_COEF.to_owned(), kl_coef),
            (names::LENGTH.to_owned(), targets.tokens as f64 / n),
            (names::EOS.to_owned(), share(Response::has_end)),
            (names::EMPTY.to_owned(), share(Response::is_empty)),
            (names::LEARNING_RATE.to_owned(), rate),
        ];
        if !rollout.values.is_empty() {
            let first = rollout.values.iter().filter_map(|v| v.first());
            let value = first.map(|&v| f64::from(v)).sum::<f64>() / n;
            values.push((names::VALUE.to_owned(), value));
        }
        let explained = targets.explained_variance;
        values.extend(explained.map(|value| (names::EXPLAINED_VARIANCE.to_owned(), value)));
        let scaling = &self.config.reward.scaling;
        let floor: Option<Vec<bool>> = raw.iter().map(|&score| scaling.on_floor(score)).collect();
        if let Some(floor) = floor {
            let low = floor.iter().filter(|low| **low).count() as u64;
            values.push((names::SCORES_FLOOR.to_owned(), low as f64 / n));
            let [before, all] = self.state.floor.unwrap_or_default();
            self.state.floor = Some([before + low, all + floor.len() as u64]);
        }
        values.extend(self.state.sums.means());
        self.state.rollouts += 1;
        let episodes = self.state.rollouts * self.config.rollout_size as u64;
        values.extend([
            (names::UPDATES.to_owned(), self.state.updates as f64),
            (names::EPISODES.to_owned(), episodes as f64),
            (
                metric_names::NUM_TOKENS.to_owned(),
                self.state.tokens as f64,
            ),
        ]);
        let [per_sequence, per_token] = targets.kl;
        let next = self
            .config
            .kl
            .next(kl_coef, per_sequence, per_token, responses.len());
        self.state.kl_coef = Exact(next);
        self.state.place = 0;
        self.state.metrics = values.iter().map(|(k, v)| (k.clone(), Exact(*v))).collect();
        if let Some(metrics) = self.context.metrics {
            metrics.log(&self.config.stage, self.state.rollouts, values)?;
        }
        Ok(())
    }

    /// Writes and scores answers to the watched prompts.
    fn watch(&mut self, model: &ActorCritic<M>) -> Result<(), PpoError> {
        if self.watched.is_empty() {
            return Ok(());
        }
        let policy = model.policy.valid();
        let answers = self
            .writer
            .watched(self.state.rollouts, &policy, self.watched)?;
        self.state.answers.extend(answers);
        Ok(())
    }

    /// Returns the number of planned optimiser steps up to here.
    fn place(&self) -> u64 {
        let per_rollout = self.config.steps_per_rollout();
        self.state.rollouts * per_rollout + self.state.place
    }

    fn schedule(&self) -> f64 {
        self.schedule_at(self.place())
    }

    fn schedule_at(&self, place: u64) -> f64 {
        let (warmup, total) = (self.config.warmup_steps, self.config.total_steps());
        self.config.schedule.factor(place, warmup, total, 0.0)
    }

    fn message(&self) -> String {
        let of = |name: &str| self.state.metrics.get(name).map(|value| value.0);
        match (of(names::SCORES), of(names::KL)) {
            (Some(score), Some(kl)) => format!("score {score:.3} · kl {kl:.2}"),
            _ => String::new(),
        }
    }

    fn save(&mut self, model: &ActorCritic<M>) -> Result<Option<std::path::PathBuf>, TrainError> {
        self.state.seconds = self.seconds_before + self.started.elapsed().as_secs_f64();
        let (ticks, keep) = (self.state.ticks, self.config.keep_last);
        self.checkpoints
            .save(ticks, model, &self.stepper, &self.state, keep)
    }

    fn interrupted(&mut self, model: &ActorCritic<M>) -> Result<PpoError, PpoError> {
        let saved = match self.state.ticks {
            0 => None,
            _ => self.save(model)?,
        };
        Ok(TrainError::Interrupted {
            stage: self.config.stage.clone(),
            step: self.state.updates,
            saved,
        }
        .into())
    }
}
