//! The blocks of a Llama decoder; field names as in Hugging Face files.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use collimate_core::Key;
use collimate_nn::{DeviceBatch, Embedding, Forward, Linear, RmsNorm, RowForward};
use collimate_ops::{AttentionPlan, Heads, RopeTable, recomputed, rope, segment_attention, swiglu};

use super::config::LlamaConfig;
use crate::rows::Rows;

/// What a layer needs besides its input.
struct Pass {
    table: RopeTable,
    plan: AttentionPlan,
}

/// Grouped-query self-attention with rotary positions.
#[derive(Module, Debug)]
pub(crate) struct Attention {
    pub(crate) q_proj: Linear,
    pub(crate) k_proj: Linear,
    pub(crate) v_proj: Linear,
    pub(crate) o_proj: Linear,
    #[module(skip)]
    heads: Heads,
}

impl Attention {
    fn new(c: &LlamaConfig, key: Key, device: &Device) -> Self {
        let d = c.head_dim();
        let (q, kv) = (c.num_attention_heads * d, c.num_key_value_heads * d);
        let linear = |shape, part| {
            Linear::new(
                shape,
                c.attention_bias,
                c.initializer_range,
                key.with(part),
                device,
            )
        };
        Self {
            q_proj: linear([q, c.hidden_size], 0),
            k_proj: linear([kv, c.hidden_size], 1),
            v_proj: linear([kv, c.hidden_size], 2),
            o_proj: linear([c.hidden_size, q], 3),
            heads: c.heads(),
        }
    }

    /// What the heads read, before the output projection.
    fn mix(&self, x: Tensor<2>, f: RowForward<'_>, pass: &Pass) -> Tensor<2> {
        let q = rope(self.q_proj.forward(x.clone(), f.part(0)), &pass.table);
        let k = rope(self.k_proj.forward(x.clone(), f.part(1)), &pass.table);
        let v = self.v_proj.forward(x, f.part(2));
        segment_attention(q, k, v, &pass.plan, self.heads)
    }
}

/// Gated feed-forward layer.
#[derive(Module, Debug)]
pub(crate) struct Mlp {
    pub(crate) gate_proj: Linear,
    pub(crate) up_proj: Linear,
    pub(crate) down_proj: Linear,
}

impl Mlp {
    fn new(c: &LlamaConfig, key: Key, device: &Device) -> Self {
        let linear = |shape, part| {
            Linear::new(
                shape,
                c.mlp_bias,
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
    fn new(c: &LlamaConfig, key: Key, device: &Device) -> Self {
        Self {
            self_attn: Attention::new(c, key.with(0), device),
            mlp: Mlp::new(c, key.with(1), device),
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
            layers: (0..c.num_hidden_layers as u64)
                .map(|index| Block::new(c, key.with(1 + index), device))
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
        let table = RopeTable::new(&batch.positions, c.head_dim(), c.rope_theta, &x.device());
        let pass = Arc::new(Pass {
            table: table.expect("the configuration's check asks for an even head size"),
            plan: batch.plan.clone().with_window(c.window()),
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
