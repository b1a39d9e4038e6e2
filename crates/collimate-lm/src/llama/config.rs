//! Configuration of a decoder: a Llama or a related family.

use collimate_ops::Heads;
use serde::{Deserialize, Serialize};

use super::families::{Family, ModelType};
use super::layer::LayerKind;
use super::rope::{LayerRope, RopeScaling};

/// Configuration of a decoder; names as in Hugging Face's `config.json`.
///
/// `model_type` names the family. Without it the decoder is a Llama, or a Mistral if
/// `sliding_window` is set. A family has the parts that its class in transformers has;
/// [`check`](Self::check) refuses others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LlamaConfig {
    /// Family of the decoder. Null means a Llama, or a Mistral if `sliding_window` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_type: Option<ModelType>,
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
    /// Size of a head, even; null means `hidden_size / num_attention_heads`.
    pub head_dim: Option<usize>,
    /// Length of the longest sequence in tokens, at least 1.
    pub max_position_embeddings: usize,
    /// Number added to the mean square, or to the variance, in the normalisation.
    pub rms_norm_eps: f64,
    /// Largest number of tokens that a token sees, including itself. Null lets it see all tokens
    /// before it. Without `layer_types` the window applies to all layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sliding_window: Option<usize>,
    /// Kind of each layer, if only some layers have the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_types: Option<Vec<LayerKind>>,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Scaling of the rotary frequencies; null means none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
    /// Rotary positions of sliding layers, if they differ from those of the other layers. For Gemma
    /// 3 and OLMo 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sliding_rope: Option<LayerRope>,
    /// Fraction of a head that turns with its position, above 0 and at most 1; null means the whole
    /// head. For Phi-3 and GPT-NeoX.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partial_rotary_factor: Option<f64>,
    /// For each layer 1, or 0 if queries and keys do not turn with their positions. Null turns all
    /// layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_rope_layers: Option<Vec<u8>>,
    /// If true, uses the embedding as the output matrix.
    pub tie_word_embeddings: bool,
    /// If true, gives the attention projections a bias.
    pub attention_bias: bool,
    /// If true, gives queries, keys and values a bias, but not the output of the attention.
    #[serde(skip_serializing_if = "is_false")]
    pub qkv_bias: bool,
    /// If true, normalises queries and keys before they turn: over each head, or over all heads
    /// (OLMo 2 and 3).
    #[serde(skip_serializing_if = "is_false")]
    pub qk_norm: bool,
    /// If true, gives the feed-forward projections a bias.
    pub mlp_bias: bool,
    /// Number whose root divides the scores of queries and keys; null means the size of a head. For
    /// Gemma 2 and 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_pre_attn_scalar: Option<f64>,
    /// Bound c of the scores: each becomes c·tanh(score / c). For Gemma 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attn_logit_softcapping: Option<f64>,
    /// Bound c of the logits: each becomes c·tanh(logit / c). For Gemma 2 and 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_logit_softcapping: Option<f64>,
    /// Factor of the embedding. For Granite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_multiplier: Option<f64>,
    /// Factor of the output that each attention and feed-forward layer adds. For Granite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual_multiplier: Option<f64>,
    /// Factor of the scores, which replaces one over the root of the head size. For Granite. In
    /// GPT-2 it is 1 or null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention_multiplier: Option<f64>,
    /// Divisor of the logits. For Granite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logits_scaling: Option<f64>,
    /// If true, divides the scores of the first layer by one, of the second by two, and so on. For
    /// GPT-2.
    #[serde(skip_serializing_if = "is_false")]
    pub scale_attn_by_inverse_layer_idx: bool,
    /// If true, attention and feed-forward layer read the same states. For GPT-NeoX.
    #[serde(skip_serializing_if = "is_false")]
    pub use_parallel_residual: bool,
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
            model_type: None,
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
            layer_types: None,
            rope_theta: 1e4,
            rope_scaling: None,
            sliding_rope: None,
            partial_rotary_factor: None,
            no_rope_layers: None,
            tie_word_embeddings: true,
            attention_bias: false,
            qkv_bias: false,
            qk_norm: false,
            mlp_bias: false,
            query_pre_attn_scalar: None,
            attn_logit_softcapping: None,
            final_logit_softcapping: None,
            embedding_multiplier: None,
            residual_multiplier: None,
            attention_multiplier: None,
            logits_scaling: None,
            scale_attn_by_inverse_layer_idx: false,
            use_parallel_residual: false,
            initializer_range: 0.02,
            bos_token_id: None,
            eos_token_id: None,
            pad_token_id: None,
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

impl LlamaConfig {
    /// Returns the size of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
            .unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// Returns the heads of the attention layers.
    pub(crate) fn heads(&self) -> Heads {
        Heads {
            query: self.num_attention_heads,
            key_value: self.num_key_value_heads,
            head_dim: self.head_dim(),
        }
    }

    /// Returns the family of the decoder.
    pub(crate) fn family(&self) -> &'static Family {
        let alone = match self.sliding_window {
            None => ModelType::Llama,
            Some(_) => ModelType::Mistral,
        };
        Family::of(self.model_type.unwrap_or(alone))
    }
}
