//! The parameters that a configuration asks for, known without making them.

use super::config::BertConfig;

impl BertConfig {
    /// Paths and shapes of all parameters of the encoder that [`Bert::new`](super::Bert::new)
    /// makes, in the same order. Lazy, because a configuration can ask for any number of layers.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (String, Vec<usize>)> + '_ {
        let width = self.hidden_size;
        let tables = [
            ("word_embeddings", self.vocab_size),
            ("position_embeddings", self.max_position_embeddings),
            ("token_type_embeddings", self.type_vocab_size),
        ];
        let tables = tables
            .into_iter()
            .map(move |(name, rows)| (format!("embeddings.{name}.weight"), vec![rows, width]));
        let layers = (0..self.num_hidden_layers).flat_map(move |index| {
            let named = move |(name, shape)| (format!("encoder.layer.{index}.{name}"), shape);
            self.layer().into_iter().map(named)
        });
        tables.chain(norm("embeddings", width)).chain(layers)
    }

    /// Paths within a layer, and shapes.
    fn layer(&self) -> Vec<(String, Vec<usize>)> {
        let (width, wide) = (self.hidden_size, self.intermediate_size);
        let linear = |name: &str, out, input| {
            [
                (format!("{name}.weight"), vec![out, input]),
                (format!("{name}.bias"), vec![out]),
            ]
        };
        let mut all = Vec::new();
        all.extend(linear("attention.self_.query", width, width));
        all.extend(linear("attention.self_.key", width, width));
        all.extend(linear("attention.self_.value", width, width));
        all.extend(linear("attention.output.dense", width, width));
        all.extend(norm("attention.output", width));
        all.extend(linear("intermediate.dense", wide, width));
        all.extend(linear("output.dense", width, wide));
        all.extend(norm("output", width));
        all
    }

    /// Number of parameters, without overflow for sizes that fit 32 bits each.
    pub(super) fn parameter_count(&self) -> u128 {
        let values = |shape: &[usize]| shape.iter().map(|&n| n as u128).product::<u128>();
        let layer: u128 = self.layer().iter().map(|(_, shape)| values(shape)).sum();
        let rows = [
            self.vocab_size,
            self.max_position_embeddings,
            self.type_vocab_size,
            2,
        ];
        let rows: u128 = rows.iter().map(|&rows| rows as u128).sum();
        rows * self.hidden_size as u128 + layer * self.num_hidden_layers as u128
    }
}

/// A normalisation's scale and offset.
fn norm(of: &str, width: usize) -> [(String, Vec<usize>); 2] {
    ["weight", "bias"].map(|name| (format!("{of}.layer_norm.{name}"), vec![width]))
}
