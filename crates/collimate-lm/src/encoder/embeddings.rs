//! Embeddings: the states that the first layer reads.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use collimate_core::Key;
use collimate_nn::{DeviceBatch, Embedding, Forward, LayerNorm, RowForward};

use super::config::EncoderConfig;

/// Word vectors, in some families with position and type vectors, summed and normalised.
#[derive(Module, Debug)]
pub(crate) struct Embeddings {
    pub(crate) word_embeddings: Embedding,
    pub(crate) position_embeddings: Option<Embedding>,
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
            position_embeddings: (c.position_rows() > 0).then(|| table(c.position_rows(), 1)),
            token_type_embeddings: (c.type_vocab_size > 0).then(|| table(c.type_vocab_size, 2)),
            layer_norm: c.norm(device),
        }
    }

    pub(crate) fn forward(&self, batch: &DeviceBatch, c: &EncoderConfig, f: Forward) -> Tensor<2> {
        let mut sum = self.word_embeddings.forward(batch.ids.clone());
        if let Some(table) = &self.position_embeddings {
            sum = sum + table.forward(positions(batch, c));
        }
        if let Some(types) = &self.token_type_embeddings {
            sum = sum + types.weight.val().narrow(0, 0, 1);
        }
        let f = RowForward::new(f, batch.examples.as_deref());
        f.drop(self.layer_norm.forward(sum), c.embedding_dropout())
    }
}

/// Returns the row of each token in the table of positions.
fn positions(batch: &DeviceBatch, c: &EncoderConfig) -> Tensor<1, Int> {
    let first = c.first_position() as i64;
    let rows = batch.positions.iter().map(|&p| first + i64::from(p));
    let rows: Vec<i64> = rows.collect();
    let n = rows.len();
    Tensor::from_data(TensorData::new(rows, [n]), &batch.device)
}
