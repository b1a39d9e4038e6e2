//! Design of a family's decoders, as far as `config.json` does not define it.

/// Parts that every decoder of a family has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Design {
    pub(crate) norm: NormKind,
    pub(crate) placement: Placement,
    /// Width that queries and keys are normalised over, if the configuration asks for it.
    pub(crate) qk_norm: QkNorm,
    pub(crate) qkv: Qkv,
    pub(crate) mlp: MlpKind,
    pub(crate) activation: Activation,
    /// If true, positions are a table that is added to the embedding, and nothing turns.
    pub(crate) learned_positions: bool,
    /// If true, the embedding is multiplied by the root of the width.
    pub(crate) root_embedding: bool,
}

impl Design {
    /// Llama's design: RMSNorm before each part, SwiGLU, rotary positions, a matrix for each
    /// projection.
    pub(crate) const LLAMA: Self = Self {
        norm: NormKind::Rms,
        placement: Placement::Before,
        qk_norm: QkNorm::Head,
        qkv: Qkv::Apart,
        mlp: MlpKind::Gated,
        activation: Activation::Silu,
        learned_positions: false,
        root_embedding: false,
    };

    /// Gemma's design: RMSNorm by 1 + w, GeGLU, an embedding of a larger scale.
    pub(crate) const GEMMA: Self = Self {
        norm: NormKind::RmsPlusOne,
        activation: Activation::GeluTanh,
        root_embedding: true,
        ..Self::LLAMA
    };
}

/// Kind of a normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NormKind {
    /// x / rms(x) · w.
    Rms,
    /// x / rms(x) · (1 + w).
    RmsPlusOne,
    /// (x − mean) / sd · w + b.
    Layer,
}

/// Placement of a layer's norms. `n₁` to `n₄` are the norms `input_layernorm`,
/// `post_attention_layernorm`, `pre_feedforward_layernorm` and `post_feedforward_layernorm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// x += attn(n₁(x)); x += mlp(n₂(x)).
    Before,
    /// x += n₂(attn(x)); x += n₄(mlp(x)).
    After,
    /// x += n₂(attn(n₁(x))); x += n₄(mlp(n₃(x))).
    Both,
}

/// Width of the norm of queries and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QkNorm {
    /// Each head by itself; one weight serves all heads.
    Head,
    /// All heads together.
    Width,
}

/// Storage of the projections of queries, keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Qkv {
    /// Three matrices.
    Apart,
    /// One matrix: all queries, then all keys, then all values.
    Stacked,
    /// One matrix: query, key and value of the first head, then of the next.
    ByHead,
}

/// Kind of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MlpKind {
    /// down(act(gate(x)) · up(x)).
    Gated,
    /// As `Gated`, with gate and up in one matrix, gate first.
    GatedStacked,
    /// down(act(up(x))).
    Plain,
}

/// Activation of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x · σ(x).
    Silu,
    /// x · Φ(x), Φ the normal distribution function.
    Gelu,
    /// `Gelu` with a tanh in place of Φ.
    GeluTanh,
}
