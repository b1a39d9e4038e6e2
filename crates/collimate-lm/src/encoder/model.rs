//! Encoder model, as the algorithms use it.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use collimate_core::{Key, OptionError};
use collimate_nn::{Adaptable, Backbone, DeviceBatch, Forward, Linear, RowForward};
use collimate_ops::{SavedType, Visibility, saving};

use super::config::EncoderConfig;
use super::embeddings::Embeddings;
use super::head::Head;
use super::stack::Stack;
use crate::hf::Kept;
use crate::rows::hidden_at;

/// An encoder and, if the folder has a classification head, the part of the head before its last
/// layer. In training, dropout is applied to embeddings, sublayers and head, but not to attention
/// weights.
#[derive(Module, Debug)]
pub struct Encoder {
    pub(crate) embeddings: Embeddings,
    pub(crate) encoder: Stack,
    pub(crate) head: Option<Head>,
    #[module(skip)]
    config: EncoderConfig,
    #[module(skip)]
    recompute: bool,
    #[module(skip)]
    saved: SavedType,
    #[module(skip)]
    kept: Kept,
}

impl Encoder {
    /// Creates an encoder with weights from N(0, `initializer_range`²). The same key gives the same
    /// weights.
    ///
    /// # Errors
    /// The sizes do not fit together.
    pub fn new(config: &EncoderConfig, key: Key, device: &Device) -> Result<Self, OptionError> {
        config.check()?;
        Ok(Self::build(config, false, key, device))
    }

    /// Creates an encoder of zeros, ready to be filled from a weight file.
    pub(crate) fn blank(
        config: &EncoderConfig,
        head: bool,
        device: &Device,
    ) -> Result<Self, OptionError> {
        config.check()?;
        let undrawn = EncoderConfig {
            initializer_range: 0.0,
            ..config.clone()
        };
        Ok(Self {
            config: config.clone(),
            ..Self::build(&undrawn, head, Key::new(0, "blank"), device)
        })
    }

    fn build(config: &EncoderConfig, head: bool, key: Key, device: &Device) -> Self {
        Self {
            embeddings: Embeddings::new(config, key.with(0), device),
            encoder: Stack::new(config, key.with(1), device),
            head: head.then(|| Head::new(config, key.with(2), device)),
            config: config.clone(),
            recompute: false,
            saved: SavedType::default(),
            kept: Kept::default(),
        }
    }

    /// Returns the same encoder with the settings of its folder besides weights and sizes.
    pub(crate) fn with_kept(self, kept: Kept) -> Self {
        Self { kept, ..self }
    }

    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    fn states(&self, batch: &DeviceBatch, rows: Option<&[usize]>, f: Forward) -> Tensor<2> {
        saving(self.saved, || {
            let x = self.embeddings.forward(batch, &self.config, f.part(0));
            let (encoder, c, f) = (&self.encoder, &self.config, f.part(1));
            encoder.forward(x, batch, rows, c, f, self.recompute)
        })
    }

    /// Returns the configuration.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }
}

impl Adaptable for Encoder {
    fn linears_mut(&mut self) -> Vec<(String, &mut Linear)> {
        let family = self.config.family();
        let found = self.encoder.linears_mut().into_iter();
        let named = found.map(|(path, linear)| (family.name(&format!("encoder.{path}")), linear));
        named.collect()
    }

    fn is_head(path: &str) -> bool {
        path.starts_with("head.")
    }
}

impl Backbone for Encoder {
    const VISIBILITY: Visibility = Visibility::Bidirectional;

    fn hidden(&self, batch: &DeviceBatch, f: Forward) -> Tensor<2> {
        self.states(batch, None, f)
    }

    fn hidden_at(&self, batch: &DeviceBatch, rows: &[usize], f: Forward) -> Tensor<2> {
        hidden_at(batch, rows, |rows| self.states(batch, rows, f))
    }

    fn project(&self, pooled: Tensor<2>, f: RowForward<'_>) -> Tensor<2> {
        match &self.head {
            Some(head) => head.forward(pooled, &self.config, f.part(2)),
            None => pooled,
        }
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
        self.embeddings.word_embeddings.weight.val().device()
    }
}
