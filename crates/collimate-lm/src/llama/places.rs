//! Positions in the form that decoder layers need, and the numbers that scale scores and
//! embeddings.

use burn::tensor::{Device, Tensor, TensorData};
use collimate_ops::{RopeTable, Scores};

use super::attention::Places;
use super::config::LlamaConfig;
use super::rope::{LayerRope, RopeScaling};

impl LlamaConfig {
    /// Returns the rotary positions of all layers, followed by those of sliding layers if they
    /// differ.
    pub(crate) fn ropes(&self) -> Vec<LayerRope> {
        let all = LayerRope {
            rope_theta: self.rope_theta,
            rope_scaling: self.rope_scaling.clone(),
        };
        std::iter::once(all)
            .chain(self.sliding_rope.clone())
            .collect()
    }

    /// Returns the number of values of a head that turn. If it is odd, the frequencies are those of
    /// this number, and one more value turns.
    fn rotary_dims(&self) -> usize {
        let part = self.partial_rotary_factor.unwrap_or(1.0);
        (self.head_dim() as f64 * part) as usize
    }

    /// Returns the number of pairs of values of a head that turn.
    pub(crate) fn rotary_pairs(&self) -> usize {
        self.rotary_dims().div_ceil(2)
    }

    /// Computes cosines and sines of positions for each of [`Self::ropes`], and factors of queries.
    pub(crate) fn places(&self, positions: &[u32], device: &Device) -> Places {
        let (d, pairs) = (self.head_dim(), self.rotary_pairs());
        let table = |rope: LayerRope| {
            let longest = self.max_position_embeddings;
            let (frequencies, factor) = rope.frequencies(self.rotary_dims(), longest);
            let table = RopeTable::with_frequencies(positions, &frequencies, factor, device);
            let table = match 2 * pairs == d {
                true => table,
                false => table.and_then(|table| table.partial(d)),
            };
            table.expect("the configuration's check asks for pairs that a head has room for")
        };
        let ropes = match self.family().design.learned_positions {
            true => Vec::new(),
            false => self.ropes(),
        };
        Places {
            tables: ropes.into_iter().map(table).collect(),
            query_scale: self.query_scale(positions, device),
        }
    }

    /// Computes 1 + β·ln(1 + ⌊position / original length⌋), `[tokens, 1]`: the factor of Ministral
    /// 3's queries.
    fn query_scale(&self, positions: &[u32], device: &Device) -> Option<Tensor<2>> {
        let Some(RopeScaling::Yarn {
            llama_4_scaling_beta: Some(beta),
            original_max_position_embeddings: length,
            ..
        }) = self.rope_scaling
        else {
            return None;
        };
        let scale = |&at: &u32| 1.0 + beta * (1.0 + (at as usize / length) as f64).ln();
        let values: Vec<f32> = positions.iter().map(|at| scale(at) as f32).collect();
        let shape = [values.len(), 1];
        let device = device.clone().inner();
        Some(Tensor::from_data(TensorData::new(values, shape), &device))
    }

    /// Returns the form of the scores of queries and keys.
    pub(crate) fn scores(&self) -> Scores {
        let scalar = self.query_pre_attn_scalar.map(|scalar| scalar.powf(-0.5));
        Scores {
            scale: self.attention_multiplier.or(scalar),
            softcap: self.attn_logit_softcapping,
        }
    }

    /// Returns the factor of the embedding, if there is one.
    pub(crate) fn embedding_scale(&self) -> Option<f64> {
        let root = (self.hidden_size as f64).sqrt();
        let root = self.family().design.root_embedding.then_some(root);
        self.embedding_multiplier.or(root)
    }

    /// Returns the length of the longest sequence that the model takes, in tokens. Its rotary
    /// frequencies must be known for this length.
    pub fn max_positions(&self) -> usize {
        let ropes = self.ropes();
        let known = ropes.iter().filter_map(LayerRope::longest).min();
        known.map_or(self.max_position_embeddings, |known| {
            known.min(self.max_position_embeddings)
        })
    }
}
