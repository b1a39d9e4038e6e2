//! Layers of an encoder.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use collimate_core::Key;
use collimate_nn::{DeviceBatch, Embedding, Forward, LayerNorm, Linear};
use collimate_ops::recomputed;

use super::attention::{BUCKETS, Distances};
use super::config::EncoderConfig;
use super::deberta::Relative;
use super::post::{Layer, Reach};
use super::pre::{self, PreLayer};
use crate::LayerKind;
use crate::rows::Rows;

/// Layers of a BERT or a ModernBERT, with the tables of distances that all layers share and the
/// last normalisation.
#[derive(Module, Debug)]
pub(crate) struct Stack {
    pub(crate) layer: Vec<Layer>,
    pub(crate) pre_layer: Vec<PreLayer>,
    pub(crate) relative_attention_bias: Option<Embedding>,
    pub(crate) relative: Option<Relative>,
    pub(crate) final_norm: Option<LayerNorm>,
}

impl Stack {
    pub(crate) fn new(c: &EncoderConfig, key: Key, device: &Device) -> Self {
        let layers = c.num_hidden_layers as u64;
        let table = || {
            let shape = [BUCKETS, c.num_attention_heads];
            Embedding::new(shape, c.initializer_range, key.with(layers), device)
        };
        let pre = |modern| {
            (0..layers)
                .map(move |index| PreLayer::new(index as usize, c, modern, key.with(index), device))
        };
        Self {
            layer: (0..layers)
                .filter(|_| c.modern.is_none())
                .map(|index| Layer::new(c, key.with(index), device))
                .collect(),
            pre_layer: c.modern.iter().flat_map(pre).collect(),
            relative_attention_bias: c.family().distances.then(table),
            relative: c
                .deberta
                .as_ref()
                .map(|deberta| Relative::new(c, deberta, key.with(layers), device)),
            final_norm: c.modern.as_ref().map(|_| c.norm(device)),
        }
    }

    /// Returns the linear layers with their paths.
    pub(crate) fn linears_mut(&mut self) -> Vec<(String, &mut Linear)> {
        let mut found = Vec::new();
        for (index, layer) in self.layer.iter_mut().enumerate() {
            let path = |name: &str| format!("layer.{index}.{name}");
            let attention = &mut layer.attention;
            found.push((path("attention.self_.query"), &mut attention.self_.query));
            found.push((path("attention.self_.key"), &mut attention.self_.key));
            found.push((path("attention.self_.value"), &mut attention.self_.value));
            found.push((path("attention.output.dense"), &mut attention.output.dense));
            found.push((path("intermediate.dense"), &mut layer.intermediate.dense));
            found.push((path("output.dense"), &mut layer.output.dense));
        }
        for (index, layer) in self.pre_layer.iter_mut().enumerate() {
            let path = |name: &str| format!("pre_layer.{index}.{name}");
            found.push((path("attn.wqkv"), &mut layer.attn.wqkv));
            found.push((path("attn.wo"), &mut layer.attn.wo));
            found.push((path("mlp.wi"), &mut layer.mlp.wi));
            found.push((path("mlp.wo"), &mut layer.mlp.wo));
        }
        found
    }

    pub(crate) fn forward(
        &self,
        x: Tensor<2>,
        batch: &DeviceBatch,
        rows: Option<&[usize]>,
        c: &EncoderConfig,
        f: Forward,
        recompute: bool,
    ) -> Tensor<2> {
        let asked = Rows::new(batch, rows, f);
        let x = self.post(x, batch, &asked, c, f, recompute);
        let x = self.pre(x, batch, &asked, c, f, recompute);
        match &self.final_norm {
            Some(norm) => norm.forward(x),
            None => x,
        }
    }

    /// Runs the layers of a BERT and of families that normalise like it; a ModernBERT has none.
    fn post(
        &self,
        mut x: Tensor<2>,
        batch: &DeviceBatch,
        asked: &Rows,
        c: &EncoderConfig,
        f: Forward,
        recompute: bool,
    ) -> Tensor<2> {
        let (table, relative) = (&self.relative_attention_bias, &self.relative);
        let reach = Reach {
            plan: batch.plan.clone(),
            distances: table.as_ref().map(|_| Distances::new(batch)),
        };
        for (index, layer) in self.layer.iter().enumerate() {
            let f = f.part(index as u64);
            let rows = rows_of(index, self.layer.len(), asked);
            x = if recompute {
                let (reach, c) = (reach.clone(), c.clone());
                let parts = (layer.clone(), table.clone(), relative.clone());
                recomputed(&parts, x, move |(layer, table, relative), x| {
                    let tables = (table.as_ref(), relative.as_ref());
                    layer.forward(x, &rows, &reach, tables, &c, f)
                })
            } else {
                let tables = (table.as_ref(), relative.as_ref());
                layer.forward(x, &rows, &reach, tables, c, f)
            };
        }
        x
    }

    /// Runs the layers of a ModernBERT.
    fn pre(
        &self,
        mut x: Tensor<2>,
        batch: &DeviceBatch,
        asked: &Rows,
        c: &EncoderConfig,
        f: Forward,
        recompute: bool,
    ) -> Tensor<2> {
        let Some(modern) = &c.modern else { return x };
        let reach = |kind| pre::Reach::new(batch, kind, c, modern);
        let full = reach(LayerKind::FullAttention);
        let sliding = reach(LayerKind::SlidingAttention);
        for (index, layer) in self.pre_layer.iter().enumerate() {
            let f = f.part(index as u64);
            let rows = rows_of(index, self.pre_layer.len(), asked);
            let reach = match modern.kind(index) {
                LayerKind::FullAttention => full.clone(),
                LayerKind::SlidingAttention => sliding.clone(),
            };
            x = if recompute {
                let (c, modern) = (c.clone(), modern.clone());
                recomputed(layer, x, move |layer, x| {
                    layer.forward(x, &rows, &reach, &c, &modern, f)
                })
            } else {
                layer.forward(x, &rows, &reach, c, modern, f)
            };
        }
        x
    }
}

/// Returns the rows that a layer computes. Every layer reads all rows of the layer before it.
fn rows_of(index: usize, layers: usize, asked: &Rows) -> Rows {
    match index + 1 == layers {
        true => asked.clone(),
        false => asked.inner(),
    }
}
