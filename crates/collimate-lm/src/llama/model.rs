//! Decoder model, as the algorithms use it.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use collimate_core::{Key, OptionError};
use collimate_nn::{
    Adaptable, Adapters, Backbone, CausalLm, DeviceBatch, Forward, Linear, parameters,
};
use collimate_ops::{CacheType, PackedType, SavedType, Visibility, saving};

use super::config::LlamaConfig;
use super::decode::LlamaCache;
use super::parts::Trunk;
use crate::hf::Kept;
use crate::rows::hidden_at;

/// A decoder of one of the families of [`ModelType`](super::ModelType). The configuration names the
/// family and defines the parts of each layer.
///
/// Windows belong to the model. They apply to every batch, whatever the batch's plan, and to the
/// cache.
///
/// # Examples
/// A tiny decoder with random weights, and the number of its parameters:
/// ```
/// use burn::tensor::Device;
/// use collimate_core::Key;
/// use collimate_lm::{Llama, LlamaConfig};
/// use collimate_nn::Backbone;
///
/// let config = LlamaConfig { vocab_size: 50, hidden_size: 16, intermediate_size: 24,
///     num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1, ..Default::default() };
/// let model = Llama::new(&config, Key::new(0, "init"), &Device::flex())?;
/// assert_eq!(model.hidden_size(), 16);
/// assert_eq!(model.num_parameters(), 50 * 16 + (16 + 8 + 8 + 16) * 16 + 3 * 24 * 16 + 3 * 16);
/// # Ok::<(), collimate_core::OptionError>(())
/// ```
#[derive(Module, Debug)]
pub struct Llama {
    pub(crate) model: Trunk,
    pub(crate) lm_head: Option<Linear>,
    #[module(skip)]
    config: LlamaConfig,
    #[module(skip)]
    recompute: bool,
    #[module(skip)]
    saved: SavedType,
    #[module(skip)]
    packed: Option<PackedType>,
    #[module(skip)]
    cache_type: CacheType,
    #[module(skip)]
    kept: Kept,
}

impl Llama {
    /// Creates a decoder with weights from N(0, `initializer_range`²). The same key gives the same
    /// weights.
    ///
    /// # Errors
    /// The sizes do not fit together.
    pub fn new(config: &LlamaConfig, key: Key, device: &Device) -> Result<Self, OptionError> {
        config.check()?;
        Ok(Self::build(config, key, device))
    }

    fn build(config: &LlamaConfig, key: Key, device: &Device) -> Self {
        let lm_head = (!config.tie_word_embeddings).then(|| {
            Linear::new(
                [config.vocab_size, config.hidden_size],
                false,
                config.initializer_range,
                key.with(1),
                device,
            )
        });
        Self {
            model: Trunk::new(config, key.with(0), device),
            lm_head,
            config: config.clone(),
            recompute: false,
            saved: SavedType::default(),
            packed: None,
            cache_type: CacheType::default(),
            kept: Kept::default(),
        }
    }

    /// Creates a decoder of zeros, ready to be filled from a weight file.
    pub(crate) fn blank(config: &LlamaConfig, device: &Device) -> Result<Self, OptionError> {
        config.check()?;
        let undrawn = LlamaConfig {
            initializer_range: 0.0,
            ..config.clone()
        };
        Ok(Self {
            config: config.clone(),
            ..Self::build(&undrawn, Key::new(0, "blank"), device)
        })
    }

    /// Returns the same decoder with the settings of its folder besides weights and sizes.
    pub(crate) fn with_kept(self, kept: Kept) -> Self {
        Self { kept, ..self }
    }

    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    fn states(&self, batch: &DeviceBatch, rows: Option<&[usize]>, f: Forward) -> Tensor<2> {
        let config = &self.config;
        saving(self.saved, || {
            self.model.forward(batch, rows, config, f, self.recompute)
        })
    }

    /// Returns the configuration.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// Returns the number of parameters, including frozen ones.
    pub fn num_parameters(&self) -> usize {
        parameters(self).iter().map(|p| p.len()).sum()
    }
}

impl Adaptable for Llama {
    fn linears_mut(&mut self) -> Vec<(String, &mut Linear)> {
        let family = self.config.family();
        let mut found = Vec::new();
        for (index, block) in self.model.layers.iter_mut().enumerate() {
            let (attn, mlp) = (&mut block.self_attn, &mut block.mlp);
            for (name, linear) in [
                ("self_attn.q_proj", attn.q_proj.as_mut()),
                ("self_attn.k_proj", attn.k_proj.as_mut()),
                ("self_attn.v_proj", attn.v_proj.as_mut()),
                ("self_attn.qkv_proj", attn.qkv_proj.as_mut()),
                ("self_attn.o_proj", Some(&mut attn.o_proj)),
                ("mlp.gate_proj", mlp.gate_proj.as_mut()),
                ("mlp.up_proj", mlp.up_proj.as_mut()),
                ("mlp.gate_up_proj", mlp.gate_up_proj.as_mut()),
                ("mlp.down_proj", Some(&mut mlp.down_proj)),
            ] {
                let path = family.names.of(&format!("model.layers.{index}.{name}"));
                found.extend(linear.map(|linear| (path, linear)));
            }
        }
        found
    }
}

impl Backbone for Llama {
    const VISIBILITY: Visibility = Visibility::Causal;

    fn hidden(&self, batch: &DeviceBatch, f: Forward) -> Tensor<2> {
        self.states(batch, None, f)
    }

    fn hidden_at(&self, batch: &DeviceBatch, rows: &[usize], f: Forward) -> Tensor<2> {
        hidden_at(batch, rows, |rows| self.states(batch, rows, f))
    }

    fn with_recompute(self, recompute: bool) -> Self {
        Self { recompute, ..self }
    }

    fn with_saved(self, saved: SavedType) -> Self {
        Self { saved, ..self }
    }

    fn hidden_size(&self) -> usize {
        self.config.hidden_size
    }

    fn max_positions(&self) -> usize {
        self.config.max_positions()
    }

    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn device(&self) -> Device {
        self.model.embed_tokens.weight.val().device()
    }
}

impl CausalLm for Llama {
    type Cache = LlamaCache;

    fn with_packed(self, packed: Option<PackedType>) -> Self {
        Self { packed, ..self }
    }

    fn with_cache_type(self, cache_type: CacheType) -> Self {
        Self { cache_type, ..self }
    }

    fn new_cache(&self, adapters: Adapters) -> LlamaCache {
        let (output, copies) = (self.output_weight(), (adapters, self.packed));
        LlamaCache::new(&self.model, output, &self.config, copies, self.cache_type)
    }

    fn extend(&self, rows: &[(usize, &[u32])], cache: &mut LlamaCache) -> Tensor<2> {
        cache.extend(&self.model, rows)
    }

    fn logit_softcap(&self) -> Option<f64> {
        self.config.final_logit_softcapping
    }

    fn logit_divisor(&self) -> f64 {
        self.config.logits_scaling.unwrap_or(1.0)
    }

    fn output_weight(&self) -> Tensor<2> {
        match &self.lm_head {
            Some(head) => head.weight.val(),
            None => self.model.embed_tokens.weight.val(),
        }
    }
}
