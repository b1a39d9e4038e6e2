//! The tensors of a model: name, shape and form in both formats.

use super::arch::Arch;

/// Biases of the four matrices of attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttentionBias {
    None,
    /// Query, key and value have a bias.
    Inputs,
    /// The output matrix has a bias too.
    All,
}

/// Numbers that determine the tensors of a model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) arch: Arch,
    pub(crate) layers: usize,
    pub(crate) hidden: usize,
    pub(crate) inner: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) vocab: usize,
    /// If true, the output matrix is the embedding matrix.
    pub(crate) tied: bool,
    pub(crate) attention_bias: AttentionBias,
    pub(crate) mlp_bias: bool,
}

/// Difference between the values in the two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The values are equal.
    None,
    /// Rotary positions turn pairs of rows `(i, i + d/2)` of each head in Hugging Face, and
    /// `(2 i, 2 i + 1)` in GGUF.
    Rotary {
        /// Number of heads.
        heads: usize,
    },
    /// GGUF stores `1 + w`.
    PlusOne,
}

/// A tensor in both formats.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) gguf: String,
    pub(crate) hf: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) change: Change,
}

impl Sizes {
    /// Returns the rows of the query matrix, and of the key and value matrices. The caller has
    /// checked the products with [`Sizes::check`].
    fn rows(&self) -> (usize, usize) {
        (self.heads * self.head_dim, self.kv_heads * self.head_dim)
    }

    /// Returns the name of the first number that makes the model impossible, and the reason.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        let numbers = [
            ("num_hidden_layers", self.layers),
            ("hidden_size", self.hidden),
            ("intermediate_size", self.inner),
            ("num_attention_heads", self.heads),
            ("num_key_value_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("vocab_size", self.vocab),
        ];
        for (name, number) in numbers {
            if number == 0 || number > 1 << 31 {
                return Err((
                    name,
                    format!("is {number} but must be from 1 to 2147483648"),
                ));
            }
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(("head_dim", format!("is {} but must be even", self.head_dim)));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            let message = format!("is {} but must divide {}", self.kv_heads, self.heads);
            return Err(("num_key_value_heads", message));
        }
        // Both factors are at most 2^31, so the product fits into 64 bits.
        match self.heads.checked_mul(self.head_dim) {
            Some(_) => Ok(()),
            None => Err((
                "num_attention_heads",
                "times head_dim is too large".to_owned(),
            )),
        }
    }

    /// Returns all tensors in the order of the layers.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        let (hidden, inner) = (self.hidden, self.inner);
        let (queries, keys) = self.rows();
        let norm = match self.arch.is_gemma() {
            true => Change::PlusOne,
            false => Change::None,
        };
        let rotary = |heads| match self.arch {
            Arch::Llama => Change::Rotary { heads },
            _ => Change::None,
        };
        let (turn_q, turn_k) = (rotary(self.heads), rotary(self.kv_heads));
        let mut slots = Vec::new();
        let mut add = |gguf: String, hf: String, shape: &[usize], change| {
            let shape = shape.to_vec();
            slots.push(Slot {
                gguf,
                hf,
                shape,
                change,
            });
        };
        let embedding = [self.vocab, hidden];
        let plain = Change::None;
        add(
            "token_embd.weight".into(),
            "model.embed_tokens.weight".into(),
            &embedding,
            plain,
        );
        for layer in 0..self.layers {
            let mut weight = |gguf: &str, hf: &str, suffix: &str, shape: &[usize], change| {
                let gguf = format!("blk.{layer}.{gguf}.{suffix}");
                add(
                    gguf,
                    format!("model.layers.{layer}.{hf}.{suffix}"),
                    shape,
                    change,
                );
            };
            let matrices: [(&str, &str, [usize; 2], Change); 7] = [
                ("attn_q", "self_attn.q_proj", [queries, hidden], turn_q),
                ("attn_k", "self_attn.k_proj", [keys, hidden], turn_k),
                ("attn_v", "self_attn.v_proj", [keys, hidden], plain),
                ("attn_output", "self_attn.o_proj", [hidden, queries], plain),
                ("ffn_gate", "mlp.gate_proj", [inner, hidden], plain),
                ("ffn_up", "mlp.up_proj", [inner, hidden], plain),
                ("ffn_down", "mlp.down_proj", [hidden, inner], plain),
            ];
            for (index, (gguf, hf, shape, change)) in matrices.into_iter().enumerate() {
                weight(gguf, hf, "weight", &shape, change);
                let bias = match index {
                    0..=2 => self.attention_bias != AttentionBias::None,
                    3 => self.attention_bias == AttentionBias::All,
                    _ => self.mlp_bias,
                };
                if bias {
                    weight(gguf, hf, "bias", &shape[..1], change);
                }
            }
            if self.arch.has_qk_norms() {
                weight(
                    "attn_q_norm",
                    "self_attn.q_norm",
                    "weight",
                    &[self.head_dim],
                    norm,
                );
                weight(
                    "attn_k_norm",
                    "self_attn.k_norm",
                    "weight",
                    &[self.head_dim],
                    norm,
                );
            }
            let norms: &[(&str, &str)] = match self.arch.has_post_norms() {
                true => &[
                    ("attn_norm", "input_layernorm"),
                    ("post_attention_norm", "post_attention_layernorm"),
                    ("ffn_norm", "pre_feedforward_layernorm"),
                    ("post_ffw_norm", "post_feedforward_layernorm"),
                ],
                false => &[
                    ("attn_norm", "input_layernorm"),
                    ("ffn_norm", "post_attention_layernorm"),
                ],
            };
            for (gguf, hf) in norms {
                weight(gguf, hf, "weight", &[hidden], norm);
            }
        }
        add(
            "output_norm.weight".into(),
            "model.norm.weight".into(),
            &[hidden],
            norm,
        );
        if !self.tied {
            add(
                "output.weight".into(),
                "lm_head.weight".into(),
                &embedding,
                plain,
            );
        }
        slots
    }
}

impl Slot {
    /// Turns the values of the GGUF file into the values of Hugging Face.
    pub(crate) fn to_hf(&self, values: Vec<f32>) -> Vec<f32> {
        match self.change {
            Change::None => values,
            Change::PlusOne => values.into_iter().map(|value| value - 1.0).collect(),
            Change::Rotary { heads } => {
                self.reorder(&values, heads, |row, half| row % half * 2 + row / half)
            }
        }
    }

    /// Turns the values of Hugging Face into the values of the GGUF file.
    pub(crate) fn to_gguf(&self, values: Vec<f32>) -> Vec<f32> {
        match self.change {
            Change::None => values,
            Change::PlusOne => values.into_iter().map(|value| value + 1.0).collect(),
            Change::Rotary { heads } => {
                self.reorder(&values, heads, |row, half| row % 2 * half + row / 2)
            }
        }
    }

    /// Reorders the rows of each head. `from` gives the old number of a new row in the head.
    fn reorder(
        &self,
        values: &[f32],
        heads: usize,
        from: impl Fn(usize, usize) -> usize,
    ) -> Vec<f32> {
        let rows = self.shape[0];
        let (width, height) = (values.len() / rows, rows / heads);
        let mut reordered = Vec::with_capacity(values.len());
        for row in 0..rows {
            let (head, inside) = (row / height, row % height);
            let old = head * height + from(inside, height / 2);
            reordered.extend_from_slice(&values[old * width..][..width]);
        }
        reordered
    }
}
