//! The shape of a decoder: a Llama, or a relative of one.

use collimate_ops::Heads;
use serde::{Deserialize, Serialize};

use super::families::{Family, ModelType};
use super::layer::LayerKind;
use super::rope::{LayerRope, RopeScaling};

/// The shape of a decoder; names as in Hugging Face's `config.json`.
///
/// `model_type` names the family. Without one the decoder is a Llama, or a Mistral where
/// `sliding_window` is set. A family has the parts that its class in transformers has:
/// [`check`](Self::check) refuses others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LlamaConfig {
    /// Family of the decoder; null: a Llama, or a Mistral where `sliding_window` is set.
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
    /// Size of a head, even; null is `hidden_size / num_attention_heads`.
    pub head_dim: Option<usize>,
    /// Longest sequence, in tokens, at least 1.
    pub max_position_embeddings: usize,
    /// Number added to the mean square, or to the variance, in the normalisation.
    pub rms_norm_eps: f64,
    /// Number of tokens that a token sees at most, itself included; null lets it see all tokens
    /// before it. Without `layer_types` the window holds for all layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sliding_window: Option<usize>,
    /// Kind of each layer, where only some have the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_types: Option<Vec<LayerKind>>,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How the rotary frequencies differ from those of the base; null: they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
    /// Rotary positions of sliding layers, where they differ from those of the others: Gemma 3,
    /// OLMo 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sliding_rope: Option<LayerRope>,
    /// Share of a head that turns with its position, above 0 and at most 1; null: all of it. Phi-3,
    /// GPT-NeoX.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partial_rotary_factor: Option<f64>,
    /// For each layer 1, or 0 where queries and keys do not turn with their positions; null: all turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_rope_layers: Option<Vec<u8>>,
    /// Use the embedding as the output matrix.
    pub tie_word_embeddings: bool,
    /// Give the attention projections a bias.
    pub attention_bias: bool,
    /// Give queries, keys and values a bias, but not the output of the attention.
    #[serde(skip_serializing_if = "is_false")]
    pub qkv_bias: bool,
    /// Normalise queries and keys, before they turn: over each head, or over all (OLMo 2 and 3).
    #[serde(skip_serializing_if = "is_false")]
    pub qk_norm: bool,
    /// Give the feed-forward projections a bias.
    pub mlp_bias: bool,
    /// Scores of queries and keys are divided by the root of this number; null: by the root of the
    /// size of a head. Gemma 2 and 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_pre_attn_scalar: Option<f64>,
    /// Bound of the scores: each becomes c·tanh(score / c). Gemma 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attn_logit_softcapping: Option<f64>,
    /// Bound of the logits: each becomes c·tanh(logit / c). Gemma 2 and 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_logit_softcapping: Option<f64>,
    /// Factor of the embedding; Granite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_multiplier: Option<f64>,
    /// Factor of what each attention and feed-forward layer adds; Granite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual_multiplier: Option<f64>,
    /// Factor of the scores, in place of one over the root of the head's size; Granite. In a GPT-2,
    /// 1 or null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention_multiplier: Option<f64>,
    /// Divisor of the logits; Granite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logits_scaling: Option<f64>,
    /// Divide the scores of the first layer by one, of the second by two and so on; GPT-2.
    #[serde(skip_serializing_if = "is_false")]
    pub scale_attn_by_inverse_layer_idx: bool,
    /// Let attention and feed-forward layer read the same states; GPT-NeoX.
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

    /// The family of the decoder.
    pub(crate) fn family(&self) -> &'static Family {
        let alone = match self.sliding_window {
            None => ModelType::Llama,
            Some(_) => ModelType::Mistral,
        };
        Family::of(self.model_type.unwrap_or(alone))
    }
}
