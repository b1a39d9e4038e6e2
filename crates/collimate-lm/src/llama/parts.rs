//! The blocks of a decoder; field names as in Hugging Face files.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use collimate_core::Key;
use collimate_nn::{DeviceBatch, Embedding, Forward, Linear, RmsNorm, RowForward};
use collimate_ops::{AttentionPlan, Heads, RopeTable, recomputed, rope, segment_attention, swiglu};

use super::config::LlamaConfig;
use super::layer::LayerSpec;
use crate::rows::Rows;

/// What layers need besides their input.
struct Pass {
    table: RopeTable,
    /// One for each window of the configuration.
    plans: Vec<AttentionPlan>,
}

/// Grouped-query self-attention, with rotary positions where the layer has them.
#[derive(Module, Debug)]
pub(crate) struct Attention {
    pub(crate) q_proj: Linear,
    pub(crate) k_proj: Linear,
    pub(crate) v_proj: Linear,
    pub(crate) o_proj: Linear,
    pub(crate) q_norm: Option<RmsNorm>,
    pub(crate) k_norm: Option<RmsNorm>,
    #[module(skip)]
    heads: Heads,
    #[module(skip)]
    pub(crate) spec: LayerSpec,
}

impl Attention {
    fn new(c: &LlamaConfig, spec: LayerSpec, key: Key, device: &Device) -> Self {
        let d = c.head_dim();
        let (q, kv) = (c.num_attention_heads * d, c.num_key_value_heads * d);
        let linear = |shape, bias, part| {
            Linear::new(shape, bias, c.initializer_range, key.with(part), device)
        };
        let norm = || {
            spec.qk_norm
                .then(|| RmsNorm::new(d, c.rms_norm_eps, device))
        };
        Self {
            q_proj: linear([q, c.hidden_size], spec.qkv_bias, 0),
            k_proj: linear([kv, c.hidden_size], spec.qkv_bias, 1),
            v_proj: linear([kv, c.hidden_size], spec.qkv_bias, 2),
            o_proj: linear([c.hidden_size, q], spec.o_bias, 3),
            q_norm: norm(),
            k_norm: norm(),
            heads: c.heads(),
            spec,
        }
    }

    /// What the heads read, before the output projection.
    fn mix(&self, x: Tensor<2>, f: RowForward<'_>, pass: &Pass) -> Tensor<2> {
        let q = self.q_proj.forward(x.clone(), f.part(0));
        let k = self.k_proj.forward(x.clone(), f.part(1));
        let v = self.v_proj.forward(x, f.part(2));
        let [q, k] = self.placed(q, k, &pass.table);
        segment_attention(q, k, v, &pass.plans[self.spec.window], self.heads)
    }

    /// Queries and keys as they meet: normalised and turned, where the layer does either.
    pub(super) fn placed(&self, q: Tensor<2>, k: Tensor<2>, table: &RopeTable) -> [Tensor<2>; 2] {
        [(q, &self.q_norm), (k, &self.k_norm)].map(|(x, norm)| {
            let x = match norm {
                Some(norm) => per_head(norm, x),
                None => x,
            };
            match self.spec.rope {
                true => rope(x, table),
                false => x,
            }
        })
    }
}

/// Normalises each head of each token.
fn per_head(norm: &RmsNorm, x: Tensor<2>) -> Tensor<2> {
    let [tokens, width] = x.dims();
    let [size] = norm.weight.dims();
    let heads: Tensor<2> = x.reshape([tokens * (width / size), size]);
    norm.forward(heads).reshape([tokens, width])
}

/// Gated feed-forward layer.
#[derive(Module, Debug)]
pub(crate) struct Mlp {
    pub(crate) gate_proj: Linear,
    pub(crate) up_proj: Linear,
    pub(crate) down_proj: Linear,
}

