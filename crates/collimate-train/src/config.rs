//! Options of training.

use collimate_core::{OptionError, OrNull, check_options};
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// Course of the learning rate after the warm-up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Schedule {
    /// The learning rate stays at its peak.
    Constant,
    /// The learning rate falls linearly.
    #[default]
    Linear,
    /// The learning rate falls along half a cosine wave.
    Cosine,
}

/// The order in which the examples of one optimiser step fill micro-batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MicroBatchOrder {
    /// Examples keep the order in which the epoch draws them.
    #[default]
    AsDrawn,
    /// The longest examples come first. The examples of a micro-batch then have similar lengths,
    /// and the largest memory need shows at once.
    LongestFirst,
}

/// Hyperparameters of AdamW. Weight decay acts only on parameters of rank 2 or higher.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Decay of the first moment, at least 0 and below 1.
    pub beta1: f64,
    /// Decay of the second moment, at least 0 and below 1.
    pub beta2: f64,
    /// Number added to the root of the second moment, above 0.
    pub eps: f64,
    /// Decoupled weight decay, at least 0. Vectors (biases, norm scales) are not decayed.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
        }
    }
}

/// Options of training a model.
///
/// | field | default | allowed |
/// |---|---|---|
/// | `stage` | `"train"` | letters, digits, `.`, `_`, `-` |
/// | `learning_rate` | 1e-5 | above 0, at most 1 |
/// | `schedule` | `linear` | `constant`, `linear`, `cosine` |
/// | `final_learning_rate_ratio` | 0 | 0 to 1 |
/// | `warmup_steps`, `warmup_ratio` | 0, 0 | at most one of them above 0; at most 10^12 steps, the ratio below 1 |
/// | `batch_size` | 64 | at least 1 |
/// | `micro_batch_tokens` | 8192 | at least 1; `null`: the whole batch at once |
/// | `micro_batch_order` | `as_drawn` | `as_drawn`, `longest_first` |
/// | `epochs` | 1 | above 0, at most 10^6; always at least one step |
/// | `max_steps` | none | 1 to 10^12; overrides `epochs` |
/// | `adamw` | see [`AdamWConfig`] | |
/// | `max_grad_norm` | 1 | above 0; `null`: no clipping |
/// | `eval_every`, `save_every` | none | at least 1; `null`: at the end only |
/// | `keep_last` | 1 | at least 1 |
/// | `keep_best` | true | |
/// | `patience` | none | at least 1 evaluations without a better score; needs `eval_every` |
/// | `seed` | 0 | |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Name of the stage: part of every random key, of the metrics and of the checkpoint path.
    /// ASCII letters, digits, `.`, `_` and `-`.
    pub stage: String,
    /// Peak learning rate, above 0 and at most 1.
    pub learning_rate: f64,
    /// Course of the learning rate after the warm-up.
    pub schedule: Schedule,
    /// Learning rate at the end of the schedules `linear` and `cosine`, as a fraction of the peak,
    /// 0 to 1.
    pub final_learning_rate_ratio: f64,
    /// Number of optimiser steps in which the learning rate rises linearly, at most 10^12. It must
    /// be 0 if `warmup_ratio` is above 0.
    pub warmup_steps: u64,
    /// Fraction of all optimiser steps in which the learning rate rises linearly, at least 0 and
    /// below 1.
    pub warmup_ratio: f64,
    /// Number of examples in an optimiser step, over all micro-batches, at least 1.
    pub batch_size: usize,
    /// Largest number of tokens in a micro-batch, at least 1. Null takes the whole batch at once.
    /// An example with more tokens becomes a micro-batch by itself.
    pub micro_batch_tokens: Option<usize>,
    /// Order in which the examples of an optimiser step fill micro-batches.
    pub micro_batch_order: MicroBatchOrder,
    /// Number of passes over the examples, above 0 and at most 10^6. The last pass may be partial.
    pub epochs: f64,
    /// Number of optimiser steps, 1 to 10^12, which overrides `epochs`. Null computes the number
    /// from `epochs`.
    pub max_steps: Option<u64>,
    /// Options of the optimiser AdamW.
    pub adamw: AdamWConfig,
    /// Largest global norm of the gradient, above 0. A larger gradient is scaled down to this norm.
    /// Null disables clipping.
    pub max_grad_norm: Option<f64>,
    /// Number of optimiser steps between two evaluations, at least 1. Null evaluates at the end
    /// only.
    pub eval_every: Option<u64>,
    /// Number of optimiser steps between two checkpoints, at least 1. Null saves at the end only.
    pub save_every: Option<u64>,
    /// Number of latest checkpoints to keep, at least 1.
    pub keep_last: usize,
    /// If true, keeps the checkpoint with the best score, or the best model if there is no folder.
    pub keep_best: bool,
    /// Number of consecutive evaluations without a better score after which training stops, at
    /// least 1; needs `eval_every`. Null never stops early.
    pub patience: Option<u32>,
    /// Seed of the order of the examples and of all draws of the objective.
    pub seed: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            stage: "train".to_owned(),
            learning_rate: 1e-5,
            schedule: Schedule::Linear,
            final_learning_rate_ratio: 0.0,
            warmup_steps: 0,
            warmup_ratio: 0.0,
            batch_size: 64,
            micro_batch_tokens: Some(8192),
            micro_batch_order: MicroBatchOrder::AsDrawn,
            epochs: 1.0,
            max_steps: None,
            adamw: AdamWConfig::default(),
            max_grad_norm: Some(1.0),
            eval_every: None,
            save_every: None,
            keep_last: 1,
            keep_best: true,
            patience: None,
            seed: 0,
        }
    }
}

