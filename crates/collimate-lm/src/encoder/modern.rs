//! Options that only ModernBERT has.

use std::num::NonZeroUsize;

use collimate_core::{OptionError, Range};
use serde::{Deserialize, Serialize};

use super::config::EncoderConfig;
use crate::LayerKind;

/// Windows, rotary positions, biases and dropouts of a ModernBERT; names as in Hugging Face's
/// `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModernConfig {
    /// Number of tokens around a token that it sees in a sliding layer: half before it, half after
    /// it.
    pub local_attention: usize,
    /// Kind of each layer. Null: the first of every three layers sees all tokens, the others slide.
    pub layer_types: Option<Vec<LayerKind>>,
    /// Base of the rotary positions of layers that see all tokens.
    pub global_rope_theta: f64,
    /// Base of the rotary positions of sliding layers.
    pub local_rope_theta: f64,
    /// If true, the projections of the attention have biases.
    pub attention_bias: bool,
    /// If true, the feed-forward projections have biases.
    pub mlp_bias: bool,
    /// If true, the normalisations have offsets.
    pub norm_bias: bool,
    /// If true, the dense layer of a classification head has a bias.
    pub classifier_bias: bool,
    /// Dropout of the embeddings in training.
    pub embedding_dropout: f64,
    /// Dropout of the attention's output in training.
    pub attention_dropout: f64,
    /// Dropout within the feed-forward layer in training.
    pub mlp_dropout: f64,
}

impl Default for ModernConfig {
    fn default() -> Self {
        Self {
            local_attention: 128,
            layer_types: None,
            global_rope_theta: 160_000.0,
            local_rope_theta: 10_000.0,
            attention_bias: false,
            mlp_bias: false,
            norm_bias: false,
            classifier_bias: false,
            embedding_dropout: 0.0,
            attention_dropout: 0.0,
            mlp_dropout: 0.0,
        }
    }
}

impl ModernConfig {
    /// Returns the kind of a layer.
    pub(super) fn kind(&self, layer: usize) -> LayerKind {
        let named = self.layer_types.as_ref().and_then(|kinds| kinds.get(layer));
        named.copied().unwrap_or(match layer.is_multiple_of(3) {
            true => LayerKind::FullAttention,
            false => LayerKind::SlidingAttention,
        })
    }

    /// Returns the window of sliding layers: a token sees tokens at a distance below the window.
    pub(super) fn window(&self) -> NonZeroUsize {
        NonZeroUsize::MIN.saturating_add(self.local_attention / 2)
    }

    /// Checks the values within an encoder of shape `c`.
    pub(super) fn check(&self, c: &EncoderConfig) -> Result<(), OptionError> {
        let (layers, heads) = (c.num_hidden_layers, c.num_attention_heads);
        let size = c.hidden_size / heads;
        let allowed = format!(
            "a number that gives heads of an even size: with hidden_size = {}, the size is {size}",
            c.hidden_size
        );
        OptionError::check(
            "num_attention_heads",
            heads,
            &allowed,
            size.is_multiple_of(2),
        )?;
        let count = self.layer_types.as_ref().map_or(layers, Vec::len);
        let allowed = format!("a list of num_hidden_layers = {layers} kinds");
        OptionError::check("layer_types", count, &allowed, count == layers)?;
        Range::Positive.check("global_rope_theta", self.global_rope_theta)?;
        Range::Positive.check("local_rope_theta", self.local_rope_theta)?;
        Range::BelowOne.check("embedding_dropout", self.embedding_dropout)?;
        Range::BelowOne.check("attention_dropout", self.attention_dropout)?;
        Range::BelowOne.check("mlp_dropout", self.mlp_dropout)
    }
}
