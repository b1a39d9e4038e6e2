//! The pool as tokens.

use collimate_core::PreferencePair;
use collimate_data::{HiddenLabelPool, SelfLabelledPair, TokenizedPair};
use collimate_train::hash_json;

use super::session::Session;
use crate::RecipeError;

/// Token ids of the pool's pairs, indexed by the pairs' ids in the pool.
pub(crate) struct TokenizedPool {
    pairs: Vec<TokenizedPair>,
    hash: String,
}

impl TokenizedPool {
    pub(crate) fn new(session: &Session<'_>, pool: &HiddenLabelPool) -> Result<Self, RecipeError> {
        // "Chosen" means "shown first" here: the pool has no labels.
        let shown: Vec<PreferencePair> = pool
            .pairs()
            .iter()
            .map(|hidden| {
                let (first, second) = (hidden.first.clone(), hidden.second.clone());
                PreferencePair::new(hidden.prompt.clone(), first, second)
            })
            .collect();
        let pairs = session.encode(&shown)?;
        let hash = hash_json(&pairs);
        Ok(Self { pairs, hash })
    }

    /// Returns a hash of the pairs.
    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }

    /// Returns the pairs of a pool, each with its answers in the order shown.
    pub(crate) fn shown_of(&self, pool: &HiddenLabelPool) -> Vec<TokenizedPair> {
        pool.pairs()
            .iter()
            .map(|pair| self.shown(pair.id))
            .collect()
    }

    /// Returns all pairs.
    pub(crate) fn pairs(&self) -> &[TokenizedPair] {
        &self.pairs
    }

    /// Returns a hidden pair with its answers in the order shown.
    fn shown(&self, id: usize) -> TokenizedPair {
        self.pairs[id].clone()
    }

    /// Returns a pair with its self-label.
    pub(crate) fn labelled(&self, pair: &SelfLabelledPair) -> TokenizedPair {
        let mut ids = self.shown(pair.id);
        if !pair.chosen_is_first {
            std::mem::swap(&mut ids.chosen, &mut ids.rejected);
        }
        ids
    }
}
