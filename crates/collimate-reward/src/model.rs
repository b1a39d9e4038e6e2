//! Reward models: a backbone with a scalar head.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Tensor;
use collimate_core::{Key, OptionError};
use collimate_nn::{
    AdapterBase, Backbone, DeviceBatch, Forward, HfFolder, HfReward, LoadError, LoadOptions,
    LoraConfig, Pooling, Precision, RewardParts, RowForward, SaveError, SaveOptions, ScalarHead,
    pooled,
};
use collimate_ops::SavedType;

/// A reward model, which gives one real number per sequence; larger is better.
///
/// ```text
/// r(x, y) = w · p(pool(h(x, y))) (+ b)
/// ```
///
/// `p` is the identity, except for a model that was read with a head of several layers. Then `p` is
/// all layers of the head except the last ([`Backbone::project`]).
#[derive(Module, Debug)]
pub struct RewardModel<B: Backbone> {
    /// The network.
    pub backbone: B,
    /// Scalar head of the network.
    pub head: ScalarHead,
    #[module(skip)]
    pooling: Pooling,
}

impl<B: Backbone> RewardModel<B> {
    /// Joins a backbone and a given head.
    pub fn from_parts(backbone: B, head: ScalarHead, pooling: Pooling) -> Self {
        Self {
            backbone,
            head,
            pooling,
        }
    }

    /// Returns the pooling of sequences.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// Returns one score per sequence of the batch.
    ///
    /// # Shapes
    /// Result `[sequences]`.
    pub fn score(&self, batch: &DeviceBatch, f: Forward) -> Tensor<1> {
        let pooled = pooled(&self.backbone, batch, self.pooling, f);
        let examples = batch.sequence_examples().filter(|_| f.dropout.is_some());
        let rows = RowForward::new(f, examples.as_deref());
        self.head.forward(self.backbone.project(pooled, rows))
    }

    /// Returns the model with fresh adapters on its linear layers. Adapters and head are trained;
    /// all other parameters are frozen.
    ///
    /// # Errors
    /// Same as [`collimate_nn::Adaptable::with_lora`].
    pub fn with_lora(self, config: &LoraConfig, key: Key) -> Result<Self, OptionError> {
        Ok(Self {
            backbone: self.backbone.with_lora(config, key)?,
            ..self
        })
    }

    /// Returns the model with recomputation in its backbone switched on or off. With recomputation,
    /// the blocks keep only their inputs for the backward pass ([`Backbone::with_recompute`]).
    #[must_use]
    pub fn with_recompute(self, recompute: bool) -> Self {
        Self {
            backbone: self.backbone.with_recompute(recompute),
            ..self
        }
    }

    /// Returns the model whose backbone saves activations for the backward pass in this type
    /// ([`Backbone::with_saved`]).
    #[must_use]
    pub fn with_saved(self, saved: SavedType) -> Self {
        Self {
            backbone: self.backbone.with_saved(saved),
            ..self
        }
    }

    /// Returns the model with its backbone multiplying in another precision
    /// ([`collimate_nn::Adaptable::with_precision`]); the head stays f32.
    ///
    /// # Errors
    /// The model's device does not support the precision.
    pub fn with_precision(self, precision: Precision) -> Result<Self, OptionError> {
        Ok(Self {
            backbone: self.backbone.with_precision(precision)?,
            ..self
        })
    }

    /// Returns the model with its adapters folded into the weights; the function is the same. All
    /// parameters of the backbone are trained again; the head is unchanged.
    #[must_use]
    pub fn merged(self) -> Self {
        Self {
            backbone: self.backbone.merged(),
            ..self
        }
    }

    /// Returns the model for use after a training ([`collimate_nn::Adaptable::settled`]).
    #[must_use]
    pub fn settled(self) -> Self {
        Self {
            backbone: self.backbone.settled(),
            ..self
        }
    }

