//! Cost of human labels and of self-labels.

use collimate_core::OptionError;
use serde::{Deserialize, Serialize};

use crate::error::StatusError;

/// Cost model in dollars per sample of the pool (Appendix E of <https://arxiv.org/abs/2411.00418>).
///
/// ```text
/// cost = human_label · share + loops · inference
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CostModel {
    /// Dollars for one human label.
    pub human_label: f64,
    /// Dollars for scoring one sample once.
    pub inference: f64,
}

impl Default for CostModel {
    fn default() -> Self {
        Self {
            human_label: 0.668,
            inference: 1.338e-4,
        }
    }
}

impl CostModel {
    /// Makes a model with the paper's label price and a measured inference price.
    ///
    /// # Examples
    /// ```
    /// use collimate_status::CostModel;
    /// // 1,530 samples in three minutes on one of eight accelerators at 32.77 $ an hour.
    /// let cost = CostModel::measured(180.0 / 1530.0, 32.77 / 8.0);
    /// assert!((cost.inference - 1.338e-4).abs() < 1e-7);
    /// ```
    #[must_use]
    pub fn measured(seconds_per_sample: f64, dollars_per_hour: f64) -> Self {
        Self {
            inference: seconds_per_sample * dollars_per_hour / 3600.0,
            ..Self::default()
        }
    }

    /// Checks that every price is finite and at least 0.
    ///
    /// # Errors
    /// [`StatusError::OutOfRange`] with the name and value.
    pub fn check(&self) -> Result<(), StatusError> {
        for (name, value) in [
            ("human_label", self.human_label),
            ("inference", self.inference),
        ] {
            let holds = value.is_finite() && value >= 0.0;
            OptionError::check(name, value, "a finite number of dollars, at least 0", holds)?;
        }
        Ok(())
    }

    /// Returns the dollars per sample if people label a `share` in [0, 1] of the pool and each of
    /// `loops` loops scores the pool once.
    ///
    /// # Examples
    /// ```
    /// let cost = collimate_status::CostModel::default();
    /// assert!((cost.per_sample(0.15, 3) - 0.100_601_4).abs() < 1e-12);
    /// assert_eq!(cost.per_sample(1.0, 0), 0.668);
    /// ```
    pub fn per_sample(&self, share: f64, loops: usize) -> f64 {
        self.human_label * share + loops as f64 * self.inference
    }
}
