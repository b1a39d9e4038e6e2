//! Reading of tokens in successive passes, with cached keys and values and with weights laid out
//! for few rows.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use collimate_nn::{Adapters, KvCache, Linear};
use collimate_ops::{Append, CacheType, KvPages, PackedLinear, PackedType, cached_attention};

use super::attention::Places;
use super::config::LlamaConfig;
use super::parts::{Block, Trunk};
use crate::rows::only;

/// Keys and values of the tokens that a [`Llama`](super::Llama) has read, beside a copy of its
/// weights that suits short passes. Layers with the same window share their pages. The cache
/// belongs to these weights, so a model that has been trained further needs a new cache.
#[derive(Debug)]
pub struct LlamaCache {
    /// Pages of keys and values, one for each window of the configuration.
    pages: Vec<KvPages>,
    weights: Arc<Weights>,
}

#[derive(Debug)]
struct Weights {
    layers: Vec<LayerWeights>,
    output: PackedLinear,
    config: LlamaConfig,
}

/// Weights of one layer. Matrices that read the same input are stored together.
#[derive(Debug)]
struct LayerWeights {
    qkv: Together,
    o: PackedLinear,
    gate_up: Together,
    down: PackedLinear,
}

/// Adapters that are folded into the copies of the weights, and the number type of the copies.
type Copies = (Adapters, Option<PackedType>);

/// Copies weights for short passes.
fn packed(
    layers: impl IntoIterator<Item = (Tensor<2>, Option<Tensor<1>>)>,
    packed: Option<PackedType>,
) -> PackedLinear {
    let layers = layers.into_iter().collect();
    match packed {
        Some(packed) => PackedLinear::with_type(layers, packed),
        None => PackedLinear::new(layers),
    }
}

/// One to three matrices that read the same input.
#[derive(Debug)]
struct Together {
    packed: PackedLinear,
    count: usize,
}

impl Together {
    fn forward(&self, x: Tensor<2>) -> Vec<Tensor<2>> {
        match self.count {
            1 => self.packed.forward::<1>(x).into(),
            2 => self.packed.forward::<2>(x).into(),
            _ => self.packed.forward::<3>(x).into(),
        }
    }
}

impl LayerWeights {
    fn new(block: &Block, copies: Copies) -> Self {
        let pack = |layers: Vec<&Linear>| Together {
            count: layers.len(),
            packed: packed(layers.iter().map(|layer| layer.folded(copies.0)), copies.1),
        };
        let (attn, mlp) = (&block.self_attn, &block.mlp);
        Self {
            qkv: pack(attn.inputs().collect()),
            o: pack(vec![&attn.o_proj]).packed,
            gate_up: pack(mlp.inputs().collect()),
            down: pack(vec![&mlp.down_proj]).packed,
        }
    }

    /// Runs one block over the new tokens, for the rows asked for or for all.
    fn forward(
        &self,
        block: &Block,
        x: Tensor<2>,
        rows: Option<&Tensor<1, Int>>,
        places: &Places,
        attend: impl FnOnce(Tensor<2>, Tensor<2>, Tensor<2>) -> Tensor<2>,
    ) -> Tensor<2> {
        let attention = |x| {
            let [q, k, v] = block.self_attn.split(self.qkv.forward(x));
            let [q, k] = block.self_attn.placed(q, k, places);
            let [attended] = self.o.forward(only(attend(q, k, v), rows));
            attended
        };
        let feed = |x| {
            let [fed] = self.down.forward(block.mlp.act(self.gate_up.forward(x)));
            fed
        };
        block.run(x, attention, |x| only(x, rows), feed)
    }
}

impl LlamaCache {
    pub(super) fn new(
        trunk: &Trunk,
        output: Tensor<2>,
        config: &LlamaConfig,
        copies: Copies,
        stored: CacheType,
    ) -> Self {
        let layers = trunk.layers.iter();
        let weights = Weights {
            layers: layers
                .map(|block| LayerWeights::new(block, copies))
                .collect(),
            output: packed([(output, None)], copies.1),
            config: config.clone(),
        };
        let windows = config.windows().into_iter().enumerate();
        let pages = windows.map(|(kind, window)| {
            let layers = trunk.layers.iter();
            let layers = layers.filter(|block| block.self_attn.spec.window == kind);
            KvPages::new(layers.count(), config.heads())
                .with_window(window)
                .with_scores(config.scores())
                .with_type(stored)
        });
        Self {
            pages: pages.collect(),
            weights: Arc::new(weights),
        }
    }

    /// Returns the keys and values, one for each window that layers have.
    pub fn pages(&self) -> &[KvPages] {
        &self.pages
    }

    /// Returns the logits after each row's last token; `rows` holds pairs (row of the cache, new
    /// tokens).
    pub(super) fn extend(&mut self, trunk: &Trunk, rows: &[(usize, &[u32])]) -> Tensor<2> {
        let counts: Vec<_> = rows.iter().map(|(row, ids)| (*row, ids.len())).collect();
        assert!(
            counts.iter().all(|(_, count)| *count > 0),
            "extend: a row without new tokens"
        );
        let Self { pages, weights } = self;
        let appends = pages.iter_mut().map(|pages| pages.append(&counts));
        let appends: Vec<Append> = appends.collect();
        // Rows and positions are the same for every kind of layer.
        let append = &appends[0];
        let ids = rows.iter().flat_map(|(_, ids)| ids.iter());
        let ids = ids.map(|&id| i64::from(id)).collect();
        let device = trunk.embed_tokens.weight.val().device().inner();
        let config = &weights.config;
        let mut x = trunk
            .embed(ints(ids, &device), append.positions(), config)
            .without_autodiff();
        let places = config.places(append.positions(), &device);
        let last = counts.iter().any(|(_, count)| *count > 1).then(|| {
            let last = append.last().into_iter().map(|row| row as i64);
            ints(last.collect(), &device)
        });
        let mut next = vec![0; pages.len()];
        for (index, (weights, block)) in weights.layers.iter().zip(&trunk.layers).enumerate() {
            let rows = last.as_ref().filter(|_| index + 1 == trunk.layers.len());
            let kind = block.self_attn.spec.window;
            let layer = next[kind];
            next[kind] += 1;
            x = weights.forward(block, x, rows, &places, |q, k, v| {
                cached_attention(q, k, v, &mut pages[kind], layer, &appends[kind])
            });
        }
        let [logits] = weights.output.forward(trunk.norm.forward(x));
        let logits = match config.logits_scaling {
            Some(divisor) => logits.div_scalar(divisor),
            None => logits,
        };
        match config.final_logit_softcapping {
            Some(cap) => logits.div_scalar(cap).tanh().mul_scalar(cap),
            None => logits,
        }
    }
}

impl KvCache for LlamaCache {
    fn fresh(&self) -> Self {
        Self {
            pages: self.pages.iter().map(KvPages::fresh).collect(),
            weights: Arc::clone(&self.weights),
        }
    }

    fn rows(&self) -> usize {
        self.pages[0].rows()
    }

    fn tokens(&self, row: usize) -> usize {
        self.pages[0].tokens(row)
    }

    fn push(&mut self) -> usize {
        let mut row = 0;
        for pages in &mut self.pages {
            row = pages.push();
        }
        row
    }

    fn keep(&mut self, rows: &[usize]) {
        for pages in &mut self.pages {
            pages.keep(rows);
        }
    }
}

fn ints(values: Vec<i64>, device: &Device) -> Tensor<1, Int> {
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}
