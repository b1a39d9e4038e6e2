//! The layers of a BERT encoder. Field names follow Hugging Face's, but for `self_` (`self`) and
//! `layer_norm` (`LayerNorm`), which `store` translates.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use collimate_core::Key;
use collimate_nn::{DeviceBatch, Embedding, Forward, LayerNorm, Linear, RowForward};
use collimate_ops::{AttentionPlan, Heads, gelu, recomputed, segment_attention};

use super::config::BertConfig;
use crate::rows::Rows;

/// Word, position and type vectors, summed and normalised.
#[derive(Module, Debug)]
pub(crate) struct Embeddings {
    pub(crate) word_embeddings: Embedding,
    pub(crate) position_embeddings: Embedding,
    pub(crate) token_type_embeddings: Embedding,
    pub(crate) layer_norm: LayerNorm,
}

impl Embeddings {
    pub(crate) fn new(c: &BertConfig, key: Key, device: &Device) -> Self {
        let table = |rows, part| {
            Embedding::new(
                [rows, c.hidden_size],
                c.initializer_range,
                key.with(part),
                device,
            )
        };
        Self {
            word_embeddings: table(c.vocab_size, 0),
            position_embeddings: table(c.max_position_embeddings, 1),
            token_type_embeddings: table(c.type_vocab_size, 2),
            layer_norm: LayerNorm::new(c.hidden_size, c.layer_norm_eps, device),
        }
    }

    pub(crate) fn forward(&self, batch: &DeviceBatch, c: &BertConfig, f: Forward) -> Tensor<2> {
        let words = self.word_embeddings.forward(batch.ids.clone());
        let positions: Vec<i64> = batch.positions.iter().map(|&p| i64::from(p)).collect();
        let n = positions.len();
        let positions: Tensor<1, Int> =
            Tensor::from_data(TensorData::new(positions, [n]), &batch.device);
        let types = self.token_type_embeddings.weight.val().narrow(0, 0, 1);
        let sum = words + self.position_embeddings.forward(positions) + types;
        let f = RowForward::new(f, batch.examples.as_deref());
        f.drop(self.layer_norm.forward(sum), c.hidden_dropout_prob)
    }
}

/// Queries, keys and values.
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
        c: &BertConfig,
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
    fn new(c: &BertConfig, key: Key, device: &Device) -> Self {
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

    /// The result of some rows, or of all.
    fn forward(
        &self,
        x: Tensor<2>,
        rows: &Rows,
        plan: &AttentionPlan,
        c: &BertConfig,
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
        let mixed = segment_attention(q, k, v, plan, heads);
        let (mixed, x, f) = (rows.only(mixed), rows.only(x), rows.some(f));
        let x = a.output.forward(mixed, x, c, f.part(3));
        let wide = gelu(self.intermediate.dense.forward(x.clone(), f.part(4)));
        self.output.forward(wide, x, c, f.part(5))
    }
}

/// The layers.
#[derive(Module, Debug)]
pub(crate) struct Encoder {
    pub(crate) layer: Vec<Layer>,
}

impl Encoder {
    pub(crate) fn new(c: &BertConfig, key: Key, device: &Device) -> Self {
        Self {
            layer: (0..c.num_hidden_layers as u64)
                .map(|index| Layer::new(c, key.with(index), device))
                .collect(),
        }
    }

    pub(crate) fn forward(
        &self,
        mut x: Tensor<2>,
        batch: &DeviceBatch,
        rows: Option<Tensor<1, Int>>,
        c: &BertConfig,
        f: Forward,
        recompute: bool,
    ) -> Tensor<2> {
        let asked = Rows::new(batch, rows, f);
        for (index, layer) in self.layer.iter().enumerate() {
            let f = f.part(index as u64);
            // Every layer reads all rows of the one before.
            let rows = match index + 1 == self.layer.len() {
                true => asked.clone(),
                false => asked.inner(),
            };
            x = if recompute {
                let (plan, c) = (batch.plan.clone(), c.clone());
                recomputed(layer, x, move |layer, x| {
                    layer.forward(x, &rows, &plan, &c, f)
                })
            } else {
                layer.forward(x, &rows, &batch.plan, c, f)
            };
        }
        x
    }
}
