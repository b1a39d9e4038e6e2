//! Families of decoders: the classes that folders name, with their keys and tensors. To add a
//! family, add a file here and an entry in [`ModelType`] and in [`Family::of`].

mod gemma;
mod gemma2;
mod gemma3;
mod gpt2;
mod gpt_neox;
mod granite;
mod llama;
mod ministral3;
mod mistral;
mod names;
mod olmo2;
mod olmo3;
mod phi3;
mod qwen2;
mod qwen3;
mod rope_write;
mod smollm3;
mod windows;

use collimate_core::OptionError;
use collimate_nn::LoadError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::config::LlamaConfig;
use super::design::Design;
use super::rope::RopeScaling;
use super::rope_read::RopeRules;
use crate::hf::JsonConfig;
use names::{Keys, Names};

/// A family of decoders, as `model_type` of Hugging Face's `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ModelType {
    /// Llama 2 and 3, SmolLM2, TinyLlama: no window.
    Llama,
    /// Mistral 7B: one window for all layers, or none; no biases.
    Mistral,
    /// Ministral 3: YaRN, and queries that grow with their position.
    Ministral3,
    /// Qwen2 and Qwen2.5: `qkv_bias`.
    Qwen2,
    /// Qwen3: `qk_norm`.
    Qwen3,
    /// SmolLM3: `no_rope_layers`.
    SmolLm3,
    /// Gemma: norms by 1 + w, GeGLU, an embedding of a larger scale.
    Gemma,
    /// Gemma 2: four norms a layer, bounded scores and logits, every other layer with a window.
    Gemma2,
    /// Gemma 3, text model only: `qk_norm`, and separate rotary positions for layers with windows.
    #[serde(rename = "gemma3_text")]
    Gemma3,
    /// OLMo 2: norms after each part, `qk_norm` over all heads.
    Olmo2,
    /// OLMo 3: OLMo 2 with windows.
    Olmo3,
    /// Granite 3: multipliers of embedding, scores, residuals and logits.
    Granite,
    /// Phi-3, Phi-3.5 and Phi-4 mini: joined matrices, LongRoPE.
    Phi3,
    /// GPT-NeoX, such as Pythia: layer norms, biases, a joined matrix by head.
    #[serde(rename = "gpt_neox")]
    GptNeoX,
    /// GPT-2: layer norms, biases, learned positions.
    Gpt2,
}

impl ModelType {
    /// All families.
    pub(crate) const ALL: [Self; 15] = [
        Self::Llama,
        Self::Mistral,
        Self::Ministral3,
        Self::Qwen2,
        Self::Qwen3,
        Self::SmolLm3,
        Self::Gemma,
        Self::Gemma2,
        Self::Gemma3,
        Self::Olmo2,
        Self::Olmo3,
        Self::Granite,
        Self::Phi3,
        Self::GptNeoX,
        Self::Gpt2,
    ];
}

/// Values that a family's class takes if `config.json` has no such key.
pub(crate) struct Absent {
    pub(crate) rms_norm_eps: f64,
    pub(crate) max_position_embeddings: usize,
    /// `None`: as many as there are query heads.
    pub(crate) num_key_value_heads: Option<usize>,
    /// `None`: the width divided by the number of heads.
    pub(crate) head_dim: Option<usize>,
    pub(crate) tie_word_embeddings: bool,
    /// If true, a feed-forward layer without a width is four times as wide as the residual stream.
    pub(crate) four_times_wide: bool,
}

impl Absent {
    const LLAMA: Self = Self {
        rms_norm_eps: 1e-6,
        max_position_embeddings: 2048,
        num_key_value_heads: None,
        head_dim: None,
        tie_word_embeddings: false,
        four_times_wide: false,
    };
}

/// A family: class name, parts, keys and tensors.
pub(crate) struct Family {
    pub(crate) kind: ModelType,
    /// Value of `model_type` in `config.json`.
    pub(crate) model_type: &'static str,
    /// Prefix of the family's class names.
    pub(crate) class: &'static str,
    /// Options of [`LlamaConfig`], among those in [`extras`], that the class may have.
    may: &'static [&'static str],
    /// Options that the class always has.
    must: &'static [&'static str],
    /// Keys of `config.json` that other families refuse.
    pub(crate) own_keys: &'static [&'static str],
    pub(crate) absent: Absent,
    pub(crate) design: Design,
    /// Names of the function of [`Design::activation`] in `config.json`. The first one is written.
    pub(crate) activations: &'static [&'static str],
    /// Names of sizes in `config.json`.
    pub(crate) keys: Keys,
    /// Names of tensors in files.
    pub(crate) names: Names,
    pub(crate) rope: RopeRules,
    /// True if transformers has a `…ForSequenceClassification` of the family.
    pub(crate) has_reward: bool,
    /// Reads the family's own keys into a configuration that holds the sizes.
    pub(crate) read: fn(&JsonConfig, LlamaConfig) -> Result<LlamaConfig, LoadError>,
    /// Writes the family's own keys into a `config.json` that holds the sizes.
    write: fn(&LlamaConfig, &mut Map<String, Value>),
}

