//! What an algorithm needs to know of a model.

use std::path::Path;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Int, Tensor};
use collimate_ops::Visibility;

use crate::adapter::Adaptable;
use crate::batch::DeviceBatch;
use crate::cache::KvCache;
use crate::error::{LoadError, SaveError};
use crate::forward::{Adapters, Forward, RowForward};
use crate::head::ScalarHead;
use crate::output::OutputHead;
use crate::pooling::Pooling;

/// A network from tokens to hidden states.
pub trait Backbone: Module + ModuleDisplay + Adaptable + Sync + 'static {
    /// Whether a token sees what comes after it. Prompts are shared in causal models only. A model
    /// that sees less than all before a token narrows the batch's plan itself
    /// ([`AttentionPlan::with_window`](collimate_ops::AttentionPlan::with_window)).
    const VISIBILITY: Visibility;

    /// Hidden states after the last layer and its normalisation.
    ///
    /// # Shapes
    /// Result `[tokens, hidden_size]`.
    fn hidden(&self, batch: &DeviceBatch, f: Forward) -> Tensor<2>;

    /// [`Self::hidden`] of some rows only, in the order given, a row as often as it is named: what
    /// log-probabilities and most scores need. A model can leave out what no such row depends on,
    /// as most of its last layer. Dropout in the last layer is drawn for the rows named: other masks than
    /// `hidden` has, and another for each time that a row is named.
    ///
    /// # Shapes
    /// Result `[rows, hidden_size]`.
    fn hidden_at(&self, batch: &DeviceBatch, rows: Tensor<1, Int>, f: Forward) -> Tensor<2> {
        self.hidden(batch, f).select(0, rows)
    }

    /// Applies the layers of a reward head before its last one to pooled hidden states; without
    /// such layers, returns them unchanged. `f` has one row for each sequence.
    ///
    /// # Shapes
    /// `pooled: [sequences, hidden_size]`, result likewise.
    fn project(&self, pooled: Tensor<2>, f: RowForward<'_>) -> Tensor<2> {
        let _ = f;
        pooled
    }

    /// The same model, whose blocks keep nothing but their inputs from forward to backward
    /// ([`collimate_ops::recomputed`]), or keep everything: for long sequences and large models. Values and
    /// gradients are the same; a step needs one more forward pass. `valid()` keeps the switch, files do
    /// not.
    #[must_use]
    fn with_recompute(self, recompute: bool) -> Self;

    /// Width of the hidden states.
    fn hidden_size(&self) -> usize;

    /// The longest sequence that the model takes, in tokens.
    fn max_positions(&self) -> usize;

    /// Number of token ids that the model knows.
    fn vocab_size(&self) -> usize;

    /// The device of the weights, autodiff context included.
    fn device(&self) -> Device;
}

/// A backbone that predicts the next token.
pub trait CausalLm: Backbone {
    /// What the model remembers of the tokens that it has seen.
    type Cache: KvCache;

    /// The output matrix, `[vocab, hidden_size]`; a tied model returns its embedding.
    fn output_weight(&self) -> Tensor<2>;

    /// Bound c of the logits, `c · tanh(logit / c)`, as in Gemma 2; `None` for no bound.
    fn logit_softcap(&self) -> Option<f64> {
        None
    }

    /// Divisor of the logits, as in Granite; 1 for none. Logits are divided before they are bounded.
    fn logit_divisor(&self) -> f64 {
        1.0
    }

    /// The step from hidden states to logits: what log-probabilities are computed with
    /// ([`token_logps`](crate::token_logps)), whereas [`Self::output_weight`] alone may lack a factor
    /// or a bound.
    fn output_head(&self) -> OutputHead {
        OutputHead {
            weight: self.output_weight(),
            divisor: self.logit_divisor(),
            softcap: self.logit_softcap(),
        }
    }

    /// A cache without rows, for a model whose weights do not change while it lives. It may hold a
    /// copy of them; where adapters are on, they belong to it.
    fn new_cache(&self, adapters: Adapters) -> Self::Cache;

    /// Reads more tokens into rows of the cache, each row named at most once and given at least
    /// one token, and returns the logits of the token after each row, in the order given.
    ///
    /// Each row must stay within [`Backbone::max_positions`]. On flex a row's result does not depend,
    /// bit by bit, on the others where it comes alone or where every row gets one token.
    ///
    /// # Shapes
    /// Result `[rows given, vocab]`, untracked.
    fn extend(&self, rows: &[(usize, &[u32])], cache: &mut Self::Cache) -> Tensor<2>;
}

