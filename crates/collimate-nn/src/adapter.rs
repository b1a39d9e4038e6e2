//! What is done to all linear layers of any model: attaching low-rank adapters, folding them in,
//! choosing a precision.

use burn::module::Module;
use collimate_core::{Key, OptionError, Range};
use serde::{Deserialize, Serialize};

use crate::linear::{Linear, Lora};
use crate::params::set_trainable;
use crate::precision::Precision;

/// Low-rank adaptation: rank, scale, dropout and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LoraConfig {
    /// Rank of the update, 1 to 65536.
    pub rank: usize,
    /// Scale of the update, above 0: the update is multiplied by `alpha / rank`.
    pub alpha: f64,
    /// Dropout of the adapters' input in training, at least 0 and below 1.
    pub dropout: f64,
    /// Names of the linear layers that get an adapter: a layer counts if its path ends in one of
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
    /// Checks the values.
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
    /// Every adaptable linear layer with its path, in a fixed order.
    fn linears_mut(&mut self) -> Vec<(String, &mut Linear)>;

    /// Returns true for the path of a parameter that belongs to the head of a reward model
    /// ([`Backbone::project`](crate::Backbone::project)) and therefore trains beside adapters.
    fn is_head(path: &str) -> bool {
        let _ = path;
        false
    }

    /// Freezes the model and attaches fresh adapters to the target layers; only those train, and the
    /// parts of a head ([`Self::is_head`]).
    ///
    /// # Errors
    /// A value out of range, targets that name no layer, or a model that has adapters: merge those
    /// first ([`Self::merged`]), or what they learned would be lost.
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
                "merge the adapters first, with `merged()`",
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

    /// True if any layer carries an adapter.
    fn has_lora(&mut self) -> bool {
        self.linears_mut()
            .iter()
            .any(|(_, linear)| linear.lora.is_some())
    }

    /// The same model, whose linear layers multiply in another precision, in training and in scoring.
    /// Log-probabilities are computed in f32 still, and so is what a cache of the model computes
    /// ([`CausalLm::new_cache`](crate::CausalLm::new_cache)). `valid()` keeps the choice, files do not:
    /// a reference's log-probabilities in a file should come from a model of the same precision.
    ///
    /// # Errors
    /// The model's device does not have that precision.
    fn with_precision(mut self, precision: Precision) -> Result<Self, OptionError> {
        for (_, linear) in self.linears_mut() {
            precision.check(&linear.weight.val().device())?;
            linear.precision = precision;
        }
        Ok(self)
    }

    /// The same function without adapters: each is folded into its layer's weight. All parameters
    /// train again, those frozen by hand too.
    #[must_use]
    fn merged(mut self) -> Self {
        for (_, linear) in self.linears_mut() {
            *linear = linear.clone().merged();
        }
        set_trainable(self, |_| true)
    }
}
