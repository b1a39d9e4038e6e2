//! The encoder as the algorithms see it.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use collimate_core::{Key, OptionError};
use collimate_nn::{Adaptable, Backbone, DeviceBatch, Forward, Linear};
use collimate_ops::Visibility;

use super::config::BertConfig;
use super::parts::{Embeddings, Encoder};
use crate::hf::Kept;
use crate::rows::hidden_at;

/// A BERT encoder without pooler. Dropout of attention weights is not applied in training; dropout
/// of embeddings and sublayers is.
#[derive(Module, Debug)]
pub struct Bert {
    pub(crate) embeddings: Embeddings,
    pub(crate) encoder: Encoder,
    #[module(skip)]
    config: BertConfig,
    #[module(skip)]
    recompute: bool,
    #[module(skip)]
    kept: Kept,
}

impl Bert {
    /// An encoder with weights from N(0, `initializer_range`²); the same key, the same weights.
    ///
    /// # Errors
    /// Sizes that do not fit together.
    pub fn new(config: &BertConfig, key: Key, device: &Device) -> Result<Self, OptionError> {
        config.check()?;
        Ok(Self::build(config, key, device))
    }

    /// An encoder of zeros that a weight file is read into.
    pub(crate) fn blank(config: &BertConfig, device: &Device) -> Result<Self, OptionError> {
        config.check()?;
        let undrawn = BertConfig {
            initializer_range: 0.0,
            ..config.clone()
        };
        Ok(Self {
            config: config.clone(),
            ..Self::build(&undrawn, Key::new(0, "blank"), device)
        })
    }

    fn build(config: &BertConfig, key: Key, device: &Device) -> Self {
        Self {
            embeddings: Embeddings::new(config, key.with(0), device),
            encoder: Encoder::new(config, key.with(1), device),
            config: config.clone(),
            recompute: false,
            kept: Kept::default(),
        }
    }

    /// The same encoder with what its folder says beside weights and sizes.
    pub(crate) fn with_kept(self, kept: Kept) -> Self {
        Self { kept, ..self }
    }

    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    fn states(&self, batch: &DeviceBatch, rows: Option<Tensor<1, Int>>, f: Forward) -> Tensor<2> {
        let x = self.embeddings.forward(batch, &self.config, f.part(0));
        let (encoder, c, f) = (&self.encoder, &self.config, f.part(1));
        encoder.forward(x, batch, rows, c, f, self.recompute)
    }

    /// The encoder's shape.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }
}

impl Adaptable for Bert {
    fn linears_mut(&mut self) -> Vec<(String, &mut Linear)> {
        let mut found = Vec::new();
        for (index, layer) in self.encoder.layer.iter_mut().enumerate() {
            let path = |name: &str| format!("encoder.layer.{index}.{name}");
            let attention = &mut layer.attention;
            found.push((path("attention.self.query"), &mut attention.self_.query));
            found.push((path("attention.self.key"), &mut attention.self_.key));
            found.push((path("attention.self.value"), &mut attention.self_.value));
            found.push((path("attention.output.dense"), &mut attention.output.dense));
            found.push((path("intermediate.dense"), &mut layer.intermediate.dense));
            found.push((path("output.dense"), &mut layer.output.dense));
        }
        found
    }
}

impl Backbone for Bert {
    const VISIBILITY: Visibility = Visibility::Bidirectional;

    fn hidden(&self, batch: &DeviceBatch, f: Forward) -> Tensor<2> {
        self.states(batch, None, f)
    }

    fn hidden_at(&self, batch: &DeviceBatch, rows: Tensor<1, Int>, f: Forward) -> Tensor<2> {
        let states = |rows| self.states(batch, rows, f);
        hidden_at(rows, || states(None), |rows| states(Some(rows)))
    }

    fn with_recompute(self, recompute: bool) -> Self {
        Self { recompute, ..self }
    }

    fn hidden_size(&self) -> usize {
        self.config.hidden_size
    }

    fn max_positions(&self) -> usize {
        self.config.max_position_embeddings
    }

    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn device(&self) -> Device {
        self.embeddings.word_embeddings.weight.val().device()
    }
}