/// A model that is read from and written to a Hugging Face folder
/// (`config.json`, `model.safetensors`). The tokenizer's files are the caller's.
///
/// A loaded model remembers `generation_config.json` and the keys of `config.json` that do not
/// describe the network, and saves them with itself.
pub trait HfFolder: Sized {
    /// Reads the folder.
    ///
    /// # Errors
    /// A missing or malformed file, an architecture or option that is not implemented, a tensor
    /// that is missing, has another shape, has no place in the model, has a type that is not read,
    /// or holds a value that is not finite.
    fn load(dir: &Path, device: &Device) -> Result<Self, LoadError>;

    /// Writes the folder; files appear whole or not at all. What an earlier save that was killed
    /// has left in the folder is removed.
    ///
    /// # Errors
    /// A file that cannot be written, or a folder that holds an index of other weights.
    fn save(&self, dir: &Path) -> Result<(), SaveError>;

    /// Writes the folder, whose configuration also says what a reader has to know of the tokenizer
    /// beside it. Only reward models have a place for that; others save as [`save`](Self::save).
    ///
    /// # Errors
    /// As [`save`](Self::save).
    fn save_with(&self, facts: &TokenizerFacts, dir: &Path) -> Result<(), SaveError> {
        let _ = facts;
        self.save(dir)
    }

    /// Returns the longest sequence that the model takes, in tokens.
    fn context_length(&self) -> usize;
}

/// Facts of a tokenizer that the configuration of a saved reward model repeats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenizerFacts {
    /// The padding token. Without one, a decoder's configuration names the padding token that it
    /// had before, else the token that begins a text.
    pub pad_token_id: Option<u32>,
    /// The longest sequence in tokens; `None`: the longest that the model takes.
    pub max_length: Option<usize>,
}

/// The parts of a saved reward model.
#[derive(Debug, Clone)]
pub struct RewardParts<B> {
    /// The network.
    pub backbone: B,
    /// Its head, or `None` where the folder holds a backbone only.
    pub head: Option<ScalarHead>,
    /// How sequences are pooled.
    pub pooling: Pooling,
}

/// A backbone that other libraries can open as a reward model once it has a head.
pub trait HfReward: Backbone + HfFolder {
    /// How sequences are pooled where nothing else is said.
    const DEFAULT_POOLING: Pooling;

    /// True if the head that other libraries expect has a bias.
    const HEAD_BIAS: bool;

    /// Reads a backbone and, where the folder has one, its scalar head.
    ///
    /// # Errors
    /// As [`HfFolder::load`].
    fn load_reward(dir: &Path, device: &Device) -> Result<RewardParts<Self>, LoadError>;

    /// Reads a backbone and a head that gives one score for each of several labels: the head then has the
    /// score of the label with the name or the number `label` alone. Without `label` as
    /// [`load_reward`](Self::load_reward).
    ///
    /// # Errors
    /// As [`HfFolder::load`], and a label that the folder does not have.
    fn load_label(
        dir: &Path,
        label: Option<&str>,
        device: &Device,
    ) -> Result<RewardParts<Self>, LoadError> {
        match label {
            None => Self::load_reward(dir, device),
            Some(label) => Err(LoadError::Unsupported {
                path: dir.to_owned(),
                what: format!("label {label:?} of a decoder reward model"),
                supported: "encoders, whose labels can be chosen; a decoder has one score"
                    .to_owned(),
            }),
        }
    }

    /// Returns false for a pooling that [`save_reward`](Self::save_reward) cannot write.
    fn expresses(&self, pooling: Pooling) -> bool {
        let _ = pooling;
        true
    }

    /// Writes backbone and head in the form that other libraries open.
    /// Adapters are folded in first. Without `pad_token_id` a decoder names the padding token of
    /// its configuration, else the one that begins a text.
    ///
    /// # Errors
    /// A file that cannot be written, or a pooling that the form cannot express.
    fn save_reward(
        &self,
        head: &ScalarHead,
        pooling: Pooling,
        pad_token_id: Option<u32>,
        max_length: usize,
        dir: &Path,
    ) -> Result<(), SaveError>;
}
