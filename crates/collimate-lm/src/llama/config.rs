//! The shape of a decoder: a Llama, or a relative of one.

use collimate_core::{OptionError, Range};
use collimate_ops::Heads;
use serde::{Deserialize, Serialize};

use super::families::{Family, ModelType};
use super::layer::LayerKind;
use super::rope::RopeScaling;

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
    /// Number added to the mean square in the normalisation.
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
    /// Normalise queries and keys over each head, before they turn.
    #[serde(skip_serializing_if = "is_false")]
    pub qk_norm: bool,
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
            no_rope_layers: None,
            tie_word_embeddings: true,
            attention_bias: false,
            qkv_bias: false,
            qk_norm: false,
            mlp_bias: false,
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

    /// The family of the decoder.
    pub(crate) fn family(&self) -> &'static Family {
        let alone = match self.sliding_window {
            None => ModelType::Llama,
            Some(_) => ModelType::Mistral,
        };
        Family::of(self.model_type.unwrap_or(alone))
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
        self.family().check(self)?;
        self.check_layers()?;
        for (name, value) in [
            ("rms_norm_eps", self.rms_norm_eps),
            ("rope_theta", self.rope_theta),
            ("initializer_range", self.initializer_range),
        ] {
            Range::Positive.check(name, value)?;
        }
        if let Some(scaling) = &self.rope_scaling {
            scaling.check()?;
            // YaRN finds frequencies by the logarithm of the base.
            let holds = self.rope_theta > 1.0 || !matches!(scaling, RopeScaling::Yarn { .. });
            OptionError::check("rope_theta", self.rope_theta, "above 1 with yarn", holds)?;
        }
        Ok(())
    }

    /// Checks the lists that have an entry for each layer.
    fn check_layers(&self) -> Result<(), OptionError> {
        let layers = self.num_hidden_layers;
        let lengths = [
            ("layer_types", self.layer_types.as_ref().map(Vec::len)),
            ("no_rope_layers", self.no_rope_layers.as_ref().map(Vec::len)),
        ];
        for (name, length) in lengths {
            let length = length.unwrap_or(layers);
            let allowed = format!("a list with an entry for each of num_hidden_layers = {layers}");
            let value = format!("a list of {length}");
            OptionError::check(name, value, &allowed, length == layers)?;
        }
        let slides = |kinds: &Vec<LayerKind>| kinds.contains(&LayerKind::SlidingAttention);
        if self.layer_types.as_ref().is_some_and(slides) && self.sliding_window.is_none() {
            let reason = "set where layer_types has sliding_attention";
            return Err(OptionError::new("sliding_window", "null", reason));
        }
        let mut switches = self.no_rope_layers.iter().flatten();
        match switches.find(|&&on| on > 1) {
            None => Ok(()),
            Some(other) => Err(OptionError::new(
                "no_rope_layers",
                other,
                "0 or 1 for each layer",
            )),
        }
    }
}
