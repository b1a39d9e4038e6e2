//! A backbone with a scalar head.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use collimate_core::{Key, OptionError};
use collimate_nn::{
    Backbone, DeviceBatch, Forward, HfFolder, HfReward, LoadError, LoraConfig, Pooling, Precision,
    RewardParts, RowForward, SaveError, ScalarHead, TokenizerFacts, pooled,
};

/// A reward model: one real number per sequence, larger is better.
///
/// ```text
/// r(x, y) = w · p(pool(h(x, y))) (+ b)
/// ```
///
/// `p` changes nothing, but where the model was read with a head of several layers: then `p` is all of them
/// but the last ([`Backbone::project`]).
#[derive(Module, Debug)]
pub struct RewardModel<B: Backbone> {
    /// The network.
    pub backbone: B,
    /// Its scalar head.
    pub head: ScalarHead,
    #[module(skip)]
    pooling: Pooling,
}

impl<B: Backbone> RewardModel<B> {
    /// A backbone with a given head.
    pub fn from_parts(backbone: B, head: ScalarHead, pooling: Pooling) -> Self {
        Self {
            backbone,
            head,
            pooling,
        }
    }

    /// How sequences are pooled.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// One score per sequence of the batch.
    ///
    /// # Shapes
    /// Result `[sequences]`.
    pub fn score(&self, batch: &DeviceBatch, f: Forward) -> Tensor<1> {
        let pooled = pooled(&self.backbone, batch, self.pooling, f);
        let examples = batch.sequence_examples().filter(|_| f.dropout.is_some());
        let rows = RowForward::new(f, examples.as_deref());
        self.head.forward(self.backbone.project(pooled, rows))
    }

    /// The same model with fresh adapters on its linear layers: adapters and head train, the rest
    /// is frozen.
    ///
    /// # Errors
    /// As [`collimate_nn::Adaptable::with_lora`].
    pub fn with_lora(self, config: &LoraConfig, key: Key) -> Result<Self, OptionError> {
        Ok(Self {
            backbone: self.backbone.with_lora(config, key)?,
            ..self
        })
    }

    /// The same model, whose backbone's blocks keep only their inputs for backward, or keep all
    /// ([`Backbone::with_recompute`]).
    #[must_use]
    pub fn with_recompute(self, recompute: bool) -> Self {
        Self {
            backbone: self.backbone.with_recompute(recompute),
            ..self
        }
    }

    /// The same model, whose backbone multiplies in another precision
    /// ([`collimate_nn::Adaptable::with_precision`]); the head stays f32.
    ///
    /// # Errors
    /// The model's device does not have that precision.
    pub fn with_precision(self, precision: Precision) -> Result<Self, OptionError> {
        Ok(Self {
            backbone: self.backbone.with_precision(precision)?,
            ..self
        })
    }

    /// The same function with adapters folded into the weights. All of the backbone trains again;
    /// the head stays as it is.
    #[must_use]
    pub fn merged(self) -> Self {
        Self {
            backbone: self.backbone.merged(),
            ..self
        }
    }
}

impl<B: HfReward> RewardModel<B> {
    /// A backbone with a fresh head: weights from N(0, 1/(hidden + 1)), as in learning to
    /// summarise from feedback ([arXiv:2009.01325](https://arxiv.org/abs/2009.01325), appendix B).
    pub fn with_fresh_head(backbone: B, pooling: Pooling, key: Key) -> Self {
        let hidden = backbone.hidden_size();
        let std = 1.0 / ((hidden + 1) as f64).sqrt();
        let head = ScalarHead::new(hidden, B::HEAD_BIAS, std, key, &backbone.device());
        Self::from_parts(backbone, head, pooling)
    }

    /// Reads a folder. Without a head in it, a fresh one is drawn from `key`.
    ///
    /// # Errors
    /// As [`HfReward::load_reward`].
    pub fn load_or_fresh(dir: &Path, key: Key, device: &Device) -> Result<Self, LoadError> {
        Self::load_label_or_fresh(dir, None, key, device)
    }

    /// As [`load_or_fresh`](Self::load_or_fresh), with the score of one label of several
    /// ([`HfReward::load_label`]).
    ///
    /// # Errors
    /// As [`HfReward::load_label`].
    pub fn load_label_or_fresh(
        dir: &Path,
        label: Option<&str>,
        key: Key,
        device: &Device,
    ) -> Result<Self, LoadError> {
        let parts = B::load_label(dir, label, device)?;
        Ok(match parts.head {
            Some(head) => Self::from_parts(parts.backbone, head, parts.pooling),
            None => Self::with_fresh_head(parts.backbone, parts.pooling, key),
        })
    }

    /// Reads a folder whose head gives one score for each of several labels: the reward is the score of
    /// the label with the name or the number `label`. Without `label` as [`HfFolder::load`].
    ///
    /// # Errors
    /// As [`HfReward::load_label`], and a folder without a head.
    pub fn load_label(dir: &Path, label: Option<&str>, device: &Device) -> Result<Self, LoadError> {
        let RewardParts {
            backbone,
            head,
            pooling,
        } = B::load_label(dir, label, device)?;
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

/// In the form that other libraries open; see [`HfReward::save_reward`]. A folder without a head is
/// refused: [`RewardModel::load_or_fresh`] gives it one.
impl<B: HfReward> HfFolder for RewardModel<B> {
    fn load(dir: &Path, device: &Device) -> Result<Self, LoadError> {
        Self::load_label(dir, None, device)
    }

    fn save(&self, dir: &Path) -> Result<(), SaveError> {
        self.save_with(&TokenizerFacts::default(), dir)
    }

    fn save_with(&self, facts: &TokenizerFacts, dir: &Path) -> Result<(), SaveError> {
        let length = facts.max_length.unwrap_or_else(|| self.context_length());
        self.backbone
            .save_reward(&self.head, self.pooling, facts.pad_token_id, length, dir)
    }

    fn context_length(&self) -> usize {
        self.backbone.max_positions()
    }
}
