//! Parameters that a configuration asks for, computed without creating them.

use super::config::LlamaConfig;
use super::design::{MlpKind, NormKind, QkNorm, Qkv};
use super::parts::norms;

impl LlamaConfig {
    /// Returns paths and shapes of all parameters that [`Llama::new`](super::Llama::new) creates.
    /// The iterator is lazy, because a configuration can ask for any number of layers.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (String, Vec<usize>)> + '_ {
        let table = vec![self.vocab_size, self.hidden_size];
        let design = self.family().design;
        let positions = design.learned_positions.then(|| {
            let shape = vec![self.max_position_embeddings, self.hidden_size];
            ("model.embed_positions.weight".to_owned(), shape)
        });
        let head =
            (!self.tie_word_embeddings).then(|| ("lm_head.weight".to_owned(), table.clone()));
        let layers = (0..self.num_hidden_layers).flat_map(move |index| {
            let named = move |(name, shape)| (format!("model.layers.{index}.{name}"), shape);
            self.block(index).into_iter().map(named)
        });
        std::iter::once(("model.embed_tokens.weight".to_owned(), table))
            .chain(positions)
            .chain(layers)
            .chain(self.norm("model.norm"))
            .chain(head)
    }

    /// Returns paths and shapes of a norm of the model's width.
    fn norm(&self, path: &str) -> Vec<(String, Vec<usize>)> {
        let bias = self.family().design.norm == NormKind::Layer;
        let names = std::iter::once("weight").chain(bias.then_some("bias"));
        let named = |name| (format!("{path}.{name}"), vec![self.hidden_size]);
        names.map(named).collect()
    }

    /// Returns paths within a layer, with their shapes.
    fn block(&self, index: usize) -> Vec<(String, Vec<usize>)> {
        let (width, wide, d) = (self.hidden_size, self.intermediate_size, self.head_dim());
        let (q, kv) = (self.num_attention_heads * d, self.num_key_value_heads * d);
        let (spec, design) = (self.layer(index), self.family().design);
        let qkv: &[(&str, usize)] = match design.qkv {
            Qkv::Apart => &[("q_proj", q), ("k_proj", kv), ("v_proj", kv)],
            Qkv::Stacked | Qkv::ByHead => &[("qkv_proj", q + 2 * kv)],
        };
        let inner: &[(&str, usize)] = match design.mlp {
            MlpKind::Gated => &[("gate_proj", wide), ("up_proj", wide)],
            MlpKind::GatedStacked => &[("gate_up_proj", 2 * wide)],
            MlpKind::Plain => &[("up_proj", wide)],
        };
        let mut all = Vec::new();
        let mut linear = |name: String, out, input, bias: bool| {
            all.push((format!("{name}.weight"), vec![out, input]));
            all.extend(bias.then(|| (format!("{name}.bias"), vec![out])));
        };
        for &(name, out) in qkv {
            linear(format!("self_attn.{name}"), out, width, spec.qkv_bias);
        }
        linear("self_attn.o_proj".to_owned(), width, q, spec.o_bias);
        for &(name, out) in inner {
            linear(format!("mlp.{name}"), out, width, spec.mlp_bias);
        }
        linear("mlp.down_proj".to_owned(), width, wide, spec.mlp_bias);
        for (name, width) in [("q_norm", q), ("k_norm", kv)] {
            let width = match design.qk_norm {
                QkNorm::Head => d,
                QkNorm::Width => width,
            };
            let weight = (format!("self_attn.{name}.weight"), vec![width]);
            all.extend(spec.qk_norm.then_some(weight));
        }
        let [first, third, fourth] = norms(design.placement);
        for (name, is_there) in [
            ("input_layernorm", first),
            ("post_attention_layernorm", true),
            ("pre_feedforward_layernorm", third),
            ("post_feedforward_layernorm", fourth),
        ] {
            all.extend(is_there.then(|| self.norm(name)).into_iter().flatten());
        }
        all
    }

    /// Returns the number of parameters, without overflow for sizes that fit 32 bits each.
    pub(super) fn parameter_count(&self) -> u128 {
        let values = |shape: &[usize]| shape.iter().map(|&n| n as u128).product::<u128>();
        // All layers have parameters of the same shapes.
        let block: u128 = self.block(0).iter().map(|(_, shape)| values(shape)).sum();
        let table = values(&[self.vocab_size, self.hidden_size]);
        let tables = table * if self.tie_word_embeddings { 1 } else { 2 };
        let positions = match self.family().design.learned_positions {
            true => values(&[self.max_position_embeddings, self.hidden_size]),
            false => 0,
        };
        let norm: u128 = self.norm("").iter().map(|(_, shape)| values(shape)).sum();
        tables + positions + norm + block * self.num_hidden_layers as u128
    }
}
