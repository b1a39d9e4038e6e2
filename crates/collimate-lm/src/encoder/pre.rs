//! A layer that normalises before each sublayer, as in ModernBERT. One matrix gives queries, keys
//! and values, and another gives both halves of the gated feed-forward layer.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use collimate_core::Key;
use collimate_nn::{DeviceBatch, Forward, LayerNorm, Linear};
use collimate_ops::{AttentionPlan, Heads, RopeTable, geglu, rope, segment_attention};

use super::config::EncoderConfig;
use super::modern::ModernConfig;
use crate::LayerKind;
use crate::rows::Rows;

/// Attention pattern of a layer, and the rotary positions of its queries and keys.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    plan: AttentionPlan,
    rope: RopeTable,
}

impl Reach {
    /// Creates the pattern and the positions for layers of a kind.
    pub(super) fn new(
        batch: &DeviceBatch,
        kind: LayerKind,
        c: &EncoderConfig,
        modern: &ModernConfig,
    ) -> Self {
        let (window, theta) = match kind {
            LayerKind::FullAttention => (None, modern.global_rope_theta),
            LayerKind::SlidingAttention => (Some(modern.window()), modern.local_rope_theta),
        };
        let rope = RopeTable::new(&batch.positions, head_dim(c), theta, &batch.device);
        Self {
            plan: batch.plan.clone().with_window(window),
            rope: rope.expect("checked: heads of an even size"),
        }
    }
}

/// Returns the size of a head.
fn head_dim(c: &EncoderConfig) -> usize {
    c.hidden_size / c.num_attention_heads
}

/// Attention: queries, keys and values from one matrix, and the projection back.
#[derive(Module, Debug)]
pub(crate) struct FusedAttention {
    pub(crate) wqkv: Linear,
    pub(crate) wo: Linear,
}

/// The gated feed-forward layer: input and gate from one matrix, and the projection back.
#[derive(Module, Debug)]
pub(crate) struct GatedMlp {
    pub(crate) wi: Linear,
    pub(crate) wo: Linear,
}

/// One layer. The input of the first layer is already normalised.
#[derive(Module, Debug)]
pub(crate) struct PreLayer {
    pub(crate) attn_norm: Option<LayerNorm>,
    pub(crate) attn: FusedAttention,
    pub(crate) mlp_norm: LayerNorm,
    pub(crate) mlp: GatedMlp,
}

impl PreLayer {
    pub(super) fn new(
        index: usize,
        c: &EncoderConfig,
        modern: &ModernConfig,
        key: Key,
        device: &Device,
    ) -> Self {
        let (d, wide) = (c.hidden_size, c.intermediate_size);
        let linear = |shape, bias, part| {
            Linear::new(shape, bias, c.initializer_range, key.with(part), device)
        };
        Self {
            attn_norm: (index > 0).then(|| c.norm(device)),
            attn: FusedAttention {
                wqkv: linear([3 * d, d], modern.attention_bias, 0),
                wo: linear([d, d], modern.attention_bias, 1),
            },
            mlp_norm: c.norm(device),
            mlp: GatedMlp {
                wi: linear([2 * wide, d], modern.mlp_bias, 2),
                wo: linear([d, wide], modern.mlp_bias, 3),
            },
        }
    }

    /// Computes the layer for the rows asked for, or for all.
    pub(super) fn forward(
        &self,
        x: Tensor<2>,
        rows: &Rows,
        reach: &Reach,
        c: &EncoderConfig,
        modern: &ModernConfig,
        f: Forward,
    ) -> Tensor<2> {
        let (d, wide) = (c.hidden_size, c.intermediate_size);
        let heads = Heads {
            query: c.num_attention_heads,
            key_value: c.num_attention_heads,
            head_dim: head_dim(c),
        };
        let (all, f) = (rows.all(f), rows.some(f));
        let read = match &self.attn_norm {
            Some(norm) => norm.forward(x.clone()),
            None => x.clone(),
        };
        let qkv = self.attn.wqkv.forward(read, all.part(0));
        let part = |index| qkv.clone().narrow(1, index * d, d);
        let (q, k) = (rope(part(0), &reach.rope), rope(part(1), &reach.rope));
        let mixed = segment_attention(q, k, part(2), &reach.plan, heads);
        let (mixed, x) = (rows.only(mixed), rows.only(x));
        let y = self.attn.wo.forward(mixed, f.part(1));
        let x = x + f.part(2).drop(y, modern.attention_dropout);
        let both = self
            .mlp
            .wi
            .forward(self.mlp_norm.forward(x.clone()), f.part(3));
        let half = |index| both.clone().narrow(1, index * wide, wide);
        let y = f.part(4).drop(geglu(half(0), half(1)), modern.mlp_dropout);
        x + self.mlp.wo.forward(y, f.part(5))
    }
}
