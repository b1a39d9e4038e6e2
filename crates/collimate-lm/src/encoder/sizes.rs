//! The parameters that a configuration asks for, known without making them.

use super::attention::BUCKETS;
use super::config::EncoderConfig;

/// Paths and shapes of parameters.
type Shapes = Vec<(String, Vec<usize>)>;

impl EncoderConfig {
    /// Paths and shapes of all parameters of the encoder that [`Encoder::new`](super::Encoder::new)
    /// makes, in the same order. Lazy, because a configuration can ask for any number of layers.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (String, Vec<usize>)> + '_ {
        let layers = (0..self.num_hidden_layers).flat_map(move |index| {
            let named = move |(name, shape)| (format!("encoder.layer.{index}.{name}"), shape);
            self.layer().into_iter().map(named)
        });
        self.before().into_iter().chain(layers).chain(self.after())
    }

    /// The parameters of the part of a classification head before its last layer.
    pub(super) fn head_parameters(&self) -> Shapes {
        let width = self.hidden_size;
        linear("head.dense", width, width).into()
    }

    /// The parameters before the layers.
    fn before(&self) -> Shapes {
        let width = self.hidden_size;
        let tables = [
            ("word_embeddings", self.vocab_size),
            ("position_embeddings", self.max_position_embeddings),
            ("token_type_embeddings", self.type_vocab_size),
        ];
        let tables = tables.into_iter().filter(|(_, rows)| *rows > 0);
        tables
            .map(move |(name, rows)| (format!("embeddings.{name}.weight"), vec![rows, width]))
            .chain(norm("embeddings", width))
            .collect()
    }

    /// The parameters beside the layers.
    fn after(&self) -> Shapes {
        let bias = self.family().distances.then(|| {
            let path = "encoder.relative_attention_bias.weight".to_owned();
            (path, vec![BUCKETS, self.num_attention_heads])
        });
        bias.into_iter().collect()
    }

    /// Paths within a layer, and shapes.
    fn layer(&self) -> Shapes {
        let (width, wide) = (self.hidden_size, self.intermediate_size);
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
        let values = |shapes: Shapes| -> u128 {
            let one = |shape: &Vec<usize>| shape.iter().map(|&n| n as u128).product::<u128>();
            shapes.iter().map(|(_, shape)| one(shape)).sum()
        };
        let layers = values(self.layer()) * self.num_hidden_layers as u128;
        values(self.before()) + layers + values(self.after())
    }
}

/// The weight and the bias of a linear layer.
fn linear(name: &str, out: usize, input: usize) -> [(String, Vec<usize>); 2] {
    [
        (format!("{name}.weight"), vec![out, input]),
        (format!("{name}.bias"), vec![out]),
    ]
}

/// A normalisation's scale and offset.
fn norm(of: &str, width: usize) -> [(String, Vec<usize>); 2] {
    ["weight", "bias"].map(|name| (format!("{of}.layer_norm.{name}"), vec![width]))
}
