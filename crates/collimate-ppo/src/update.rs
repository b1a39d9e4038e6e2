//! One optimiser step over a mini-batch.

use collimate_nn::CausalLm;
use collimate_ops::to_host;
use collimate_train::{Stepper, TrainError, clip_factor};

use crate::actor_critic::device;
use crate::config::PpoConfig;
use crate::kl::KlPlacement;
use crate::metrics as names;
use crate::rollout::{Rollout, batch, cut, flat};
use crate::state::Sums;
use crate::surrogate::{clipped_policy_loss, clipped_value_loss, kl_loss};
use crate::targets::Targets;
use crate::{ActorCritic, PpoError};

/// Outcome of a mini-batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepOutcome {
    /// The weights were updated.
    Applied,
    /// The ratios were too large, so the weights were not updated.
    Skipped,
    /// The policy has moved far enough; the passes over the rollout end.
    Stopped,
}

/// Places of the values that a micro-batch logs.
const LOGPS: usize = 0;
const POLICY_LOSS: usize = 1;
const VALUES: usize = 2;
const VALUE_LOSS: usize = 3;
const ENTROPY: usize = 4;
const KL_LOSS: usize = 5;

/// Inputs of an optimiser step besides the weights.
pub(crate) struct Update<'a> {
    pub(crate) config: &'a PpoConfig,
    pub(crate) prompts: &'a [Vec<u32>],
    pub(crate) rollout: &'a Rollout,
    pub(crate) targets: &'a Targets,
    pub(crate) kl_coef: f64,
    /// Number of the rollout, from 1; used in errors, as is the number of the step.
    pub(crate) number: u64,
    pub(crate) step: u64,
    /// Factor of the schedule on the learning rates.
    pub(crate) schedule: f64,
}

/// Sums over the tokens of a mini-batch.
#[derive(Debug, Default)]
struct Tokens {
    ratio: f64,
    ratio_max: f64,
    approx_kl: f64,
    clipped: f64,
    value_clipped: f64,
    policy_loss: f64,
    value_loss: f64,
    entropy: f64,
    kl_loss: f64,
}

