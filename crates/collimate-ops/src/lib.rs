#![doc = include_str!("../README.md")]

mod adamw;
mod adapted;
mod cache;
mod disentangled;
mod error;
#[cfg(feature = "flex")]
mod fused;
#[cfg(feature = "flex")]
mod fused_kernels;
mod host;
#[cfg(feature = "flex")]
mod kernels;
mod logp;
mod mask;
pub mod naive;
mod ops;
mod packed;
mod plan;
#[cfg_attr(
    not(any(
        feature = "flex",
        feature = "ndarray",
        feature = "cuda",
        feature = "metal",
        feature = "vulkan",
        feature = "wgpu"
    )),
    allow(dead_code, unused_imports)
)]
#[allow(deprecated)] // burn-ndarray, as long as Burn has it
mod recompute;
mod rope;
mod saving;

pub use adamw::{AdamW, AdamWState, adamw_step, adamw_step_scaled, gradient_norm, sum_of_squares};
pub use adapted::{LowRankUpdate, adapted_linear, adapted_linear_bf16, dropped};
pub use cache::{Append, CacheType, KvPages, cached_attention};
pub use disentangled::{RelativePositions, RelativeProjections, disentangled_attention};
pub use error::OpsError;
pub use host::to_host;
pub use logp::{
    selected_logp, selected_logp_capped, selected_logp_entropy, selected_logp_entropy_capped,
};
pub use mask::DropMask;
pub use ops::{
    embedding, geglu, geglu_tanh, gelu, gelu_tanh, is_fused, layer_norm, linear, linear_bf16,
    rms_norm, segment_attention, swiglu,
};
pub use packed::{PackedLinear, PackedType};
pub use plan::{AttentionPlan, Heads, Scores, Visibility};
pub use recompute::recomputed;
pub use rope::{RopeTable, rope};
pub use saving::{SavedType, saving};
