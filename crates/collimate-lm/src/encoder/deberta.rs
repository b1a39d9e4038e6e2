//! Relative positions of a DeBERTa. Scores depend on the distance of two tokens through a table of
//! vectors. Every layer projects the table as queries and keys.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use collimate_core::{Key, OptionError};
use collimate_nn::{Embedding, Forward, LayerNorm, Linear, RowForward};
use collimate_ops::{OpsError, RelativePositions, RelativeProjections};
use serde::{Deserialize, Serialize};

use super::config::EncoderConfig;
use super::post::SelfAttention;

/// A term of the scores besides the product of contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelativeTerm {
    /// Content queries with position keys.
    C2p,
    /// Content keys with position queries.
    P2c,
}

/// Normalisation of the table of relative positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelativeNorm {
    /// No normalisation.
    None,
    /// A layer normalisation.
    LayerNorm,
}

/// Relative positions of a DeBERTa; names as in Hugging Face's `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DebertaConfig {
    /// Number of buckets of distances; null gives every distance its own row.
    pub position_buckets: Option<usize>,
    /// Bound below which distances are distinguished; null means `max_position_embeddings`.
    pub max_relative_positions: Option<usize>,
    /// Terms of the scores.
    pub pos_att_type: Vec<RelativeTerm>,
    /// Normalisation of the table.
    pub norm_rel_ebd: RelativeNorm,
}

impl Default for DebertaConfig {
    /// Returns the options of DeBERTa-v3.
    fn default() -> Self {
        Self {
            position_buckets: Some(256),
            max_relative_positions: None,
            pos_att_type: vec![RelativeTerm::P2c, RelativeTerm::C2p],
            norm_rel_ebd: RelativeNorm::LayerNorm,
        }
    }
}

impl DebertaConfig {
    /// Returns the rows of the table within an encoder of shape `c`.
    pub(super) fn positions(&self, c: &EncoderConfig) -> Result<RelativePositions, OpsError> {
        let longest = self.longest(c);
        RelativePositions::new(self.position_buckets.unwrap_or(0), longest)
    }

    fn longest(&self, c: &EncoderConfig) -> usize {
        self.max_relative_positions
            .unwrap_or(c.max_position_embeddings)
    }

    /// Checks the values within an encoder of shape `c`.
    pub(super) fn check(&self, c: &EncoderConfig) -> Result<(), OptionError> {
        let longest = self.longest(c);
        let most = u32::MAX as usize;
        let holds = (1..=most).contains(&longest);
        OptionError::check("max_relative_positions", longest, "1 to 2^32 − 1", holds)?;
        let buckets = self.position_buckets.unwrap_or(0);
        let allowed = format!(
            "null, or at least 2 and below twice max_relative_positions = {longest} less 2"
        );
        let holds =
            buckets <= most && self.positions(c).is_ok() && self.position_buckets != Some(0);
        OptionError::check("position_buckets", buckets, &allowed, holds)
    }

    fn has(&self, term: RelativeTerm) -> bool {
        self.pos_att_type.contains(&term)
    }
}

/// Table of relative positions, shared by all layers.
#[derive(Module, Debug)]
pub(crate) struct Relative {
    pub(crate) rel_embeddings: Embedding,
    pub(crate) layer_norm: Option<LayerNorm>,
}

impl Relative {
    pub(super) fn new(
        c: &EncoderConfig,
        deberta: &DebertaConfig,
        key: Key,
        device: &Device,
    ) -> Self {
        let rows = positions(deberta, c).rows();
        let shape = [rows, c.hidden_size];
        Self {
            rel_embeddings: Embedding::new(shape, c.initializer_range, key, device),
            layer_norm: match deberta.norm_rel_ebd {
                RelativeNorm::None => None,
                RelativeNorm::LayerNorm => Some(c.norm(device)),
            },
        }
    }

    /// Projects the table to queries and keys of positions. A layer uses the same projections for
    /// contents and positions.
    pub(super) fn projections(
        &self,
        attention: &SelfAttention,
        c: &EncoderConfig,
        f: Forward,
    ) -> RelativeProjections {
        let deberta = c.deberta.clone().unwrap_or_default();
        let table = self.rel_embeddings.weight.val();
        let table = match &self.layer_norm {
            Some(norm) => norm.forward(table),
            None => table,
        };
        // Rows of the table belong to no example.
        let table = RowForward::from(f.part(6)).drop(table, c.hidden_dropout_prob);
        let projected = |linear: &Linear, term, part| -> Option<Tensor<2>> {
            let has = deberta.has(term);
            has.then(|| linear.forward(table.clone(), f.part(part)))
        };
        RelativeProjections {
            positions: positions(&deberta, c),
            keys: projected(&attention.key, RelativeTerm::C2p, 7),
            queries: projected(&attention.query, RelativeTerm::P2c, 8),
        }
    }
}

fn positions(deberta: &DebertaConfig, c: &EncoderConfig) -> RelativePositions {
    let positions = deberta.positions(c);
    positions.expect("checked: buckets that fit the distances")
}
