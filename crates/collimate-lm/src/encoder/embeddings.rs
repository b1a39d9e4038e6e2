//! From tokens to the states that the first layer reads.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use collimate_core::Key;
use collimate_nn::{DeviceBatch, Embedding, Forward, LayerNorm, RowForward};

use super::config::EncoderConfig;

/// Word, position and type vectors, summed and normalised.
#[derive(Module, Debug)]
pub(crate) struct Embeddings {
    pub(crate) word_embeddings: Embedding,
    pub(crate) position_embeddings: Embedding,
    pub(crate) token_type_embeddings: Option<Embedding>,
    pub(crate) layer_norm: LayerNorm,
}

impl Embeddings {
    pub(crate) fn new(c: &EncoderConfig, key: Key, device: &Device) -> Self {
        let table = |rows, part| {
            Embedding::new(
                [rows, c.hidden_size],
                c.initializer_range,
                key.with(part),
                device,
            )
        };
        Self {
            word_embeddings: table(c.vocab_size, 0),
            position_embeddings: table(c.max_position_embeddings, 1),
            token_type_embeddings: (c.type_vocab_size > 0).then(|| table(c.type_vocab_size, 2)),
            layer_norm: LayerNorm::new(c.hidden_size, c.layer_norm_eps, device),
        }
    }

    pub(crate) fn forward(&self, batch: &DeviceBatch, c: &EncoderConfig, f: Forward) -> Tensor<2> {
        let words = self.word_embeddings.forward(batch.ids.clone());
        let first = c.first_position() as i64;
        let positions: Vec<i64> = batch
            .positions
            .iter()
            .map(|&p| first + i64::from(p))
            .collect();
        let n = positions.len();
        let positions: Tensor<1, Int> =
            Tensor::from_data(TensorData::new(positions, [n]), &batch.device);
        let sum = words + self.position_embeddings.forward(positions);
        let sum = match &self.token_type_embeddings {
            Some(types) => sum + types.weight.val().narrow(0, 0, 1),
            None => sum,
        };
        let f = RowForward::new(f, batch.examples.as_deref());
        f.drop(self.layer_norm.forward(sum), c.hidden_dropout_prob)
    }
}