/// Lists the options that not every family has, each with true if the configuration sets it.
fn extras(c: &LlamaConfig) -> [(&'static str, bool); 21] {
    let beta = matches!(
        c.rope_scaling,
        Some(RopeScaling::Yarn {
            llama_4_scaling_beta: Some(_),
            ..
        })
    );
    let long = |rope: &Option<RopeScaling>| matches!(rope, Some(RopeScaling::LongRope { .. }));
    let sliding = c.sliding_rope.as_ref();
    [
        ("attention_bias", c.attention_bias),
        ("attention_multiplier", c.attention_multiplier.is_some()),
        ("attn_logit_softcapping", c.attn_logit_softcapping.is_some()),
        ("embedding_multiplier", c.embedding_multiplier.is_some()),
        (
            "final_logit_softcapping",
            c.final_logit_softcapping.is_some(),
        ),
        ("head_dim", c.head_dim.is_some()),
        ("layer_types", c.layer_types.is_some()),
        ("llama_4_scaling_beta", beta),
        ("logits_scaling", c.logits_scaling.is_some()),
        (
            "longrope",
            long(&c.rope_scaling) || sliding.is_some_and(|rope| long(&rope.rope_scaling)),
        ),
        ("mlp_bias", c.mlp_bias),
        ("no_rope_layers", c.no_rope_layers.is_some()),
        ("partial_rotary_factor", c.partial_rotary_factor.is_some()),
        ("qk_norm", c.qk_norm),
        ("qkv_bias", c.qkv_bias),
        ("query_pre_attn_scalar", c.query_pre_attn_scalar.is_some()),
        ("residual_multiplier", c.residual_multiplier.is_some()),
        (
            "scale_attn_by_inverse_layer_idx",
            c.scale_attn_by_inverse_layer_idx,
        ),
        ("sliding_rope", c.sliding_rope.is_some()),
        ("sliding_window", c.sliding_window.is_some()),
        ("use_parallel_residual", c.use_parallel_residual),
    ]
}

impl Family {
    /// Returns the family of a type.
    pub(crate) fn of(kind: ModelType) -> &'static Self {
        match kind {
            ModelType::Gemma => &gemma::FAMILY,
            ModelType::Gemma2 => &gemma2::FAMILY,
            ModelType::Gemma3 => &gemma3::FAMILY,
            ModelType::Gpt2 => &gpt2::FAMILY,
            ModelType::GptNeoX => &gpt_neox::FAMILY,
            ModelType::Granite => &granite::FAMILY,
            ModelType::Llama => &llama::FAMILY,
            ModelType::Ministral3 => &ministral3::FAMILY,
            ModelType::Mistral => &mistral::FAMILY,
            ModelType::Olmo2 => &olmo2::FAMILY,
            ModelType::Olmo3 => &olmo3::FAMILY,
            ModelType::Phi3 => &phi3::FAMILY,
            ModelType::Qwen2 => &qwen2::FAMILY,
            ModelType::Qwen3 => &qwen3::FAMILY,
            ModelType::SmolLm3 => &smollm3::FAMILY,
        }
    }

    /// Returns the family that `config.json` names.
    pub(crate) fn named(model_type: &str) -> Option<&'static Self> {
        let mut all = ModelType::ALL.into_iter().map(Self::of);
        all.find(|family| family.model_type == model_type)
    }

    /// Lists the classes of all families for a language model or for a reward model.
    pub(crate) fn classes(task: Task) -> String {
        let families = ModelType::ALL.into_iter().map(Self::of);
        let names = families.filter_map(|family| family.class_of(task));
        names.collect::<Vec<_>>().join(", ")
    }

    /// Returns the class for a task; `None` if transformers has none.
    pub(crate) fn class_of(&self, task: Task) -> Option<String> {
        match task {
            Task::CausalLm => Some(match self.kind {
                ModelType::Gpt2 => "GPT2LMHeadModel".to_owned(),
                _ => format!("{}ForCausalLM", self.class),
            }),
            Task::Reward => self.has_reward.then(|| match self.kind {
                ModelType::Gemma3 => "Gemma3TextForSequenceClassification".to_owned(),
                _ => format!("{}ForSequenceClassification", self.class),
            }),
        }
    }

    /// Returns the class of the network without a head.
    pub(crate) fn base_class(&self) -> String {
        match self.kind {
            ModelType::Gemma3 => "Gemma3TextModel".to_owned(),
            _ => format!("{}Model", self.class),
        }
    }

    /// Refuses options that no folder of the family can express.
    pub(crate) fn check(&self, config: &LlamaConfig) -> Result<(), OptionError> {
        let names = "(model_type names the family; a sliding_window alone means a Mistral)";
        for (name, is_set) in extras(config) {
            let (may, must) = (self.may.contains(&name), self.must.contains(&name));
            let (value, allowed) = match is_set {
                true if !may && !must => ("set", format!("absent: a {} has none", self.class)),
                false if must => ("absent", format!("set: a {} has it", self.class)),
                _ => continue,
            };
            return Err(OptionError::new(name, value, &format!("{allowed} {names}")));
        }
        Ok(())
    }

    /// Turns the keys of [`LlamaConfig`], as serde writes them, into the keys of the family.
    pub(crate) fn write(&self, config: &LlamaConfig, json: &mut Map<String, Value>) {
        for key in [
            "layer_types",
            "no_rope_layers",
            "qk_norm",
            "qkv_bias",
            "sliding_rope",
        ] {
            json.remove(key);
        }
        for (key, _) in extras(config) {
            if !self.may.contains(&key) {
                json.remove(key);
            }
        }
        self.keys.rename(json);
        (self.write)(config, json);
    }
}

/// Task of a class of transformers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Predicting the next token.
    CausalLm,
    /// Scoring a sequence.
    Reward,
}
