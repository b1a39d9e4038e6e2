//! A layer that normalises after each sublayer. Field names follow BERT in Hugging Face's files;
//! the families translate them.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use collimate_core::Key;
use collimate_nn::{Embedding, Forward, LayerNorm, Linear, RowForward};
use collimate_ops::{AttentionPlan, Heads, disentangled_attention, gelu, segment_attention};

use super::attention::Distances;
use super::config::EncoderConfig;
use super::deberta::Relative;
use crate::rows::Rows;

/// Attention pattern of a batch, and the distances of tokens if scores depend on them.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    pub(super) plan: AttentionPlan,
    pub(super) distances: Option<Distances>,
}

/// Projections of queries, keys and values.
#[derive(Module, Debug)]
pub(crate) struct SelfAttention {
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
}

/// A projection back to the residual stream, with its normalisation.
#[derive(Module, Debug)]
pub(crate) struct Output {
    pub(crate) dense: Linear,
    pub(crate) layer_norm: LayerNorm,
}

impl Output {
    fn forward(
        &self,
        x: Tensor<2>,
        residual: Tensor<2>,
        c: &EncoderConfig,
        f: RowForward<'_>,
    ) -> Tensor<2> {
        let y = self.dense.forward(x, f.part(0));
        let y = f.part(1).drop(y, c.hidden_dropout_prob);
        self.layer_norm.forward(y + residual)
    }
}

/// Attention with its output projection.
#[derive(Module, Debug)]
pub(crate) struct Attention {
    pub(crate) self_: SelfAttention,
    pub(crate) output: Output,
}

/// The widening half of the feed-forward layer.
#[derive(Module, Debug)]
pub(crate) struct Intermediate {
    pub(crate) dense: Linear,
}

/// One encoder layer.
#[derive(Module, Debug)]
pub(crate) struct Layer {
    pub(crate) attention: Attention,
    pub(crate) intermediate: Intermediate,
    pub(crate) output: Output,
}

impl Layer {
    pub(super) fn new(c: &EncoderConfig, key: Key, device: &Device) -> Self {
        let (d, wide) = (c.hidden_size, c.intermediate_size);
        let linear =
            |shape, part| Linear::new(shape, true, c.initializer_range, key.with(part), device);
        let norm = || LayerNorm::new(d, c.layer_norm_eps, device);
        Self {
            attention: Attention {
                self_: SelfAttention {
                    query: linear([d, d], 0),
                    key: linear([d, d], 1),
                    value: linear([d, d], 2),
                },
                output: Output {
                    dense: linear([d, d], 3),
                    layer_norm: norm(),
                },
            },
            intermediate: Intermediate {
                dense: linear([wide, d], 4),
            },
            output: Output {
                dense: linear([d, wide], 5),
                layer_norm: norm(),
            },
        }
    }

    /// Computes the layer for the rows asked for, or for all. `tables` holds what all layers share:
    /// biases of distances, or vectors of distances.
    pub(super) fn forward(
        &self,
        x: Tensor<2>,
        rows: &Rows,
        reach: &Reach,
        tables: (Option<&Embedding>, Option<&Relative>),
        c: &EncoderConfig,
        f: Forward,
    ) -> Tensor<2> {
        let heads = Heads {
            query: c.num_attention_heads,
            key_value: c.num_attention_heads,
            head_dim: c.hidden_size / c.num_attention_heads,
        };
        let a = &self.attention;
        let all = rows.all(f);
        let q = a.self_.query.forward(x.clone(), all.part(0));
        let k = a.self_.key.forward(x.clone(), all.part(1));
        let v = a.self_.value.forward(x.clone(), all.part(2));
        let mixed = match (&reach.distances, tables) {
            (Some(distances), (Some(table), _)) => distances.attend(&q, &k, &v, table, heads),
            (_, (_, Some(relative))) => {
                let relative = relative.projections(&a.self_, c, f);
                disentangled_attention(q, k, v, &relative, &reach.plan, heads)
            }
            _ => segment_attention(q, k, v, &reach.plan, heads),
        };
        let (mixed, x, f) = (rows.only(mixed), rows.only(x), rows.some(f));
        let x = a.output.forward(mixed, x, c, f.part(3));
        let wide = gelu(self.intermediate.dense.forward(x.clone(), f.part(4)));
        self.output.forward(wide, x, c, f.part(5))
    }
}
