//! Operations on all linear layers of any model: attaching low-rank adapters, folding them in, and
//! choosing a precision.

use burn::module::Module;
use collimate_core::{Key, OptionError, Range};
use serde::{Deserialize, Serialize};

use crate::linear::{Linear, Lora};
use crate::params::set_trainable;
use crate::precision::Precision;

/// Options of low-rank adaptation: rank, scale, dropout and target layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LoraConfig {
    /// Rank of the update, 1 to 65536; typically 8 to 64. A larger rank can express larger changes
    /// and costs more memory and time.
    pub rank: usize,
    /// Scale of the update, above 0. The update is multiplied by `alpha / rank`.
    pub alpha: f64,
    /// Dropout of the adapters' input in training, at least 0 and below 1.
    pub dropout: f64,
    /// Names of the linear layers that get an adapter. A layer matches if its path ends in one of
    /// the names. An empty list means all linear layers.
    pub targets: Vec<String>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 32.0,
            dropout: 0.1,
            targets: Vec::new(),
        }
    }
}

impl LoraConfig {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// Names the first value that is out of range.
    pub fn check(&self) -> Result<(), OptionError> {
        let (allowed, holds) = ("at least 1, at most 65536", 1..=65_536);
        OptionError::check("lora.rank", self.rank, allowed, holds.contains(&self.rank))?;
        Range::Positive.check("lora.alpha", self.alpha)?;
        Range::BelowOne.check("lora.dropout", self.dropout)
    }
}

/// A model whose linear layers can carry low-rank adapters.
pub trait Adaptable: Module {
    /// Returns every adaptable linear layer with its path, in a fixed order.
    fn linears_mut(&mut self) -> Vec<(String, &mut Linear)>;

    /// Returns true if `path` names a parameter of a reward model's head
    /// ([`Backbone::project`](crate::Backbone::project)). Such a parameter trains beside the
    /// adapters.
    fn is_head(path: &str) -> bool {
        let _ = path;
        false
    }

    /// Freezes the model and attaches fresh adapters to the target layers. Only the adapters and
    /// the parts of a head ([`Self::is_head`]) train.
    ///
    /// # Errors
    /// A value is out of range, the targets match no layer, or the model already has adapters.
    /// Merge existing adapters first ([`Self::merged`]); attaching new ones would lose what they
    /// learned.
    fn with_lora(mut self, config: &LoraConfig, key: Key) -> Result<Self, OptionError> {
        config.check()?;
        let adapted = self
            .linears_mut()
            .into_iter()
            .find(|(_, linear)| linear.lora.is_some())
            .map(|(path, _)| path);
        if let Some(path) = adapted {
            return Err(OptionError::new(
                "lora",
                format!("attached to {path} already"),
                "merged first, with `merged()`",
            ));
        }
        let mut model = set_trainable(self, Self::is_head);
        let mut attached = 0;
        let mut names = Vec::new();
        for (index, (path, linear)) in model.linears_mut().into_iter().enumerate() {
            let wanted = config.targets.is_empty()
                || config
                    .targets
                    .iter()
                    .any(|target| path == *target || path.ends_with(&format!(".{target}")));
            if wanted {
                let dims = linear.weight.dims();
                let device = linear.weight.device();
                linear.lora = Some(Lora::new(
                    dims,
                    config.rank,
                    config.alpha,
                    config.dropout,
                    key.with(index as u64),
                    &device,
                ));
                attached += 1;
            }
            names.push(path);
        }
        if attached == 0 {
            return Err(OptionError::new(
                "lora.targets",
                config.targets.join(","),
                &format!(
                    "layer names such as {}",
                    names.first().map_or("q_proj", |n| n)
                ),
            ));
        }
        Ok(model)
    }

    /// Returns true if any layer carries an adapter.
    fn has_lora(&mut self) -> bool {
        self.linears_mut()
            .iter()
            .any(|(_, linear)| linear.lora.is_some())
    }

    /// Returns the same model with linear layers that multiply in another precision, in training
    /// and in scoring. Log-probabilities are still computed in f32, and so is everything that a
    /// cache of the model computes ([`CausalLm::new_cache`](crate::CausalLm::new_cache)). `valid()`
    /// keeps the choice, but files do not store it. A file of reference log-probabilities should
    /// therefore come from a model of the same precision.
    ///
    /// # Errors
    /// The model's device does not support the precision.
    fn with_precision(mut self, precision: Precision) -> Result<Self, OptionError> {
        for (_, linear) in self.linears_mut() {
            precision.check(&linear.weight.val().device())?;
            linear.precision = precision;
        }
        Ok(self)
    }

    /// Returns the same function without adapters: each adapter is folded into its layer's weight.
    /// All parameters train again, including those frozen by hand.
    #[must_use]
    fn merged(mut self) -> Self {
        for (_, linear) in self.linears_mut() {
            *linear = linear.clone().merged();
        }
        set_trainable(self, |_| true)
    }
}
