//! The layers of an encoder.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use collimate_core::Key;
use collimate_nn::{DeviceBatch, Embedding, Forward, Linear};
use collimate_ops::recomputed;

use super::attention::{BUCKETS, Distances};
use super::config::EncoderConfig;
use super::post::{Layer, Reach};
use crate::rows::Rows;

/// The layers, and the biases of distances that they share.
#[derive(Module, Debug)]
pub(crate) struct Stack {
    pub(crate) layer: Vec<Layer>,
    pub(crate) relative_attention_bias: Option<Embedding>,
}

impl Stack {
    pub(crate) fn new(c: &EncoderConfig, key: Key, device: &Device) -> Self {
        let layers = c.num_hidden_layers as u64;
        let table = || {
            let shape = [BUCKETS, c.num_attention_heads];
            Embedding::new(shape, c.initializer_range, key.with(layers), device)
        };
        Self {
            layer: (0..layers)
                .map(|index| Layer::new(c, key.with(index), device))
                .collect(),
            relative_attention_bias: c.family().distances.then(table),
        }
    }

    /// The linear layers with their paths.
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
        found
    }

    pub(crate) fn forward(
        &self,
        mut x: Tensor<2>,
        batch: &DeviceBatch,
        rows: Option<Tensor<1, Int>>,
        c: &EncoderConfig,
        f: Forward,
        recompute: bool,
    ) -> Tensor<2> {
        let asked = Rows::new(batch, rows, f);
        let table = &self.relative_attention_bias;
        let reach = Reach {
            plan: batch.plan.clone(),
            distances: table.as_ref().map(|_| Distances::new(batch)),
        };
        for (index, layer) in self.layer.iter().enumerate() {
            let f = f.part(index as u64);
            // Every layer reads all rows of the one before.
            let rows = match index + 1 == self.layer.len() {
                true => asked.clone(),
                false => asked.inner(),
            };
            x = if recompute {
                let (reach, c) = (reach.clone(), c.clone());
                let parts = (layer.clone(), table.clone());
                recomputed(&parts, x, move |(layer, table), x| {
                    layer.forward(x, &rows, &reach, table.as_ref(), &c, f)
                })
            } else {
                layer.forward(x, &rows, &reach, table.as_ref(), c, f)
            };
        }
        x
    }
}