/// Largest number of steps. Under this limit, sums and products of counts stay far below the
/// largest `u64`.
const MOST_STEPS: u64 = 1_000_000_000_000;

impl AdamWConfig {
    /// Checks every value. Option paths in errors begin with `adamw`.
    ///
    /// # Errors
    /// Names the first option that is out of range.
    #[rustfmt::skip] // One option per line.
    pub fn check(&self) -> Result<(), OptionError> {
        let Self { beta1, beta2, eps, weight_decay: decay } = *self;
        let beta = |beta: f64| (0.0..1.0).contains(&beta);
        let decay_holds = decay >= 0.0 && decay.is_finite();
        check_options(&[
            (beta(beta1), "adamw.beta1", &beta1, "at least 0, below 1"),
            (beta(beta2), "adamw.beta2", &beta2, "at least 0, below 1"),
            (eps > 0.0 && eps.is_finite(), "adamw.eps", &eps, "above 0, finite"),
            (decay_holds, "adamw.weight_decay", &decay, "at least 0, finite"),
        ])
    }
}

impl TrainConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// Names the first option that is out of range.
    #[rustfmt::skip] // One option per line.
    pub fn validate(&self) -> Result<(), TrainError> {
        check_stage(&self.stage)?;
        let (rate, end, warmup) =
            (self.learning_rate, self.final_learning_rate_ratio, self.warmup_ratio);
        let (steps, most, epochs) = (self.warmup_steps, self.max_steps, self.epochs);
        let (budget, norm) = (self.micro_batch_tokens, self.max_grad_norm);
        let both = warmup > 0.0 && steps > 0;
        let most_holds = most.is_none_or(|most| (1..=MOST_STEPS).contains(&most));
        check_options(&[
            (rate > 0.0 && rate <= 1.0, "learning_rate", &rate, "above 0, at most 1"),
            ((0.0..=1.0).contains(&end), "final_learning_rate_ratio", &end, "0 to 1"),
            ((0.0..1.0).contains(&warmup), "warmup_ratio", &warmup, "at least 0, below 1"),
            (!both, "warmup_steps", &steps, "0 when warmup_ratio is given"),
            (steps <= MOST_STEPS, "warmup_steps", &steps, "at most 10^12"),
            (self.batch_size >= 1, "batch_size", &self.batch_size, "at least 1"),
            (budget != Some(0), "micro_batch_tokens", &OrNull(budget), "at least 1, or null"),
            (epochs > 0.0 && epochs <= 1e6, "epochs", &epochs, "above 0, at most 10^6"),
            (most_holds, "max_steps", &OrNull(most), "1 to 10^12, or null"),
        ])?;
        self.adamw.check()?;
        let (eval, save, patience) = (self.eval_every, self.save_every, self.patience);
        let norm_holds = norm.is_none_or(|norm| norm > 0.0 && norm.is_finite());
        let unused = patience.is_some() && eval.is_none();
        check_options(&[
            (norm_holds, "max_grad_norm", &OrNull(norm), "above 0, or null"),
            (eval != Some(0), "eval_every", &OrNull(eval), "at least 1, or null"),
            (save != Some(0), "save_every", &OrNull(save), "at least 1, or null"),
            (self.keep_last >= 1, "keep_last", &self.keep_last, "at least 1"),
            (patience != Some(0), "patience", &OrNull(patience), "at least 1, or null"),
            (!unused, "patience", &OrNull(patience), "null when eval_every is null"),
        ])?;
        Ok(())
    }

    /// Returns the number of optimiser steps in one pass over `examples` examples. The last batch
    /// of a pass may be smaller.
    pub fn steps_per_epoch(&self, examples: usize) -> u64 {
        examples.div_ceil(self.batch_size.max(1)) as u64
    }

    /// Returns the number of optimiser steps in the whole training. A partial step counts as a
    /// step.
    pub fn total_steps(&self, examples: usize) -> u64 {
        let by_epochs = || {
            let steps = self.steps_per_epoch(examples);
            whole(self.epochs * steps as f64).max(steps.min(1))
        };
        self.max_steps.unwrap_or_else(by_epochs)
    }
}

/// Rounds a product up to whole steps.
pub(crate) fn whole(product: f64) -> u64 {
    // 1.1 epochs of 100 steps give 110.00000000000001 in f64, which must still count as 110.
    (product - 1e-9).ceil() as u64
}

/// Checks that a stage's name can be used as a folder name on every system.
///
/// # Errors
/// The name is empty, starts with a dot, or has a character other than ASCII letters, digits, `.`,
/// `_` and `-`.
///
/// # Examples
/// ```
/// assert!(collimate_train::check_stage("reward-1").is_ok());
/// assert!(collimate_train::check_stage("../up").is_err());
/// ```
pub fn check_stage(stage: &str) -> Result<(), TrainError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let holds = !stage.is_empty() && !stage.starts_with('.') && stage.chars().all(allowed);
    let allowed = "made of ASCII letters, digits, '.', '_' and '-', and must not start with '.'";
    Ok(check_options(&[(holds, "stage", &stage, allowed)])?)
}
