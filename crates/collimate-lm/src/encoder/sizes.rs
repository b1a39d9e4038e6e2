//! Parameters that a configuration asks for, computed without creating them.

use super::attention::BUCKETS;
use super::config::EncoderConfig;
use super::deberta::RelativeNorm;

/// Paths and shapes of parameters.
type Shapes = Vec<(String, Vec<usize>)>;

impl EncoderConfig {
    /// Returns paths and shapes of all parameters that [`Encoder::new`](super::Encoder::new)
    /// creates, in the same order. The iterator is lazy, because a configuration can ask for any
    /// number of layers.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (String, Vec<usize>)> + '_ {
        let kind = if self.modern.is_some() {
            "pre_layer"
        } else {
            "layer"
        };
        let layers = (0..self.num_hidden_layers).flat_map(move |index| {
            let named = move |(name, shape)| (format!("encoder.{kind}.{index}.{name}"), shape);
            self.layer(index).into_iter().map(named)
        });
        self.before().into_iter().chain(layers).chain(self.after())
    }

    /// Returns the parameters of the part of a classification head before its last layer.
    pub(super) fn head_parameters(&self) -> Shapes {
        let width = self.hidden_size;
        let mut all = linear("head.dense", [width, width], self.head_bias());
        if self.family().head.norm.is_some() {
            all.extend(self.norm_shapes("head.norm"));
        }
        all
    }

    /// Returns the number of rows of the table of positions, 0 without a table.
    pub(super) fn position_rows(&self) -> usize {
        match self.family().positions {
            true => self.max_position_embeddings,
            false => 0,
        }
    }

    /// Returns the parameters before the layers.
    fn before(&self) -> Shapes {
        let width = self.hidden_size;
        let tables = [
            ("word_embeddings", self.vocab_size),
            ("position_embeddings", self.position_rows()),
            ("token_type_embeddings", self.type_vocab_size),
        ];
        let tables = tables.into_iter().filter(|(_, rows)| *rows > 0);
        tables
            .map(move |(name, rows)| (format!("embeddings.{name}.weight"), vec![rows, width]))
            .chain(self.norm_shapes("embeddings.layer_norm"))
            .collect()
    }

    /// Returns the parameters that follow the layers.
    fn after(&self) -> Shapes {
        let bias = self.family().distances.then(|| {
            let path = "encoder.relative_attention_bias.weight".to_owned();
            (path, vec![BUCKETS, self.num_attention_heads])
        });
        let mut all: Shapes = bias.into_iter().collect();
        if let Some(deberta) = &self.deberta {
            let rows = deberta
                .positions(self)
                .map_or(0, |positions| positions.rows());
            let path = "encoder.relative.rel_embeddings.weight".to_owned();
            all.push((path, vec![rows, self.hidden_size]));
            if deberta.norm_rel_ebd == RelativeNorm::LayerNorm {
                all.extend(self.norm_shapes("encoder.relative.layer_norm"));
            }
        }
        if self.modern.is_some() {
            all.extend(self.norm_shapes("encoder.final_norm"));
        }
        all
    }

    /// Returns paths within a layer, with their shapes.
    fn layer(&self, index: usize) -> Shapes {
        let (width, wide) = (self.hidden_size, self.intermediate_size);
        let mut all = Vec::new();
        if let Some(modern) = &self.modern {
            let (attention, mlp) = (modern.attention_bias, modern.mlp_bias);
            if index > 0 {
                all.extend(self.norm_shapes("attn_norm"));
            }
            all.extend(linear("attn.wqkv", [3 * width, width], attention));
            all.extend(linear("attn.wo", [width, width], attention));
            all.extend(self.norm_shapes("mlp_norm"));
            all.extend(linear("mlp.wi", [2 * wide, width], mlp));
            all.extend(linear("mlp.wo", [width, wide], mlp));
            return all;
        }
        all.extend(linear("attention.self_.query", [width, width], true));
        all.extend(linear("attention.self_.key", [width, width], true));
        all.extend(linear("attention.self_.value", [width, width], true));
        all.extend(linear("attention.output.dense", [width, width], true));
        all.extend(self.norm_shapes("attention.output.layer_norm"));
        all.extend(linear("intermediate.dense", [wide, width], true));
        all.extend(linear("output.dense", [width, wide], true));
        all.extend(self.norm_shapes("output.layer_norm"));
        all
    }

    /// Returns the scale of a normalisation and its offset, if it has one.
    fn norm_shapes(&self, path: &str) -> Shapes {
        let mut all = vec![(format!("{path}.weight"), vec![self.hidden_size])];
        if self.norm_bias() {
            all.push((format!("{path}.bias"), vec![self.hidden_size]));
        }
        all
    }

    /// Returns the number of parameters, without overflow for sizes that fit 32 bits each.
    pub(super) fn parameter_count(&self) -> u128 {
        let values = |shapes: Shapes| -> u128 {
            let one = |shape: &Vec<usize>| shape.iter().map(|&n| n as u128).product::<u128>();
            shapes.iter().map(|(_, shape)| one(shape)).sum()
        };
        // The first layer may have fewer parameters than the others.
        let layers = values(self.layer(1)) * self.num_hidden_layers as u128;
        values(self.before()) + layers + values(self.after())
    }
}

/// Returns the weight of a linear layer and its bias, if it has one.
fn linear(name: &str, [out, input]: [usize; 2], bias: bool) -> Shapes {
    let mut all = vec![(format!("{name}.weight"), vec![out, input])];
    if bias {
        all.push((format!("{name}.bias"), vec![out]));
    }
    all
}