impl Mlp {
    fn new(c: &LlamaConfig, spec: LayerSpec, key: Key, device: &Device) -> Self {
        let linear = |shape, part| {
            Linear::new(
                shape,
                spec.mlp_bias,
                c.initializer_range,
                key.with(part),
                device,
            )
        };
        Self {
            gate_proj: linear([c.intermediate_size, c.hidden_size], 0),
            up_proj: linear([c.intermediate_size, c.hidden_size], 1),
            down_proj: linear([c.hidden_size, c.intermediate_size], 2),
        }
    }

    fn forward(&self, x: Tensor<2>, f: RowForward<'_>) -> Tensor<2> {
        let gate = self.gate_proj.forward(x.clone(), f.part(0));
        let up = self.up_proj.forward(x, f.part(1));
        self.down_proj.forward(swiglu(gate, up), f.part(2))
    }
}

/// One decoder layer.
#[derive(Module, Debug)]
pub(crate) struct Block {
    pub(crate) self_attn: Attention,
    pub(crate) mlp: Mlp,
    pub(crate) input_layernorm: RmsNorm,
    pub(crate) post_attention_layernorm: RmsNorm,
}

impl Block {
    fn new(c: &LlamaConfig, spec: LayerSpec, key: Key, device: &Device) -> Self {
        Self {
            self_attn: Attention::new(c, spec, key.with(0), device),
            mlp: Mlp::new(c, spec, key.with(1), device),
            input_layernorm: RmsNorm::new(c.hidden_size, c.rms_norm_eps, device),
            post_attention_layernorm: RmsNorm::new(c.hidden_size, c.rms_norm_eps, device),
        }
    }

    /// The result of some rows, or of all.
    fn forward(&self, x: Tensor<2>, rows: &Rows, f: Forward, pass: &Pass) -> Tensor<2> {
        let normed = self.input_layernorm.forward(x.clone());
        let attention = f.part(0);
        let mixed = self.self_attn.mix(normed, rows.all(attention), pass);
        let (mixed, output) = (rows.only(mixed), rows.some(attention.part(3)));
        let attended = self.self_attn.o_proj.forward(mixed, output);
        let x = rows.only(x) + attended;
        let normed = self.post_attention_layernorm.forward(x.clone());
        x + self.mlp.forward(normed, rows.some(f.part(1)))
    }
}

/// Embedding, blocks and the last normalisation.
#[derive(Module, Debug)]
pub(crate) struct Trunk {
    pub(crate) embed_tokens: Embedding,
    pub(crate) layers: Vec<Block>,
    pub(crate) norm: RmsNorm,
}

impl Trunk {
    pub(crate) fn new(c: &LlamaConfig, key: Key, device: &Device) -> Self {
        Self {
            embed_tokens: Embedding::new(
                [c.vocab_size, c.hidden_size],
                c.initializer_range,
                key.with(0),
                device,
            ),
            layers: (0..c.num_hidden_layers)
                .map(|index| Block::new(c, c.layer(index), key.with(1 + index as u64), device))
                .collect(),
            norm: RmsNorm::new(c.hidden_size, c.rms_norm_eps, device),
        }
    }

    pub(crate) fn forward(
        &self,
        batch: &DeviceBatch,
        rows: Option<Tensor<1, Int>>,
        c: &LlamaConfig,
        f: Forward,
        recompute: bool,
    ) -> Tensor<2> {
        let mut x = self.embed_tokens.forward(batch.ids.clone());
        let plan = |window| batch.plan.clone().with_window(window);
        let pass = Arc::new(Pass {
            table: c.rope_table(&batch.positions, &x.device()),
            plans: c.windows().into_iter().map(plan).collect(),
        });
        let asked = Rows::new(batch, rows, f);
        for (index, block) in self.layers.iter().enumerate() {
            let f = f.part(index as u64);
            // Every layer reads all rows of the one before.
            let rows = match index + 1 == self.layers.len() {
                true => asked.clone(),
                false => asked.inner(),
            };
            x = if recompute {
                let pass = Arc::clone(&pass);
                recomputed(block, x, move |block, x| block.forward(x, &rows, f, &pass))
            } else {
                block.forward(x, &rows, f, &pass)
            };
        }
        self.norm.forward(x)
    }
}
