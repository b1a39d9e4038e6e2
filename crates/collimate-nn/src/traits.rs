//! Model interface that alignment algorithms rely on.

use std::path::Path;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use collimate_ops::{CacheType, PackedType, SavedType, Visibility};

use crate::adapter::Adaptable;
use crate::batch::DeviceBatch;
use crate::cache::KvCache;
use crate::error::{LoadError, SaveError};
use crate::forward::{Adapters, Forward, RowForward};
use crate::head::ScalarHead;
use crate::load::LoadOptions;
use crate::output::OutputHead;
use crate::pooling::Pooling;
use crate::save::{AdapterBase, SaveOptions};

/// A network from tokens to hidden states.
pub trait Backbone: Module + ModuleDisplay + Adaptable + Sync + 'static {
    /// Says if a token sees the tokens after it. Only causal models can share prompts. A model in
    /// which a token sees only some of the tokens before it narrows the batch's plan itself
    /// ([`AttentionPlan::with_window`](collimate_ops::AttentionPlan::with_window)).
    const VISIBILITY: Visibility;

    /// Computes the hidden states after the last layer and its normalisation.
    ///
    /// # Shapes
    /// Result `[tokens, hidden_size]`.
    fn hidden(&self, batch: &DeviceBatch, f: Forward) -> Tensor<2>;

    /// Computes [`Self::hidden`] for the given rows only, in the order given. A repeated index is
    /// repeated in the output. The indices are on the host, so that no pass has to read them back
    /// from a device. Log-probabilities and most scores need only a few rows, so a model
    /// can skip work that these rows do not depend on, such as most of its last layer. In the last
    /// layer, dropout masks are drawn per requested row. They differ from the masks of `hidden`,
    /// and repeated rows get different masks.
    ///
    /// # Shapes
    /// Result `[rows, hidden_size]`.
    fn hidden_at(&self, batch: &DeviceBatch, rows: &[usize], f: Forward) -> Tensor<2> {
        let rows = batch.indices(rows.iter().copied());
        self.hidden(batch, f).select(0, rows)
    }

    /// Applies the layers of a reward head before its last one to pooled hidden states. Without
    /// such layers, returns the states unchanged. `f` has one row for each sequence.
    ///
    /// # Shapes
    /// `pooled: [sequences, hidden_size]`, result likewise.
    fn project(&self, pooled: Tensor<2>, f: RowForward<'_>) -> Tensor<2> {
        let _ = f;
        pooled
    }

    /// Returns the same model with recomputation switched on or off. With recomputation, blocks
    /// keep only their inputs from forward to backward ([`collimate_ops::recomputed`]). This saves
    /// memory for long sequences and large models; a step needs one more forward pass. Values and
    /// gradients are the same. `valid()` keeps the switch, but files do not store it.
    #[must_use]
    fn with_recompute(self, recompute: bool) -> Self;

    /// Returns the same model, whose blocks save their activations for the backward pass in this
    /// type ([`collimate_ops::saving`]). The forward pass is the same. `valid()` keeps the type, but
    /// files do not store it.
    #[must_use]
    fn with_saved(self, saved: SavedType) -> Self;

    /// Returns the width of the hidden states.
    fn hidden_size(&self) -> usize;

    /// Returns the length of the longest sequence that the model takes, in tokens.
    fn max_positions(&self) -> usize;

    /// Returns the number of token ids that the model knows.
    fn vocab_size(&self) -> usize;

    /// Returns the device of the weights, including its autodiff context.
    fn device(&self) -> Device;
}

/// A backbone that predicts the next token.
pub trait CausalLm: Backbone {
    /// Cache type for the tokens that the model has seen.
    type Cache: KvCache;

    /// Returns the output matrix, `[vocab, hidden_size]`. A tied model returns its embedding.
    fn output_weight(&self) -> Tensor<2>;

    /// Returns the bound c of the logits, `c · tanh(logit / c)`, as in Gemma 2. `None` means no
    /// bound.
    fn logit_softcap(&self) -> Option<f64> {
        None
    }

    /// Returns the divisor of the logits, as in Granite; 1 for none. Logits are divided before they
    /// are bounded.
    fn logit_divisor(&self) -> f64 {
        1.0
    }

    /// Returns the step from hidden states to logits. Log-probabilities are computed with it
    /// ([`token_logps`](crate::token_logps)). [`Self::output_weight`] alone may lack a divisor or a
    /// bound.
    fn output_head(&self) -> OutputHead {
        OutputHead {
            weight: self.output_weight(),
            divisor: self.logit_divisor(),
            softcap: self.logit_softcap(),
        }
    }

    /// Returns the same model with caches that copy the weights in another number type
    /// ([`PackedType`]). A smaller type makes generation faster, because a step of generation reads
    /// every weight once. Only what the cache computes is rounded: log-probabilities and training use
    /// the model's own weights. `None` copies them without rounding. `valid()` keeps the choice, but
    /// files do not store it.
    #[must_use]
    fn with_packed(self, packed: Option<PackedType>) -> Self;

    /// Returns the same model with caches that store keys and values in another number type
    /// ([`CacheType`]). `valid()` keeps the choice, but files do not store it.
    #[must_use]
    fn with_cache_type(self, stored: CacheType) -> Self;

    /// Creates a cache without rows, for a model whose weights do not change while the cache lives.
    /// The cache may hold a copy of the weights. With `Adapters::On`, the copy includes the
    /// adapters.
    fn new_cache(&self, adapters: Adapters) -> Self::Cache;

