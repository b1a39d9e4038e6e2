//! Operations on all linear layers of any model: attaching low-rank adapters, folding them in, and
//! choosing a precision.

use std::collections::BTreeMap;

use burn::module::Module;
use collimate_core::{Key, OptionError, Range};
use serde::{Deserialize, Serialize};

use crate::layer_names::{by_pattern, is_whole, names_layer};
use crate::linear::{Linear, Lora};
use crate::params::set_trainable;
use crate::precision::Precision;

/// Scale of an adapter's update.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LoraScaling {
    /// `alpha / rank`, as in the paper of LoRA.
    #[default]
    Standard,
    /// `alpha / √rank`, so that a larger rank does not learn more slowly: rsLoRA,
    /// [arXiv:2312.03732](https://arxiv.org/abs/2312.03732).
    RankStabilised,
}

impl LoraScaling {
    /// Returns the factor of the update.
    pub fn factor(self, alpha: f64, rank: usize) -> f64 {
        match self {
            Self::Standard => alpha / rank as f64,
            Self::RankStabilised => alpha / (rank as f64).sqrt(),
        }
    }
}

/// Options of low-rank adaptation: rank, scale, dropout and target layers.
///
/// The options for single layers follow PEFT: a pattern is a regular expression that must match the
/// end of a layer's path, from the beginning of a name in the path.
///
/// # Examples
/// ```
/// use collimate_nn::LoraConfig;
///
/// let config = LoraConfig {
///     targets: vec!["q_proj".into(), "v_proj".into()],
///     rank_pattern: [("layers.0.self_attn.q_proj".to_owned(), 64)].into(),
///     ..LoraConfig::default()
/// };
/// let [first, second, other] = ["0.self_attn.q_proj", "1.self_attn.q_proj", "1.mlp.up_proj"]
///     .map(|layer| config.of_layer(&format!("model.layers.{layer}")));
/// assert_eq!(first?.map(|(rank, _)| rank), Some(64));
/// assert_eq!(second?.map(|(rank, _)| rank), Some(8));
/// assert_eq!(other?, None);
/// # Ok::<(), collimate_core::OptionError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LoraConfig {
    /// Rank of the update, 1 to 65536; typically 8 to 64. A larger rank can express larger changes
    /// and costs more memory and time.
    pub rank: usize,
    /// Scale of the update, above 0. The update is multiplied by `alpha / rank`, or as `scaling`
    /// says.
    pub alpha: f64,
    /// Rule that makes the factor of the update from alpha and rank.
    pub scaling: LoraScaling,
    /// Dropout of the adapters' input in training, at least 0 and below 1.
    pub dropout: f64,
    /// Names of the linear layers that get an adapter. A layer matches if its path ends in one of
    /// the names. An empty list, or `all-linear` alone, means all linear layers.
    pub targets: Vec<String>,
    /// A regular expression for the whole paths of the layers that get an adapter, instead of
    /// `targets`.
    pub target_pattern: Option<String>,
    /// Names of layers that get no adapter although they are targets.
    pub exclude: Vec<String>,
    /// Ranks of single layers, by pattern.
    pub rank_pattern: BTreeMap<String, usize>,
    /// Alphas of single layers, by pattern.
    pub alpha_pattern: BTreeMap<String, f64>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 32.0,
            dropout: 0.1,
            scaling: LoraScaling::Standard,
            targets: Vec::new(),
            target_pattern: None,
            exclude: Vec::new(),
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
        }
    }
}

impl LoraConfig {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// Names the first value that is out of range.
    pub fn check(&self) -> Result<(), OptionError> {
        let rank = |name, rank: usize| {
            let (allowed, holds) = ("at least 1, at most 65536", 1..=65_536);
            OptionError::check(name, rank, allowed, holds.contains(&rank))
        };
        rank("lora.rank", self.rank)?;
        Range::Positive.check("lora.alpha", self.alpha)?;
        Range::BelowOne.check("lora.dropout", self.dropout)?;
        for value in self.rank_pattern.values() {
            rank("lora.rank_pattern", *value)?;
        }
        for value in self.alpha_pattern.values() {
            Range::Positive.check("lora.alpha_pattern", *value)?;
        }
        if let Some(pattern) = &self.target_pattern {
            let alone = "alone: give targets or target_pattern";
            OptionError::check(
                "lora.target_pattern",
                pattern,
                alone,
                self.targets.is_empty(),
            )?;
        }
        // Reports a malformed expression.
        self.of_layer("").map(|_| ())
    }

    /// Returns rank and factor of the update of a layer, or `None` if the layer gets no adapter.
    ///
    /// # Errors
    /// A pattern is malformed, or two patterns give a layer different values.
    pub fn of_layer(&self, path: &str) -> Result<Option<(usize, f64)>, OptionError> {
        let rank = by_pattern("lora.rank_pattern", &self.rank_pattern, path)?;
        let alpha = by_pattern("lora.alpha_pattern", &self.alpha_pattern, path)?;
        let target = match &self.target_pattern {
            Some(pattern) => is_whole("lora.target_pattern", pattern, path)?,
            None => self.all_linear() || names_layer(&self.targets, path),
        };
        let rank = rank.unwrap_or(self.rank);
        let factor = self.scaling.factor(alpha.unwrap_or(self.alpha), rank);
        Ok((target && !names_layer(&self.exclude, path)).then_some((rank, factor)))
    }

    /// Returns true if all linear layers are targets.
    fn all_linear(&self) -> bool {
        match self.targets.as_slice() {
            [] => self.target_pattern.is_none(),
            [only] => only.eq_ignore_ascii_case("all-linear"),
            _ => false,
        }
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
            if let Some((rank, scale)) = config.of_layer(&path)? {
                let dims = linear.weight.dims();
                let (key, device) = (key.with(index as u64), linear.weight.device());
                linear.lora = Some(Lora::new(dims, rank, scale, config.dropout, key, &device));
                attached += 1;
            }
            names.push(path);
        }
        if attached == 0 {
            let (name, value) = match &config.target_pattern {
                Some(pattern) => ("lora.target_pattern", pattern.clone()),
                None => ("lora.targets", config.targets.join(",")),
            };
            let example = names.first().map_or("q_proj", |name| name);
            return Err(OptionError::new(
                name,
                value,
                &format!("layer names such as {example}"),
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

    /// Returns the model for use after a training. Adapters beside weights of 32 bits are folded in
    /// ([`Self::merged`]). If any matrix is a frozen one of 16 bits, all adapters stay attached,
    /// because folding would need a copy of all weights in 32 bits.
    #[must_use]
    fn settled(mut self) -> Self {
        let half = |linear: &Linear| linear.weight.val().dtype().size() == 2;
        match self.linears_mut().iter().any(|(_, linear)| half(linear)) {
            true => self,
            false => self.merged(),
        }
    }

    /// Returns the same function without adapters: those that are attached are folded in
    /// ([`Self::merged`]). A model without adapters is unchanged.
    #[must_use]
    fn without_adapters(mut self) -> Self {
        match self.has_lora() {
            true => self.merged(),
            false => self,
        }
    }

    /// Returns the same function without adapters: each adapter is folded into its layer's weight,
    /// and the layer remembers it ([`Linear::learned`]). All parameters train again, including those
    /// frozen by hand.
    #[must_use]
    fn merged(mut self) -> Self {
        for (_, linear) in self.linears_mut() {
            *linear = linear.clone().merged();
        }
        set_trainable(self, |_| true)
    }
}