    /// Returns the model with attached adapters folded in
    /// ([`collimate_nn::Adaptable::without_adapters`]).
    #[must_use]
    pub fn without_adapters(self) -> Self {
        Self {
            backbone: self.backbone.without_adapters(),
            ..self
        }
    }
}

impl<B: HfReward> RewardModel<B> {
    /// Joins a backbone and a fresh head with weights from N(0, 1/(hidden + 1)), as in learning to
    /// summarise from feedback ([arXiv:2009.01325](https://arxiv.org/abs/2009.01325), appendix B).
    pub fn with_fresh_head(backbone: B, pooling: Pooling, key: Key) -> Self {
        let hidden = backbone.hidden_size();
        let std = 1.0 / ((hidden + 1) as f64).sqrt();
        let head = ScalarHead::new(hidden, B::HEAD_BIAS, std, key, &backbone.device());
        Self::from_parts(backbone, head, pooling)
    }

    /// Reads a folder. If it has no head, a fresh head is drawn from `key`.
    ///
    /// # Errors
    /// Same as [`HfReward::load_reward`].
    pub fn load_or_fresh<'a>(
        dir: &Path,
        key: Key,
        options: impl Into<LoadOptions<'a>>,
    ) -> Result<Self, LoadError> {
        Self::load_label_or_fresh(dir, None, key, options)
    }

    /// Same as [`load_or_fresh`](Self::load_or_fresh), with the score of one of several labels
    /// ([`HfReward::load_label`]).
    ///
    /// # Errors
    /// Same as [`HfReward::load_label`].
    pub fn load_label_or_fresh<'a>(
        dir: &Path,
        label: Option<&str>,
        key: Key,
        options: impl Into<LoadOptions<'a>>,
    ) -> Result<Self, LoadError> {
        let parts = B::load_label(dir, label, options)?;
        Ok(match parts.head {
            Some(head) => Self::from_parts(parts.backbone, head, parts.pooling),
            None => Self::with_fresh_head(parts.backbone, parts.pooling, key),
        })
    }

    /// Reads a folder whose head gives one score for each of several labels. The reward is the
    /// score of the label with the name or number `label`. Without `label`, reads the folder like
    /// [`HfFolder::load`].
    ///
    /// # Errors
    /// Same as [`HfReward::load_label`], and a folder without a head.
    pub fn load_label<'a>(
        dir: &Path,
        label: Option<&str>,
        options: impl Into<LoadOptions<'a>>,
    ) -> Result<Self, LoadError> {
        let RewardParts {
            backbone,
            head,
            pooling,
        } = B::load_label(dir, label, options)?;
        match head {
            Some(head) => Ok(Self::from_parts(backbone, head, pooling)),
            None => Err(LoadError::Invalid {
                path: dir.to_owned(),
                message:
                    "holds a backbone without a reward head: train one with `collimate reward` or \
                          `collimate ser`, or score log-probabilities instead (`collimate score --logprobs`)"
                        .to_owned(),
            }),
        }
    }
}

/// Reads and writes folders that other libraries open; see [`HfReward::save_reward`]. A folder
/// without a head is refused: use [`RewardModel::load_or_fresh`] for it.
impl<B: HfReward> HfFolder for RewardModel<B> {
    fn load<'a>(dir: &Path, options: impl Into<LoadOptions<'a>>) -> Result<Self, LoadError> {
        Self::load_label(dir, None, options)
    }

    fn save_with(&self, options: &SaveOptions, dir: &Path) -> Result<(), SaveError> {
        self.backbone
            .save_reward(&self.head, self.pooling, options, dir)
    }

    fn save_adapter(
        &self,
        base: &AdapterBase<'_>,
        options: &SaveOptions,
        dir: &Path,
    ) -> Result<(), SaveError> {
        let (head, pooling) = (&self.head, self.pooling);
        self.backbone
            .save_reward_adapter(head, pooling, base, options, dir)
    }

    fn context_length(&self) -> usize {
        self.backbone.max_positions()
    }
}
