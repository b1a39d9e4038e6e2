//! Reading tokens one pass after another: what the model remembers, and its weights laid out for
//! few rows.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use collimate_nn::{Adapters, KvCache, Linear};
use collimate_ops::{Append, KvPages, PackedLinear, RopeTable, cached_attention, rope, swiglu};

use super::config::LlamaConfig;
use super::parts::{Block, Trunk};
use crate::rows::only;

/// What a [`Llama`](super::Llama) remembers of the tokens of some rows, beside a copy of its weights
/// that suits short passes. The cache belongs to these weights: a model that has learned since needs a
/// new one.
#[derive(Debug)]
pub struct LlamaCache {
    pages: KvPages,
    weights: Arc<Weights>,
}

#[derive(Debug)]
struct Weights {
    layers: Vec<LayerWeights>,
    output: PackedLinear,
    config: LlamaConfig,
}

/// Layers that read the same input lie together.
#[derive(Debug)]
struct LayerWeights {
    qkv: PackedLinear,
    o: PackedLinear,
    gate_up: PackedLinear,
    down: PackedLinear,
}

impl LayerWeights {
    fn new(block: &Block, adapters: Adapters) -> Self {
        let pack = |layers: &[&Linear]| {
            PackedLinear::new(layers.iter().map(|layer| layer.folded(adapters)).collect())
        };
        let (attn, mlp) = (&block.self_attn, &block.mlp);
        Self {
            qkv: pack(&[&attn.q_proj, &attn.k_proj, &attn.v_proj]),
            o: pack(&[&attn.o_proj]),
            gate_up: pack(&[&mlp.gate_proj, &mlp.up_proj]),
            down: pack(&[&mlp.down_proj]),
        }
    }

    /// One block over the new tokens; the result of some rows, or of all.
    fn forward(
        &self,
        block: &Block,
        x: Tensor<2>,
        rows: Option<&Tensor<1, Int>>,
        table: &RopeTable,
        attend: impl FnOnce(Tensor<2>, Tensor<2>, Tensor<2>) -> Tensor<2>,
    ) -> Tensor<2> {
        let normed = block.input_layernorm.forward(x.clone());
        let [q, k, v] = self.qkv.forward(normed);
        let mixed = only(attend(rope(q, table), rope(k, table), v), rows);
        let [attended] = self.o.forward(mixed);
        let x = only(x, rows) + attended;
        let normed = block.post_attention_layernorm.forward(x.clone());
        let [gate, up] = self.gate_up.forward(normed);
        let [fed] = self.down.forward(swiglu(gate, up));
        x + fed
    }
}

impl LlamaCache {
    pub(super) fn new(
        trunk: &Trunk,
        output: Tensor<2>,
        config: &LlamaConfig,
        adapters: Adapters,
    ) -> Self {
        let pages = KvPages::new(config.num_hidden_layers, config.heads());
        let layers = trunk.layers.iter();
        let weights = Weights {
            layers: layers
                .map(|block| LayerWeights::new(block, adapters))
                .collect(),
            output: PackedLinear::new(vec![(output, None)]),
            config: config.clone(),
        };
        Self {
            pages: pages.with_window(config.window()),
            weights: Arc::new(weights),
        }
    }

    /// Keys and values.
    pub fn pages(&self) -> &KvPages {
        &self.pages
    }

    /// Logits after each row's last token; `rows` are (row of the cache, new tokens).
    pub(super) fn extend(&mut self, trunk: &Trunk, rows: &[(usize, &[u32])]) -> Tensor<2> {
        let counts: Vec<_> = rows.iter().map(|(row, ids)| (*row, ids.len())).collect();
        assert!(
            counts.iter().all(|(_, count)| *count > 0),
            "extend: a row without new tokens"
        );
        let Self { pages, weights } = self;
        let append: Append = pages.append(&counts);
        let ids = rows.iter().flat_map(|(_, ids)| ids.iter());
        let ids = ids.map(|&id| i64::from(id)).collect();
        let device = trunk.embed_tokens.weight.val().device().inner();
        let mut x = trunk
            .embed_tokens
            .forward(ints(ids, &device))
            .without_autodiff();
        let config = &weights.config;
        let table = RopeTable::new(
            append.positions(),
            config.head_dim(),
            config.rope_theta,
            &device,
        )
        .expect("the configuration's check asks for an even head size");
        let last = counts.iter().any(|(_, count)| *count > 1).then(|| {
            let last = append.last().into_iter().map(|row| row as i64);
            ints(last.collect(), &device)
        });
        for (index, (weights, block)) in weights.layers.iter().zip(&trunk.layers).enumerate() {
            let rows = last.as_ref().filter(|_| index + 1 == trunk.layers.len());
            x = weights.forward(block, x, rows, &table, |q, k, v| {
                cached_attention(q, k, v, pages, index, &append)
            });
        }
        let [logits] = weights.output.forward(trunk.norm.forward(x));
        logits
    }
}

impl KvCache for LlamaCache {
    fn fresh(&self) -> Self {
        Self {
            pages: self.pages.fresh(),
            weights: Arc::clone(&self.weights),
        }
    }

    fn rows(&self) -> usize {
        self.pages.rows()
    }

    fn tokens(&self, row: usize) -> usize {
        self.pages.tokens(row)
    }

    fn push(&mut self) -> usize {
        self.pages.push()
    }

    fn keep(&mut self, rows: &[usize]) {
        self.pages.keep(rows);
    }
}

fn ints(values: Vec<i64>, device: &Device) -> Tensor<1, Int> {
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}
