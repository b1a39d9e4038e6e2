//! The blocks of a Llama decoder; field names as in Hugging Face files.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use collimate_core::Key;
use collimate_nn::{DeviceBatch, Embedding, Forward, Linear, RmsNorm};
use collimate_ops::{Heads, KvPages, RopeTable, cached_attention, rope, segment_attention, swiglu};

use super::config::LlamaConfig;

/// How a linear layer is computed: [`Linear::forward`] or [`Linear::forward_rowwise`].
type ApplyLinear = fn(&Linear, Tensor<2>, Forward) -> Tensor<2>;

/// Attention of rotated queries over keys and values, and over what came before them.
type Attend<'a> = dyn FnMut(Tensor<2>, Tensor<2>, Tensor<2>, Heads) -> Tensor<2> + 'a;

/// What a layer needs besides its input.
struct Pass<'a> {
    table: &'a RopeTable,
    linear: ApplyLinear,
    attend: &'a mut Attend<'a>,
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

    fn forward(&self, x: Tensor<2>, f: Forward, pass: &mut Pass<'_>) -> Tensor<2> {
        let linear = pass.linear;
        let q = rope(linear(&self.q_proj, x.clone(), f.part(0)), pass.table);
        let k = rope(linear(&self.k_proj, x.clone(), f.part(1)), pass.table);
        let v = linear(&self.v_proj, x, f.part(2));
        let mixed = (pass.attend)(q, k, v, self.heads);
        linear(&self.o_proj, mixed, f.part(3))
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

    fn forward(&self, x: Tensor<2>, f: Forward, linear: ApplyLinear) -> Tensor<2> {
        let gate = linear(&self.gate_proj, x.clone(), f.part(0));
        let up = linear(&self.up_proj, x, f.part(1));
        linear(&self.down_proj, swiglu(gate, up), f.part(2))
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

    fn forward(&self, x: Tensor<2>, f: Forward, pass: &mut Pass<'_>) -> Tensor<2> {
        let attended =
            self.self_attn
                .forward(self.input_layernorm.forward(x.clone()), f.part(0), pass);
        let x = x + attended;
        let fed = self.mlp.forward(
            self.post_attention_layernorm.forward(x.clone()),
            f.part(1),
            pass.linear,
        );
        x + fed
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

    pub(crate) fn forward(&self, batch: &DeviceBatch, c: &LlamaConfig, f: Forward) -> Tensor<2> {
        let x = self.embed_tokens.forward(batch.ids.clone());
        let plan = batch.plan.clone().with_window(c.window());
        let x = self.blocks(
            x,
            &batch.positions,
            c,
            f,
            Linear::forward,
            |_, q, k, v, heads| segment_attention(q, k, v, &plan, heads),
        );
        self.norm.forward(x)
    }

    /// Hidden states of each row's last token; `rows` are (row of the cache, new tokens).
    pub(crate) fn extend(
        &self,
        rows: &[(usize, &[u32])],
        c: &LlamaConfig,
        f: Forward,
        cache: &mut KvPages,
    ) -> Tensor<2> {
        let counts: Vec<_> = rows.iter().map(|(row, ids)| (*row, ids.len())).collect();
        assert!(
            counts.iter().all(|(_, count)| *count > 0),
            "extend: a row without new tokens"
        );
        let append = cache.append(&counts);
        let ids = rows.iter().flat_map(|(_, ids)| ids.iter());
        let ids = ids.map(|&id| i64::from(id)).collect();
        let device = self.embed_tokens.weight.val().device();
        let x = self.embed_tokens.forward(ints(ids, &device));
        // One token per row is a decoding step; more are a prompt, which a general product suits.
        let decoding = counts.iter().all(|(_, count)| *count == 1);
        let linear = if decoding {
            Linear::forward_rowwise
        } else {
            Linear::forward
        };
        let attend = |layer, q, k, v, _| cached_attention(q, k, v, &mut *cache, layer, &append);
        let mut x = self.blocks(x, append.positions(), c, f, linear, attend);
        if !decoding {
            let last = append.last().into_iter().map(|row| row as i64).collect();
            x = x.select(0, ints(last, &device));
        }
        self.norm.forward(x)
    }

    fn blocks(
        &self,
        mut x: Tensor<2>,
        positions: &[u32],
        c: &LlamaConfig,
        f: Forward,
        linear: ApplyLinear,
        mut attend: impl FnMut(usize, Tensor<2>, Tensor<2>, Tensor<2>, Heads) -> Tensor<2>,
    ) -> Tensor<2> {
        let table = RopeTable::new(positions, c.head_dim(), c.rope_theta, &x.device())
            .expect("the configuration's check asks for an even head size");
        for (index, block) in self.layers.iter().enumerate() {
            let mut pass = Pass {
                table: &table,
                linear,
                attend: &mut |q, k, v, heads| attend(index, q, k, v, heads),
            };
            x = block.forward(x, f.part(index as u64), &mut pass);
        }
        x
    }
}

fn ints(values: Vec<i64>, device: &Device) -> Tensor<1, Int> {
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}