    /// Reads more tokens into rows of the cache and returns the logits of the token after each row,
    /// in the order given. Each row may be named only once and must be given at least one token.
    ///
    /// Each row must stay within [`Backbone::max_positions`]. On flex, a row's result does not
    /// depend on the other rows, bit for bit, if the row is extended alone or if every row gets one
    /// token.
    ///
    /// # Shapes
    /// Result `[rows given, vocab]`, untracked.
    fn extend(&self, rows: &[(usize, &[u32])], cache: &mut Self::Cache) -> Tensor<2>;
}

/// A model that is read from and written to a Hugging Face folder
/// (`config.json`, `model.safetensors`). The caller reads and writes the tokenizer's files.
///
/// A loaded model remembers `generation_config.json` and the keys of `config.json` that do not
/// describe the network. It writes both when it is saved.
pub trait HfFolder: Sized {
    /// Reads the folder onto a device. [`LoadOptions`] say in which number type the matrices are
    /// held.
    ///
    /// # Errors
    /// A file is missing or malformed. An architecture or option is not implemented. A tensor is
    /// missing, has another shape, has no place in the model, has a type that cannot be read, or
    /// holds a value that is not finite.
    fn load<'a>(dir: &Path, options: impl Into<LoadOptions<'a>>) -> Result<Self, LoadError>;

    /// Writes the folder with the default options.
    ///
    /// # Errors
    /// Fails as [`save_with`](Self::save_with) does.
    fn save(&self, dir: &Path) -> Result<(), SaveError> {
        self.save_with(&SaveOptions::default(), dir)
    }

    /// Writes the folder, tensor by tensor. Adapters are folded into the weights. Each file appears
    /// complete or not at all. Files that a killed save left in the folder are removed.
    ///
    /// # Errors
    /// A file cannot be written, the folder holds other weights that a reader could take instead,
    /// or the type of the file cannot hold a value.
    fn save_with(&self, options: &SaveOptions, dir: &Path) -> Result<(), SaveError>;

    /// Writes the adapters that the model has learned, with a reward model's head, as a folder of
    /// PEFT (`adapter_config.json`, `adapter_model.safetensors`). Adapters that were folded into the
    /// weights one after the other are written as one adapter, whose rank is the sum of theirs.
    ///
    /// # Errors
    /// A file cannot be written or the base model cannot be read. No adapter was trained, or the
    /// model differs from the base model by more than adapters. PEFT has no form for the head.
    fn save_adapter(
        &self,
        base: &AdapterBase<'_>,
        options: &SaveOptions,
        dir: &Path,
    ) -> Result<(), SaveError>;

    /// Returns the length of the longest sequence that the model takes, in tokens.
    fn context_length(&self) -> usize;
}

/// The parts of a saved reward model.
#[derive(Debug, Clone)]
pub struct RewardParts<B> {
    /// The network.
    pub backbone: B,
    /// Scalar head, or `None` if the folder holds only a backbone.
    pub head: Option<ScalarHead>,
    /// Pooling of the hidden states.
    pub pooling: Pooling,
}

/// A backbone that other libraries can open as a reward model once it has a head.
pub trait HfReward: Backbone + HfFolder {
    /// Pooling used by default.
    const DEFAULT_POOLING: Pooling;

    /// True if the head that other libraries expect has a bias.
    const HEAD_BIAS: bool;

    /// Reads a backbone and, if the folder has one, its scalar head.
    ///
    /// # Errors
    /// Fails as [`HfFolder::load`] does.
    fn load_reward<'a>(
        dir: &Path,
        options: impl Into<LoadOptions<'a>>,
    ) -> Result<RewardParts<Self>, LoadError>;

    /// Reads a backbone and a head with one score for each of several labels. The returned head
    /// keeps only the score of the label with the name or number `label`. Without `label`, works as
    /// [`load_reward`](Self::load_reward) does.
    ///
    /// # Errors
    /// Fails as [`HfFolder::load`] does, or if the folder does not have the label.
    fn load_label<'a>(
        dir: &Path,
        label: Option<&str>,
        options: impl Into<LoadOptions<'a>>,
    ) -> Result<RewardParts<Self>, LoadError> {
        match label {
            None => Self::load_reward(dir, options),
            Some(label) => Err(LoadError::Unsupported {
                path: dir.to_owned(),
                what: format!("label {label:?} of a decoder reward model"),
                supported: "encoders, whose labels can be chosen; a decoder has one score"
                    .to_owned(),
            }),
        }
    }

    /// Returns true if [`save_reward`](Self::save_reward) can write this pooling.
    fn expresses(&self, pooling: Pooling) -> bool {
        let _ = pooling;
        true
    }

    /// Writes backbone and head in the form that other libraries open. Adapters are folded into
    /// the weights.
    ///
    /// # Errors
    /// A file cannot be written, or the form cannot express the pooling.
    fn save_reward(
        &self,
        head: &ScalarHead,
        pooling: Pooling,
        options: &SaveOptions,
        dir: &Path,
    ) -> Result<(), SaveError>;

    /// Writes the adapters that the backbone has learned, and the head, as
    /// [`HfFolder::save_adapter`] does.
    ///
    /// # Errors
    /// Fails as [`HfFolder::save_adapter`] does, or if the form cannot express head and pooling.
    fn save_reward_adapter(
        &self,
        head: &ScalarHead,
        pooling: Pooling,
        base: &AdapterBase<'_>,
        options: &SaveOptions,
        dir: &Path,
    ) -> Result<(), SaveError>;
}