impl Update<'_> {
    /// Learns from a mini-batch, unless it must be skipped.
    pub(crate) fn step<M: CausalLm>(
        &self,
        model: ActorCritic<M>,
        stepper: &mut Stepper,
        mini_batch: &[usize],
        sums: &mut Sums,
    ) -> Result<(ActorCritic<M>, StepOutcome), PpoError> {
        let config = self.config;
        let responses = &self.rollout.responses;
        let tokens: usize = mini_batch.iter().map(|&i| responses[i].ids().len()).sum();
        let n = tokens as f64;
        let mut found = Tokens::default();
        for micro_batch in cut(mini_batch, responses, self.prompts, config) {
            self.backward(&model, stepper, &micro_batch, n, &mut found)?;
        }
        let approx_kl = found.approx_kl / n;
        let ratio = found.ratio / n;
        // Logged for every mini-batch, so that the reason for a skipped one is visible.
        sums.add(names::APPROX_KL, approx_kl, n);
        sums.add(names::CLIP_FRACTION, found.clipped / n, n);
        sums.add(names::RATIO, ratio, n);
        sums.max(names::RATIO_MAX, found.ratio_max);
        let limit = config.early_stop_kl.map(|target| 1.5 * target);
        if limit.is_some_and(|limit| approx_kl > limit) {
            stepper.discard();
            sums.count(names::STOPPED);
            return Ok((model, StepOutcome::Stopped));
        }
        if config.ratio_threshold.is_some_and(|most| ratio > most) {
            stepper.discard();
            sums.count(names::SKIPPED);
            return Ok((model, StepOutcome::Skipped));
        }
        let norm = stepper.gradient_norm();
        let critic = config.estimator.critic();
        let value_coef = critic.map_or(0.0, |critic| critic.value_coef);
        let loss = (found.policy_loss + value_coef * found.value_loss
            - config.entropy_coef * found.entropy
            + self.kl_coef * found.kl_loss)
            / n;
        for (what, value) in [("the loss", loss), ("the gradient norm", norm)] {
            if !value.is_finite() {
                let (stage, step) = (config.stage.clone(), self.step);
                return Err(TrainError::NotFinite {
                    stage,
                    step,
                    what,
                    value,
                }
                .into());
            }
        }
        sums.add(names::LOSS, loss, 1.0);
        sums.add(names::GRAD_NORM, norm, 1.0);
        sums.add(names::POLICY_LOSS, found.policy_loss / n, n);
        if critic.is_some() {
            sums.add(names::VALUE_LOSS, found.value_loss / n, n);
            sums.add(names::VALUE_CLIP_FRACTION, found.value_clipped / n, n);
        }
        if config.entropy_coef > 0.0 {
            sums.add(names::POLICY_ENTROPY, found.entropy / n, n);
        }
        if config.kl_placement() == KlPlacement::Loss {
            sums.add(names::KL_LOSS, found.kl_loss / n, n);
        }
        let own = critic.and_then(|critic| critic.learning_rate);
        let rate = |path: &str| {
            let is_critic = path.starts_with("critic.") || path.starts_with("value_head.");
            let base = own.filter(|_| is_critic).unwrap_or(config.learning_rate);
            base * self.schedule
        };
        let scale = clip_factor(norm, config.max_grad_norm);
        Ok((
            stepper.apply(model, scale, &rate, &config.adamw),
            StepOutcome::Applied,
        ))
    }

    /// Adds the gradient of a micro-batch: sums over its tokens, divided by the tokens of the
    /// mini-batch.
    fn backward<M: CausalLm>(
        &self,
        model: &ActorCritic<M>,
        stepper: &mut Stepper,
        micro_batch: &[usize],
        n: f64,
        found: &mut Tokens,
    ) -> Result<(), PpoError> {
        let config = self.config;
        let responses = &self.rollout.responses;
        let packed = batch(micro_batch, responses, self.prompts, &model.policy);
        let packed = packed.map_err(|source| PpoError::Pack {
            rollout: self.number,
            source,
        })?;
        let with_entropy = config.entropy_coef > 0.0;
        let outputs = model.outputs(&packed, config.temperature, with_entropy);
        let old = flat(micro_batch, &self.rollout.old_logps);
        let advantages = flat(micro_batch, &self.targets.advantages);

        let loss = clipped_policy_loss(
            outputs.logps.clone(),
            device(old.clone(), &packed),
            device(advantages.clone(), &packed),
            config.clip_range,
            config.dual_clip,
        )
        .sum();
        let mut total = loss.clone().div_scalar(n);
        // One read of the device for all logged values; a part that the loss lacks is filled with
        // the policy's loss and not logged.
        let mut logged = [(); 6].map(|()| loss.clone());
        logged[LOGPS] = outputs.logps.clone();
        let critic = config.estimator.critic().zip(outputs.values);
        // Without a critic there are neither returns nor values.
        let [returns, values] = match &critic {
            Some(_) => [
                flat(micro_batch, &self.targets.returns),
                flat(micro_batch, &self.rollout.values),
            ],
            None => [Vec::new(), Vec::new()],
        };
        if let Some((critic, new)) = &critic {
            logged[VALUES] = new.clone();
            let range = critic.value_clip_range;
            let (values, returns) = (values.clone(), returns.clone());
            let (values, returns) = (device(values, &packed), device(returns, &packed));
            let loss = clipped_value_loss(new.clone(), values, returns, range).sum();
            logged[VALUE_LOSS] = loss.clone();
            total = total + loss.mul_scalar(critic.value_coef / n);
        }
        let with_entropy = outputs.entropy.is_some();
        if let Some(entropy) = outputs.entropy {
            let entropy = entropy.sum();
            logged[ENTROPY] = entropy.clone();
            total = total - entropy.mul_scalar(config.entropy_coef / n);
        }
        let with_kl = config.kl_placement() == KlPlacement::Loss;
        if with_kl {
            let reference = device(flat(micro_batch, &self.rollout.reference_logps), &packed);
            let loss = kl_loss(outputs.logps, reference).sum();
            logged[KL_LOSS] = loss.clone();
            total = total + loss.mul_scalar(self.kl_coef / n);
        }

        let logged = to_host(logged);
        for ((new, old), advantage) in logged[LOGPS].iter().zip(&old).zip(&advantages) {
            let moved = new - f64::from(*old);
            let ratio = moved.exp();
            found.ratio += ratio;
            found.ratio_max = found.ratio_max.max(ratio);
            found.approx_kl += 0.5 * moved * moved;
            let (over, under) = (1.0 + config.clip_range, 1.0 - config.clip_range);
            let cut = (*advantage > 0.0 && ratio > over) || (*advantage < 0.0 && ratio < under);
            found.clipped += f64::from(u8::from(cut));
        }
        found.policy_loss += logged[POLICY_LOSS][0];
        if let Some((critic, _)) = critic {
            let range = critic.value_clip_range as f32;
            for ((&new, &old), &target) in logged[VALUES].iter().zip(&values).zip(&returns) {
                let new = new as f32;
                let clipped = old + (new - old).clamp(-range, range);
                let further = (clipped - target).abs() > (new - target).abs();
                // Within the clip, both values are equal up to rounding.
                let left = (new - old).abs() > range;
                found.value_clipped += f64::from(u8::from(further && left));
            }
            found.value_loss += logged[VALUE_LOSS][0];
        }
        if with_entropy {
            found.entropy += logged[ENTROPY][0];
        }
        if with_kl {
            found.kl_loss += logged[KL_LOSS][0];
        }
        Ok(stepper.backward(model, total)?)
    }
}
