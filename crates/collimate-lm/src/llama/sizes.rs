//! The parameters that a configuration asks for, known without making them.

use super::config::LlamaConfig;

impl LlamaConfig {
    /// Paths and shapes of all parameters of the decoder that [`Llama::new`](super::Llama::new)
    /// makes, in the same order. Lazy, because a configuration can ask for any number of layers.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (String, Vec<usize>)> + '_ {
        let table = vec![self.vocab_size, self.hidden_size];
        let head =
            (!self.tie_word_embeddings).then(|| ("lm_head.weight".to_owned(), table.clone()));
        let layers = (0..self.num_hidden_layers).flat_map(move |index| {
            let named = move |(name, shape)| (format!("model.layers.{index}.{name}"), shape);
            self.block(index).into_iter().map(named)
        });
        let norm = ("model.norm.weight".to_owned(), vec![self.hidden_size]);
        std::iter::once(("model.embed_tokens.weight".to_owned(), table))
            .chain(layers)
            .chain([norm])
            .chain(head)
    }

    /// Paths within a layer, and shapes.
    fn block(&self, index: usize) -> Vec<(String, Vec<usize>)> {
        let (width, wide, d) = (self.hidden_size, self.intermediate_size, self.head_dim());
        let (q, kv) = (self.num_attention_heads * d, self.num_key_value_heads * d);
        let spec = self.layer(index);
        let mut all = Vec::new();
        for (name, out, input, bias) in [
            ("self_attn.q_proj", q, width, spec.qkv_bias),
            ("self_attn.k_proj", kv, width, spec.qkv_bias),
            ("self_attn.v_proj", kv, width, spec.qkv_bias),
            ("self_attn.o_proj", width, q, spec.o_bias),
            ("mlp.gate_proj", wide, width, spec.mlp_bias),
            ("mlp.up_proj", wide, width, spec.mlp_bias),
            ("mlp.down_proj", width, wide, spec.mlp_bias),
        ] {
            all.push((format!("{name}.weight"), vec![out, input]));
            all.extend(bias.then(|| (format!("{name}.bias"), vec![out])));
            if name == "self_attn.o_proj" && spec.qk_norm {
                for norm in ["self_attn.q_norm", "self_attn.k_norm"] {
                    all.push((format!("{norm}.weight"), vec![d]));
                }
            }
        }
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            all.push((format!("{norm}.weight"), vec![width]));
        }
        all
    }

    /// Number of parameters, without overflow for sizes that fit 32 bits each.
    pub(super) fn parameter_count(&self) -> u128 {
        let values = |shape: &[usize]| shape.iter().map(|&n| n as u128).product::<u128>();
        // All layers have parameters of the same shapes.
        let block: u128 = self.block(0).iter().map(|(_, shape)| values(shape)).sum();
        let table = values(&[self.vocab_size, self.hidden_size]);
        let tables = table * if self.tie_word_embeddings { 1 } else { 2 };
        tables + block * self.num_hidden_layers as u128 + self.hidden_size as u128
    }
}
