//! Attention of a decoder layer.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use collimate_core::Key;
use collimate_nn::{Linear, RowForward};
use collimate_ops::{AttentionPlan, Heads, RopeTable, rope, segment_attention};

use super::config::LlamaConfig;
use super::design::{QkNorm, Qkv};
use super::layer::LayerSpec;
use super::norm::Norm;

/// Positions of a pass's tokens, in the form that the layers need.
#[derive(Debug)]
pub(crate) struct Places {
    /// Rotary tables, one for each entry of `LlamaConfig::ropes`.
    pub(crate) tables: Vec<RopeTable>,
    /// Factor of each token's queries, `[tokens, 1]`.
    pub(crate) query_scale: Option<Tensor<2>>,
}

/// Grouped-query self-attention; field names as in Hugging Face files of Llama and Phi-3.
#[derive(Module, Debug)]
pub(crate) struct Attention {
    pub(crate) q_proj: Option<Linear>,
    pub(crate) k_proj: Option<Linear>,
    pub(crate) v_proj: Option<Linear>,
    /// Matrix that gives queries, keys and values together.
    pub(crate) qkv_proj: Option<Linear>,
    pub(crate) o_proj: Linear,
    pub(crate) q_norm: Option<Norm>,
    pub(crate) k_norm: Option<Norm>,
    #[module(skip)]
    heads: Heads,
    #[module(skip)]
    qkv: Qkv,
    #[module(skip)]
    pub(crate) spec: LayerSpec,
}

impl Attention {
    pub(crate) fn new(c: &LlamaConfig, spec: LayerSpec, key: Key, device: &Device) -> Self {
        let (d, design) = (c.head_dim(), c.family().design);
        let (q, kv) = (c.num_attention_heads * d, c.num_key_value_heads * d);
        let linear = |shape, bias, part| {
            Linear::new(shape, bias, c.initializer_range, key.with(part), device)
        };
        let apart = |out, part| {
            let input = c.hidden_size;
            (design.qkv == Qkv::Apart).then(|| linear([out, input], spec.qkv_bias, part))
        };
        let norm = |width| {
            let width = match design.qk_norm {
                QkNorm::Head => d,
                QkNorm::Width => width,
            };
            let norm = || Norm::new(design.norm, width, c.rms_norm_eps, device);
            spec.qk_norm.then(norm)
        };
        Self {
            q_proj: apart(q, 0),
            k_proj: apart(kv, 1),
            v_proj: apart(kv, 2),
            qkv_proj: (design.qkv != Qkv::Apart)
                .then(|| linear([q + 2 * kv, c.hidden_size], spec.qkv_bias, 0)),
            o_proj: linear([c.hidden_size, q], spec.o_bias, 3),
            q_norm: norm(q),
            k_norm: norm(kv),
            heads: c.heads(),
            qkv: design.qkv,
            spec,
        }
    }

    /// Returns the matrices that read the layer's input, in the order in which [`Self::split`]
    /// takes their results.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &Linear> {
        [&self.q_proj, &self.k_proj, &self.v_proj, &self.qkv_proj]
            .into_iter()
            .flatten()
    }

    /// Computes the heads' weighted sums of values, before the output projection.
    pub(crate) fn mix(
        &self,
        x: Tensor<2>,
        f: RowForward<'_>,
        places: &Places,
        plans: &[AttentionPlan],
    ) -> Tensor<2> {
        let parts = self.inputs().zip(0..);
        let parts = parts.map(|(linear, part)| linear.forward(x.clone(), f.part(part)));
        let [q, k, v] = self.split(parts.collect());
        let [q, k] = self.placed(q, k, places);
        segment_attention(q, k, v, &plans[self.spec.window], self.heads)
    }

    /// Splits the results of [`Self::inputs`] into queries, keys and values.
    pub(crate) fn split(&self, parts: Vec<Tensor<2>>) -> [Tensor<2>; 3] {
        let one = match <[Tensor<2>; 3]>::try_from(parts) {
            Ok(three) => return three,
            Err(mut parts) => parts.remove(0),
        };
        let d = self.heads.head_dim;
        let (q, kv) = (self.heads.query * d, self.heads.key_value * d);
        match self.qkv {
            Qkv::ByHead => {
                let [tokens, _] = one.dims();
                let heads: Tensor<3> = one.reshape([tokens, self.heads.query, 3 * d]);
                [0, 1, 2].map(|part| {
                    let part = heads.clone().narrow(2, part * d, d);
                    part.reshape([tokens, q])
                })
            }
            Qkv::Apart | Qkv::Stacked => [(0, q), (q, kv), (q + kv, kv)]
                .map(|(start, width)| one.clone().narrow(1, start, width)),
        }
    }

    /// Prepares queries and keys for attention: normalises, turns and scales them, if the layer
    /// does so.
    pub(crate) fn placed(&self, q: Tensor<2>, k: Tensor<2>, places: &Places) -> [Tensor<2>; 2] {
        let [q, k] = [(q, &self.q_norm), (k, &self.k_norm)].map(|(x, norm)| {
            let x = match norm {
                Some(norm) => norm.groups(x),
                None => x,
            };
            match self.spec.rope {
                Some(table) => rope(x, &places.tables[table]),
                None => x,
            }
        });
        let q = match &places.query_scale {
            Some(scale) => q * scale.clone(),
            None => q,
        };
        match self.spec.query_divisor {
            1 => [q, k],
            divisor => [q.div_scalar(divisor as f64), k],
        }
    }
}
