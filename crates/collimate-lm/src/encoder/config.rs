//! Configuration of an encoder.

use burn::tensor::Device;
use collimate_core::{OptionError, Range};
use collimate_nn::LayerNorm;
use serde::{Deserialize, Serialize};

use super::deberta::DebertaConfig;
use super::families::{EncoderType, Family};
use super::modern::ModernConfig;
use crate::bounds::MOST_PARAMETERS;

/// Configuration of an encoder; names as in Hugging Face's `config.json` of a BERT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncoderConfig {
    /// Family of the encoder.
    pub model_type: EncoderType,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads, a divisor of `hidden_size`.
    pub num_attention_heads: usize,
    /// Number of rows of the table of positions; some families leave the first rows unused. Without
    /// a table, the length of the longest sequence.
    pub max_position_embeddings: usize,
    /// Number of rows of the token-type table, 0 in families without token types. All tokens are of
    /// type 0.
    pub type_vocab_size: usize,
    /// Number added to the variance in the normalisation.
    pub layer_norm_eps: f64,
    /// Dropout of embeddings and of each sublayer's output in training.
    pub hidden_dropout_prob: f64,
    /// Dropout in a classification head in training; null means `hidden_dropout_prob`.
    pub classifier_dropout: Option<f64>,
    /// Standard deviation of initial weights.
    pub initializer_range: f64,
    /// Id of the padding token. In some families positions begin after it.
    pub pad_token_id: Option<u32>,
    /// Options of ModernBERT layers; null gives BERT layers.
    pub modern: Option<ModernConfig>,
    /// Relative positions of a DeBERTa; null means none.
    pub deberta: Option<DebertaConfig>,
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self {
            model_type: EncoderType::Bert,
            vocab_size: 30522,
            hidden_size: 384,
            intermediate_size: 1536,
            num_hidden_layers: 6,
            num_attention_heads: 12,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            hidden_dropout_prob: 0.1,
            classifier_dropout: None,
            initializer_range: 0.02,
            pad_token_id: Some(0),
            modern: None,
            deberta: None,
        }
    }
}

impl EncoderConfig {
    /// Checks that the sizes fit together.
    ///
    /// # Errors
    /// Names the first value that does not fit.
    pub fn check(&self) -> Result<(), OptionError> {
        for (name, value) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ] {
            // Each family says if it has token types.
            let least = usize::from(name != "type_vocab_size");
            let allowed = format!("at least {least}");
            OptionError::check(name, value, &allowed, value >= least)?;
            let holds = u32::try_from(value).is_ok();
            OptionError::check(name, value, "at most 2^32 − 1", holds)?;
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(OptionError::new(
                "num_attention_heads",
                self.num_attention_heads,
                &format!("a divisor of hidden_size = {}", self.hidden_size),
            ));
        }
        self.family().check(self)?;
        if let Some(modern) = &self.modern {
            modern.check(self)?;
        }
        if let Some(deberta) = &self.deberta {
            deberta.check(self)?;
        }
        let parameters = self.parameter_count();
        if parameters > MOST_PARAMETERS {
            let allowed = format!(
                "smaller: a model has at most 2^40 parameters, and hidden_size = {}, \
                 intermediate_size = {} and vocab_size = {} make {parameters}",
                self.hidden_size, self.intermediate_size, self.vocab_size
            );
            let layers = self.num_hidden_layers;
            return Err(OptionError::new("num_hidden_layers", layers, &allowed));
        }
        Range::BelowOne.check("hidden_dropout_prob", self.hidden_dropout_prob)?;
        if let Some(probability) = self.classifier_dropout {
            Range::BelowOne.check("classifier_dropout", probability)?;
        }
        Range::Positive.check("layer_norm_eps", self.layer_norm_eps)
    }

    pub(crate) fn family(&self) -> &'static Family {
        Family::of(self.model_type)
    }

    /// Returns the position of a sequence's first token, as a row of the table of positions.
    pub(super) fn first_position(&self) -> usize {
        (self.family().first_position)(self)
    }

    /// Returns the length of the longest sequence that the encoder takes, in tokens.
    pub fn max_positions(&self) -> usize {
        let first = self.first_position();
        self.max_position_embeddings.saturating_sub(first)
    }

    /// Creates a normalisation of the hidden states.
    pub(super) fn norm(&self, device: &Device) -> LayerNorm {
        let (width, eps) = (self.hidden_size, self.layer_norm_eps);
        match self.norm_bias() {
            true => LayerNorm::new(width, eps, device),
            false => LayerNorm::without_bias(width, eps, device),
        }
    }

    /// Returns true if normalisations have offsets.
    pub(super) fn norm_bias(&self) -> bool {
        self.modern.as_ref().is_none_or(|modern| modern.norm_bias)
    }

    /// Returns true if the dense layer of a classification head has a bias.
    pub(super) fn head_bias(&self) -> bool {
        let modern = self.modern.as_ref();
        modern.is_none_or(|modern| modern.classifier_bias)
    }

    /// Returns the dropout of the embeddings.
    pub(super) fn embedding_dropout(&self) -> f64 {
        let modern = self.modern.as_ref();
        modern.map_or(self.hidden_dropout_prob, |modern| modern.embedding_dropout)
    }

    /// Returns the dropout in a classification head.
    pub(super) fn head_dropout(&self) -> f64 {
        self.classifier_dropout.unwrap_or(self.hidden_dropout_prob)
    }
}
