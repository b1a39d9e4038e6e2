//! Names of sizes in `config.json`, and of tensors in files.

use serde_json::{Map, Value};

/// Names of sizes in a family's `config.json`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    pub(crate) hidden_size: &'static str,
    pub(crate) intermediate_size: &'static str,
    pub(crate) num_hidden_layers: &'static str,
    pub(crate) num_attention_heads: &'static str,
    pub(crate) max_position_embeddings: &'static str,
    pub(crate) eps: &'static str,
    pub(crate) activation: &'static str,
}

impl Keys {
    pub(super) const LLAMA: Self = Self {
        hidden_size: "hidden_size",
        intermediate_size: "intermediate_size",
        num_hidden_layers: "num_hidden_layers",
        num_attention_heads: "num_attention_heads",
        max_position_embeddings: "max_position_embeddings",
        eps: "rms_norm_eps",
        activation: "hidden_act",
    };

    /// Renames the keys of a configuration from Llama's names.
    pub(super) fn rename(&self, json: &mut Map<String, Value>) {
        let (from, to) = (Self::LLAMA.all(), self.all());
        for (from, to) in from.into_iter().zip(to).filter(|(from, to)| from != to) {
            if let Some(value) = json.remove(from) {
                json.insert(to.to_owned(), value);
            }
        }
    }

    fn all(&self) -> [&'static str; 7] {
        [
            self.hidden_size,
            self.intermediate_size,
            self.num_hidden_layers,
            self.num_attention_heads,
            self.max_position_embeddings,
            self.eps,
            self.activation,
        ]
    }
}

/// Names of tensors in a family's files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    /// Prefix of all names except the output's.
    pub(crate) prefix: &'static str,
    /// Parts of parameter paths, and the names that replace them.
    parts: &'static [(&'static str, &'static str)],
    /// Possible names of the output matrix, the preferred name first.
    pub(crate) output: &'static [&'static str],
    /// Suffixes of the names of tensors that follow from the configuration.
    pub(crate) buffers: &'static [&'static str],
    /// If true, matrices of layers are stored as `[in, out]`.
    pub(crate) transposed: bool,
}

impl Names {
    pub(super) const LLAMA: Self = Self {
        prefix: "model.",
        parts: &[],
        output: &["lm_head.weight"],
        buffers: &["inv_freq"],
        transposed: false,
    };

    pub(super) const GPT_NEOX: Self = Self {
        prefix: "gpt_neox.",
        parts: &[
            ("embed_tokens", "embed_in"),
            ("self_attn.qkv_proj", "attention.query_key_value"),
            ("self_attn.o_proj", "attention.dense"),
            ("mlp.up_proj", "mlp.dense_h_to_4h"),
            ("mlp.down_proj", "mlp.dense_4h_to_h"),
            ("norm.", "final_layer_norm."),
        ],
        output: &["embed_out.weight", "lm_head.weight"],
        buffers: &["inv_freq", ".attention.bias", ".attention.masked_bias"],
        transposed: false,
    };

    pub(super) const GPT2: Self = Self {
        prefix: "transformer.",
        parts: &[
            ("embed_tokens", "wte"),
            ("embed_positions", "wpe"),
            ("layers.", "h."),
            ("self_attn.qkv_proj", "attn.c_attn"),
            ("self_attn.o_proj", "attn.c_proj"),
            ("mlp.up_proj", "mlp.c_fc"),
            ("mlp.down_proj", "mlp.c_proj"),
            ("input_layernorm", "ln_1"),
            ("post_attention_layernorm", "ln_2"),
            ("norm.", "ln_f."),
        ],
        output: &["lm_head.weight"],
        buffers: &[".attn.bias", ".attn.masked_bias"],
        transposed: true,
    };

    /// Returns the name of a parameter, or of a part of the network.
    pub(crate) fn of(&self, path: &str) -> String {
        let Some(rest) = path.strip_prefix("model.") else {
            let output = self.output[0];
            return if path == "lm_head.weight" {
                output
            } else {
                path
            }
            .to_owned();
        };
        let mut rest = rest.to_owned();
        for (part, name) in self.parts {
            // The last norm must not match a part of another name.
            let whole = *part != "norm." || rest.starts_with("norm.");
            if whole && rest.contains(part) {
                rest = rest.replacen(part, name, 1);
            }
        }
        format!("{}{rest}", self.prefix)
    }

    /// Returns true if a file stores the parameter's matrix as `[in, out]`.
    pub(crate) fn is_transposed(&self, path: &str) -> bool {
        self.transposed && path.ends_with("_proj.weight")
    }
}
