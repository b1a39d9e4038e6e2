//! Learning rate of each step.

use crate::config::whole;
use crate::{Schedule, TrainConfig};

impl Schedule {
    /// Returns the factor on the learning rate at step `step` (from 0) of `total`. The factor rises
    /// linearly for `warmup` steps. Then it stays at 1 or falls to `floor`.
    ///
    /// ```text
    /// s < w:  (s + 1) / (w + 1)
    /// else:   x = (s − w) / (T − w);  constant 1 · linear 1 − x(1 − f) · cosine f + (1 − f)(1 + cos πx)/2
    /// ```
    pub fn factor(self, step: u64, warmup: u64, total: u64, floor: f64) -> f64 {
        if step < warmup {
            // Computed in floats: adding 1 to the largest integer would overflow.
            return (step as f64 + 1.0) / (warmup as f64 + 1.0);
        }
        let done = (step - warmup) as f64 / total.saturating_sub(warmup).max(1) as f64;
        match self {
            Self::Constant => 1.0,
            Self::Linear => 1.0 - done * (1.0 - floor),
            Self::Cosine => {
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
        }
    }
}

impl TrainConfig {
    /// Returns the learning rate of step `step` (from 0) of `total_steps`.
    ///
    /// ```text
    /// s < w:  lr · (s + 1) / (w + 1)                     w = warm-up steps, T = total steps
    /// else:   x = (s − w) / (T − w), f = final_learning_rate_ratio
    ///         constant: lr · linear: lr · (1 − x(1 − f)) · cosine: lr · (f + (1 − f)(1 + cos πx)/2)
    /// ```
    ///
    /// # Differs from
    /// Hugging Face's `get_linear_schedule_with_warmup` starts at a learning rate of 0, so its
    /// first step changes nothing. Here every step changes the weights.
    pub fn learning_rate_at(&self, step: u64, total_steps: u64) -> f64 {
        let warmup = self.warmup_of(total_steps);
        let floor = self.final_learning_rate_ratio;
        self.learning_rate * self.schedule.factor(step, warmup, total_steps, floor)
    }

    /// Returns the number of warm-up steps of a training with `total_steps`. If it is `total_steps`
    /// or more, the learning rate never reaches its peak.
    ///
    /// # Examples
    /// ```
    /// let config = collimate_train::TrainConfig {
    ///     warmup_ratio: 0.1,
    ///     ..Default::default()
    /// };
    /// assert_eq!(config.warmup_of(50), 5);
    /// ```
    pub fn warmup_of(&self, total_steps: u64) -> u64 {
        if self.warmup_ratio > 0.0 {
            whole(self.warmup_ratio * total_steps as f64)
        } else {
            self.warmup_steps
        }
    }
}
