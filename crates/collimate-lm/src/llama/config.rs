//! The shape of a Llama or Mistral decoder.

use std::num::NonZeroUsize;

use collimate_core::{OptionError, Range};
use collimate_ops::Heads;
use serde::{Deserialize, Serialize};

/// The shape of a Llama or Mistral decoder; names as in Hugging Face's `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LlamaConfig {
    /// Number of token ids, at least 1.
    pub vocab_size: usize,
    /// Width of the residual stream, at least 1.
    pub hidden_size: usize,
    /// Width of the feed-forward layer, at least 1.
    pub intermediate_size: usize,
    /// Number of transformer blocks, at least 1.
    pub num_hidden_layers: usize,
    /// Number of query heads, at least 1.
    pub num_attention_heads: usize,
    /// Number of key and value heads, a divisor of the number of query heads.
    pub num_key_value_heads: usize,
    /// Size of a head, even; null is `hidden_size / num_attention_heads`.
    pub head_dim: Option<usize>,
    /// Longest sequence, in tokens, at least 1.
    pub max_position_embeddings: usize,
    /// Number added to the mean square in the normalisation.
    pub rms_norm_eps: f64,
    /// Number of tokens that a token sees at most, itself included; null lets it see all tokens
    /// before it. With a window the model is a Mistral to other libraries, and has no biases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sliding_window: Option<usize>,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Use the embedding as the output matrix.
    pub tie_word_embeddings: bool,
    /// Give the attention projections a bias.
    pub attention_bias: bool,
    /// Give the feed-forward projections a bias.
    pub mlp_bias: bool,
    /// Standard deviation of the initial weights.
    pub initializer_range: f64,
    /// Id of the token that starts a sequence.
    pub bos_token_id: Option<u32>,
    /// Id of the token that ends a sequence.
    pub eos_token_id: Option<u32>,
    /// Id of the padding token.
    pub pad_token_id: Option<u32>,
}

impl Default for LlamaConfig {
    fn default() -> Self {
        Self {
            vocab_size: 2048,
            hidden_size: 128,
            intermediate_size: 352,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            num_key_value_heads: 4,
            head_dim: None,
            max_position_embeddings: 512,
            rms_norm_eps: 1e-6,
            sliding_window: None,
            rope_theta: 1e4,
            tie_word_embeddings: true,
            attention_bias: false,
            mlp_bias: false,
            initializer_range: 0.02,
            bos_token_id: None,
            eos_token_id: None,
            pad_token_id: None,
        }
    }
}

const TOO_LARGE: &str = "at most 2^32 − 1, as are heads × head_dim";

/// Above this, a size is a mistake and not a model: 4 TiB in f32.
const MOST_PARAMETERS: u128 = 1 << 40;

impl LlamaConfig {
    /// Size of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
            .unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// The attention layers' heads.
    pub(crate) fn heads(&self) -> Heads {
        Heads {
            query: self.num_attention_heads,
            key_value: self.num_key_value_heads,
            head_dim: self.head_dim(),
        }
    }

    /// The attention layers' window.
    pub(crate) fn window(&self) -> Option<NonZeroUsize> {
        self.sliding_window.and_then(NonZeroUsize::new)
    }

    /// Checks that the sizes fit together.
    ///
    /// # Errors
    /// Names the first value that does not.
    pub fn check(&self) -> Result<(), OptionError> {
        for (name, value) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("max_position_embeddings", self.max_position_embeddings),
            ("sliding_window", self.sliding_window.unwrap_or(1)),
        ] {
            OptionError::check(name, value, "at least 1", value >= 1)?;
            // Ids and positions have 32 bits; no other size comes near.
            OptionError::check(name, value, TOO_LARGE, u32::try_from(value).is_ok())?;
        }
        if !self
            .num_attention_heads
            .is_multiple_of(self.num_key_value_heads)
        {
            return Err(OptionError::new(
                "num_key_value_heads",
                self.num_key_value_heads,
                &format!(
                    "a divisor of num_attention_heads = {}",
                    self.num_attention_heads
                ),
            ));
        }
        if self.head_dim.is_none() && !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(OptionError::new(
                "num_attention_heads",
                self.num_attention_heads,
                &format!("a divisor of hidden_size = {}", self.hidden_size),
            ));
        }
        if self.head_dim() == 0 || !self.head_dim().is_multiple_of(2) {
            return Err(OptionError::new(
                "head_dim",
                self.head_dim(),
                "even and positive: rotary positions turn pairs",
            ));
        }
        for heads in [self.num_attention_heads, self.num_key_value_heads] {
            let width = heads.checked_mul(self.head_dim());
            if width.is_none_or(|width| u32::try_from(width).is_err()) {
                return Err(OptionError::new("head_dim", self.head_dim(), TOO_LARGE));
            }
        }
        let parameters = self.parameter_count();
        if parameters > MOST_PARAMETERS {
            let allowed = format!(
                "at most 2^40 parameters in all (hidden_size = {}, intermediate_size = {}, \
                 vocab_size = {} make {parameters})",
                self.hidden_size, self.intermediate_size, self.vocab_size
            );
            let layers = self.num_hidden_layers;
            return Err(OptionError::new("num_hidden_layers", layers, &allowed));
        }
        for (name, bias) in [
            ("attention_bias", self.attention_bias),
            ("mlp_bias", self.mlp_bias),
        ] {
            if bias && self.sliding_window.is_some() {
                let reason = "false where sliding_window is set: a Mistral has no biases";
                return Err(OptionError::new(name, bias, reason));
            }
        }
        for (name, value) in [
            ("rms_norm_eps", self.rms_norm_eps),
            ("rope_theta", self.rope_theta),
            ("initializer_range", self.initializer_range),
        ] {
            Range::Positive.check(name, value)?;
        }
        Ok(())
    }
}
