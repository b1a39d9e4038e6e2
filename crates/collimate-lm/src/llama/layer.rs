//! Parts of each layer of a decoder.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::config::LlamaConfig;

/// Reach of a layer's attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LayerKind {
    /// A token sees all tokens before it.
    FullAttention,
    /// A token sees `sliding_window` tokens, including itself.
    SlidingAttention,
}

/// Specification of one layer: its parts, its window and its rotary table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerSpec {
    /// Index of the layer's window in [`LlamaConfig::windows`].
    pub(crate) window: usize,
    /// Index of the rotary table in [`LlamaConfig::ropes`]; `None` if queries and keys do not turn
    /// with their positions.
    pub(crate) rope: Option<usize>,
    /// Divisor of the queries.
    pub(crate) query_divisor: usize,
    /// If true, queries and keys are normalised before they turn.
    pub(crate) qk_norm: bool,
    /// If true, queries, keys and values have a bias.
    pub(crate) qkv_bias: bool,
    /// If true, the output of the attention has a bias.
    pub(crate) o_bias: bool,
    /// If true, the feed-forward projections have a bias.
    pub(crate) mlp_bias: bool,
}

impl LlamaConfig {
    /// Returns the specification of a layer.
    pub(crate) fn layer(&self, index: usize) -> LayerSpec {
        let own = self.window_of(index);
        let window = self.windows().iter().position(|window| *window == own);
        let switches = self.no_rope_layers.as_ref();
        let still = switches.is_some_and(|layers| layers.get(index) == Some(&0));
        let own_table = self.sliding_rope.is_some() && self.slides(index);
        let turns = !still && !self.family().design.learned_positions;
        LayerSpec {
            window: window.unwrap_or(0),
            rope: turns.then_some(usize::from(own_table)),
            query_divisor: match self.scale_attn_by_inverse_layer_idx {
                true => index + 1,
                false => 1,
            },
            qk_norm: self.qk_norm,
            qkv_bias: self.attention_bias || self.qkv_bias,
            o_bias: self.attention_bias,
            mlp_bias: self.mlp_bias,
        }
    }

    fn slides(&self, index: usize) -> bool {
        let kinds = self.layer_types.as_ref();
        let full = kinds.is_some_and(|kinds| kinds.get(index) == Some(&LayerKind::FullAttention));
        self.sliding_window.is_some() && !full
    }

    fn window_of(&self, index: usize) -> Option<NonZeroUsize> {
        let window = self.sliding_window.and_then(NonZeroUsize::new);
        window.filter(|_| self.slides(index))
    }

    /// Returns the distinct windows of the layers, in order of first use.
    pub(crate) fn windows(&self) -> Vec<Option<NonZeroUsize>> {
        let kinds = self.layer_types.as_ref().map_or(1, Vec::len);
        let mut windows = Vec::new();
        for window in (0..kinds).map(|index| self.window_of(index)) {
            if !windows.contains(&window) {
                windows.push(window);
            }
        }
        windows
    }
}
