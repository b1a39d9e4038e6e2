//! Blocks of a decoder; field names as in Hugging Face files.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use collimate_core::Key;
use collimate_nn::{DeviceBatch, Embedding, Forward};
use collimate_ops::{AttentionPlan, recomputed};

use super::attention::{Attention, Places};
use super::config::LlamaConfig;
use super::design::Placement;
use super::layer::LayerSpec;
use super::mlp::Mlp;
use super::norm::Norm;
use crate::rows::Rows;

/// Positions and attention patterns, which all layers read.
struct Pass {
    places: Places,
    /// Attention plans, one for each window of the configuration.
    plans: Vec<AttentionPlan>,
}

/// One decoder layer. [`Placement`] defines the position of each norm.
#[derive(Module, Debug)]
pub(crate) struct Block {
    pub(crate) self_attn: Attention,
    pub(crate) mlp: Mlp,
    pub(crate) input_layernorm: Option<Norm>,
    pub(crate) post_attention_layernorm: Norm,
    pub(crate) pre_feedforward_layernorm: Option<Norm>,
    pub(crate) post_feedforward_layernorm: Option<Norm>,
    #[module(skip)]
    placement: Placement,
    /// If true, attention and feed-forward layer read the same rows.
    #[module(skip)]
    parallel: bool,
    #[module(skip)]
    residual: Option<f64>,
}

impl Block {
    fn new(c: &LlamaConfig, spec: LayerSpec, key: Key, device: &Device) -> Self {
        let design = c.family().design;
        let norm = || Norm::new(design.norm, c.hidden_size, c.rms_norm_eps, device);
        let [first, third, fourth] = norms(design.placement);
        Self {
            self_attn: Attention::new(c, spec, key.with(0), device),
            mlp: Mlp::new(c, spec, key.with(1), device),
            input_layernorm: first.then(norm),
            post_attention_layernorm: norm(),
            pre_feedforward_layernorm: third.then(norm),
            post_feedforward_layernorm: fourth.then(norm),
            placement: design.placement,
            parallel: c.use_parallel_residual,
            residual: c.residual_multiplier,
        }
    }

    /// Computes the block for the rows asked for, or for all.
    fn forward(&self, x: Tensor<2>, rows: &Rows, f: Forward, pass: &Pass) -> Tensor<2> {
        let attention = f.part(0);
        let mix = |x| {
            let all = rows.all(attention);
            self.self_attn.mix(x, all, &pass.places, &pass.plans)
        };
        let output = |mixed| {
            let o = rows.some(attention.part(3));
            self.self_attn.o_proj.forward(rows.only(mixed), o)
        };
        let feed = |x| self.mlp.forward(x, rows.some(f.part(1)));
        self.run(x, |x| output(mix(x)), |x| rows.only(x), feed)
    }

    /// Applies norms and residual sums around `attend`, `feed` and `only`, which selects rows.
    /// `attend` reads all rows and returns those selected.
    pub(crate) fn run(
        &self,
        x: Tensor<2>,
        attend: impl FnOnce(Tensor<2>) -> Tensor<2>,
        only: impl FnOnce(Tensor<2>) -> Tensor<2>,
        feed: impl FnOnce(Tensor<2>) -> Tensor<2>,
    ) -> Tensor<2> {
        let branch = |x: Tensor<2>| match self.residual {
            Some(factor) => x.mul_scalar(factor),
            None => x,
        };
        let norm = |norm: &Option<Norm>, x: Tensor<2>| match norm {
            Some(norm) => norm.forward(x),
            None => x,
        };
        let second = &self.post_attention_layernorm;
        let attended = attend(norm(&self.input_layernorm, x.clone()));
        let attended = match self.placement {
            Placement::Before => attended,
            Placement::After | Placement::Both => second.forward(attended),
        };
        let before = only(x);
        let x = before.clone() + branch(attended);
        let read = match self.placement {
            Placement::Before if self.parallel => second.forward(before),
            Placement::Before => second.forward(x.clone()),
            Placement::After | Placement::Both => norm(&self.pre_feedforward_layernorm, x.clone()),
        };
        let fed = norm(&self.post_feedforward_layernorm, feed(read));
        x + branch(fed)
    }
}

/// Returns true for each norm that a layer has besides `post_attention_layernorm`:
/// `input_layernorm`, `pre_feedforward_layernorm`, `post_feedforward_layernorm`.
pub(super) fn norms(placement: Placement) -> [bool; 3] {
    match placement {
        Placement::Before => [true, false, false],
        Placement::After => [false, false, true],
        Placement::Both => [true, true, true],
    }
}

/// Embedding, blocks and the last normalisation.
#[derive(Module, Debug)]
pub(crate) struct Trunk {
    pub(crate) embed_tokens: Embedding,
    /// Vectors that are added to the embedding by position.
    pub(crate) embed_positions: Option<Embedding>,
    pub(crate) layers: Vec<Block>,
    pub(crate) norm: Norm,
}

impl Trunk {
    pub(crate) fn new(c: &LlamaConfig, key: Key, device: &Device) -> Self {
        let design = c.family().design;
        let layers = c.num_hidden_layers;
        let table = |rows, part| {
            let shape = [rows, c.hidden_size];
            Embedding::new(shape, c.initializer_range, key.with(part), device)
        };
        Self {
            embed_tokens: table(c.vocab_size, 0),
            embed_positions: design
                .learned_positions
                .then(|| table(c.max_position_embeddings, 1 + layers as u64)),
            layers: (0..layers)
                .map(|index| Block::new(c, c.layer(index), key.with(1 + index as u64), device))
                .collect(),
            norm: Norm::new(design.norm, c.hidden_size, c.rms_norm_eps, device),
        }
    }

    /// Computes the rows that the first layer reads.
    pub(crate) fn embed(
        &self,
        ids: Tensor<1, Int>,
        positions: &[u32],
        c: &LlamaConfig,
    ) -> Tensor<2> {
        let x = self.embed_tokens.forward(ids);
        let x = match c.embedding_scale() {
            Some(scale) => x.mul_scalar(scale),
            None => x,
        };
        let Some(table) = &self.embed_positions else {
            return x;
        };
        let rows: Vec<i64> = positions.iter().map(|&at| i64::from(at)).collect();
        let rows = Tensor::from_data(rows.as_slice(), &x.device().inner());
        x + table.forward(rows)
    }

    pub(crate) fn forward(
        &self,
        batch: &DeviceBatch,
        rows: Option<&[usize]>,
        c: &LlamaConfig,
        f: Forward,
        recompute: bool,
    ) -> Tensor<2> {
        let mut x = self.embed(batch.ids.clone(), &batch.positions, c);
        let plan = |window| {
            let plan = batch.plan.clone().with_window(window);
            plan.with_scores(c.scores())
        };
        let pass = Arc::new(Pass {
            places: c.places(&batch.positions, &x.device()),
            plans: c.windows().into_iter().map(plan).collect(),
        });
        let asked = Rows::new(batch, rows, f);
        for (index, block) in self.layers.iter().enumerate() {
            let f = f.part(index as u64);
            // Every layer reads all rows of the layer before it.
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
