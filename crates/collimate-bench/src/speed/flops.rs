//! Counts of floating-point operations that a step needs: those of its matrix products. Products
//! that are computed a second time to save memory count once.

use collimate::nn::{Backbone, parameters};

/// Sizes of a model that determine its cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ModelSize {
    /// Number of values in the matrices of the layers.
    pub(crate) blocks: f64,
    pub(crate) layers: f64,
    /// Width of the queries of all heads together.
    pub(crate) queries: f64,
    pub(crate) hidden: f64,
    pub(crate) vocab: f64,
}

impl ModelSize {
    /// Reads the sizes of a transformer whose layers' paths contain `layer.N.` or `layers.N.`.
    pub(crate) fn of<B: Backbone>(model: &B) -> Self {
        let mut layers = std::collections::BTreeSet::new();
        let mut blocks = 0;
        let mut queries = model.hidden_size();
        for parameter in parameters(model) {
            let mut parts = parameter.path.split('.');
            let Some(_) = parts.find(|part| matches!(*part, "layer" | "layers")) else {
                continue;
            };
            layers.extend(parts.next().map(str::to_owned));
            if let [rows, _] = parameter.shape[..] {
                blocks += parameter.len();
                if parameter.path.ends_with("q_proj.weight") {
                    queries = rows;
                }
            }
        }
        Self {
            blocks: blocks as f64,
            layers: layers.len() as f64,
            queries: queries as f64,
            hidden: model.hidden_size() as f64,
            vocab: model.vocab_size() as f64,
        }
    }

    /// Counts a forward pass: 2 per matrix value and token, 4 per visible key, and 2 per product of
    /// a logit.
    pub(crate) fn forward(&self, counts: Counts) -> f64 {
        2.0 * self.blocks * counts.tokens
            + 4.0 * self.queries * self.layers * counts.visible
            + 2.0 * self.hidden * self.vocab * counts.predicted
    }

    /// Counts a forward and a backward pass; the backward pass of a product is two products.
    pub(crate) fn training(&self, counts: Counts) -> f64 {
        3.0 * self.forward(counts)
    }
}

/// Number of items that a pass processes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Counts {
    /// Tokens; a shared prompt counts once.
    pub(crate) tokens: f64,
    /// Pairs (query, key) that see each other.
    pub(crate) visible: f64,
    /// Rows that are multiplied by the output matrix.
    pub(crate) predicted: f64,
}

impl Counts {
    /// Counts sequences `[prompt, completions…]` with a shared prompt.
    pub(crate) fn shared(prompt: usize, completions: &[usize]) -> Self {
        let triangle = |n: f64| n * (n + 1.0) / 2.0;
        let p = prompt as f64;
        let mut counts = Self {
            tokens: p,
            visible: triangle(p),
            predicted: 0.0,
        };
        for &len in completions {
            let len = len as f64;
            counts.tokens += len;
            counts.visible += len * p + triangle(len);
            counts.predicted += if prompt == 0 { len - 1.0 } else { len };
        }
        counts
    }

    /// Counts one text that sees all of itself and predicts nothing.
    pub(crate) fn whole(len: usize) -> Self {
        let len = len as f64;
        Self {
            tokens: len,
            visible: len * len,
            predicted: 0.0,
        }
    }

    /// Returns the counts without predictions, as for a reward model.
    pub(crate) fn unpredicted(self) -> Self {
        Self {
            predicted: 0.0,
            ..self
        }
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |a, b| Self {
            tokens: a.tokens + b.tokens,
            visible: a.visible + b.visible,
            predicted: a.predicted + b.predicted,
        })
    }
}

#[cfg(test)]
mod tests {
    use collimate::core::Key;
    use collimate::lm::{Llama, LlamaConfig};
    use collimate::prelude::Device;

    use super::*;

    #[test]
    fn a_small_llama_is_counted_by_hand() {
        let config = LlamaConfig {
            vocab_size: 10,
            hidden_size: 8,
            intermediate_size: 12,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            num_key_value_heads: 1,
            ..LlamaConfig::default()
        };
        let model = Llama::new(&config, Key::new(0, "init"), &Device::flex()).unwrap();
        let size = ModelSize::of(&model);
        // Queries and output 8×8, keys and values 4×8, three of the feed-forward layer 12×8.
        assert_eq!(size.blocks, 2.0 * (64.0 + 32.0 + 32.0 + 64.0 + 3.0 * 96.0));
        assert_eq!(
            [size.layers, size.queries, size.hidden, size.vocab],
            [2.0, 8.0, 8.0, 10.0]
        );
        // Prompt 2, completions 1 and 2: 3 + (2 + 1) + (4 + 3) visible pairs.
        let counts = Counts::shared(2, &[1, 2]);
        assert_eq!(
            [counts.tokens, counts.visible, counts.predicted],
            [5.0, 13.0, 3.0]
        );
        let forward = 2.0 * size.blocks * 5.0 + 4.0 * 8.0 * 2.0 * 13.0 + 2.0 * 8.0 * 10.0 * 3.0;
        assert_eq!(size.forward(counts), forward);
    }

    #[test]
    fn the_first_token_is_predicted_by_nothing() {
        assert_eq!(Counts::shared(0, &[3]).predicted, 2.0);
        assert_eq!(Counts::whole(3).visible, 9.0);
    }
}
