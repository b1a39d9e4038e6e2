//! Lines of the journal.

use serde::{Deserialize, Serialize};

use crate::pairs::PairKey;

/// A labeller's answer to "which is better?".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// The answer on the left.
    Left,
    /// The answer on the right.
    Right,
    /// Neither: both are equally good.
    Tie,
    /// No judgement.
    Skip,
}

/// One decision, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The pair.
    pub pair: PairKey,
    /// Name of the labeller.
    pub labeller: String,
    /// The decision, by side.
    pub choice: Choice,
    /// Short hash of the answer that was shown on the left.
    pub left: String,
    /// Short hash of the answer that was shown on the right.
    pub right: String,
    /// True if the labeller has decided this pair before. Such a decision is a measurement and not
    /// a label.
    pub repeat: bool,
    /// Seconds for which the labeller looked at the pair.
    pub seconds: f64,
    /// Time of the decision, in seconds since 1970 (UTC).
    pub time: u64,
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// The beginning of a journal.
    Begin {
        /// Version of this format.
        version: u32,
        /// Seed of orders and sides.
        seed: u64,
    },
    /// A decision.
    Decision(Decision),
    /// The labeller's last decision is taken back.
    Undo {
        /// The pair of that decision.
        pair: PairKey,
        /// Name of the labeller.
        labeller: String,
        /// True if the decision was on a repeat.
        repeat: bool,
        /// Time in seconds since 1970 (UTC).
        time: u64,
    },
}
