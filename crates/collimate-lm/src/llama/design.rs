//! How the decoders of a family are built, where `config.json` has no say.

/// The parts that every decoder of a family has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Design {
    pub(crate) norm: NormKind,
    pub(crate) placement: Placement,
    /// The width that queries and keys are normalised over, where the configuration asks for it.
    pub(crate) qk_norm: QkNorm,
    pub(crate) qkv: Qkv,
    pub(crate) mlp: MlpKind,
    pub(crate) activation: Activation,
    /// Positions are a table that is added to the embedding, and nothing turns.
    pub(crate) learned_positions: bool,
    /// The embedding is multiplied by the root of the width.
    pub(crate) root_embedding: bool,
}

impl Design {
    /// RMSNorm before each part, SwiGLU, rotary positions, a matrix for each projection.
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

    /// RMSNorm by 1 + w, GeGLU, an embedding of a larger scale.
    pub(crate) const GEMMA: Self = Self {
        norm: NormKind::RmsPlusOne,
        activation: Activation::GeluTanh,
        root_embedding: true,
        ..Self::LLAMA
    };
}

/// A normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NormKind {
    /// x / rms(x) · w.
    Rms,
    /// x / rms(x) · (1 + w).
    RmsPlusOne,
    /// (x − mean) / sd · w + b.
    Layer,
}

/// Where a layer normalises. `n₁` to `n₄` are the norms `input_layernorm`,
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

/// The width of the norm of queries and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QkNorm {
    /// Each head by itself; one weight serves all heads.
    Head,
    /// All heads together.
    Width,
}

/// How the projections of queries, keys and values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Qkv {
    /// Three matrices.
    Apart,
    /// One matrix: all queries, then all keys, then all values.
    Stacked,
    /// One matrix: query, key and value of the first head, then of the next.
    ByHead,
}

/// A feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MlpKind {
    /// down(act(gate(x)) · up(x)).
    Gated,
    /// As `Gated`; gate and up are one matrix, gate first.
    GatedStacked,
    /// down(act(up(x))).
    Plain,
}

/// A function between the matrices of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x · σ(x).
    Silu,
    /// x · Φ(x), Φ the normal distribution function.
    Gelu,
    /// `Gelu` with a tanh in place of Φ.
    GeluTanh,
}
