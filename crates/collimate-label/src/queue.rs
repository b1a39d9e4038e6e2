//! The order in which one labeller sees pairs.

use std::collections::HashMap;

use collimate_core::{Key, Purpose};
use rand::RngExt;

use crate::pairs::PairSet;

/// Minimum number of other pairs between a pair and its repeat.
pub const MIN_GAP: usize = 5;

/// Maximum number of other pairs between a pair and the place where its repeat is due.
pub const MAX_GAP: usize = 20;

/// One showing of a pair: the first, or the repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Showing {
    /// Index of the pair in the set.
    pub(crate) pair: usize,
    /// True if the labeller has decided the pair before.
    pub(crate) repeat: bool,
}

/// A decision by content, so that sides no longer matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    /// The answer at this index of the pair's sorted answers is better.
    Better(usize),
    Tie,
    Skip,
}

/// A decision in memory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Made {
    pub(crate) showing: Showing,
    pub(crate) verdict: Verdict,
    /// True if the left side was chosen; `None` for ties and skips.
    pub(crate) chose_left: Option<bool>,
    pub(crate) seconds: f64,
    /// Number of the decision in the sequence of all labellers.
    pub(crate) number: u64,
}

/// One labeller's showings and decisions, and the place reached among the showings.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    key: Key,
    order: Vec<Showing>,
    /// Place in the order. Every showing before it is decided, left out, or in `back`.
    cursor: usize,
    /// Showings that were taken back. The last one is shown next.
    back: Vec<Showing>,
    made: Vec<Made>,
    verdicts: HashMap<Showing, Verdict>,
    /// Number of decisions and undos.
    pub(crate) version: u64,
}

impl Queue {
    /// Creates the queue of the labeller that `key` stands for, over the first `among` pairs.
    pub(crate) fn new(key: Key, pairs: &PairSet, among: usize, repeat: f64) -> Self {
        Self {
            key,
            order: order(key, pairs, among, repeat),
            cursor: 0,
            back: Vec::new(),
            made: Vec::new(),
            verdicts: HashMap::new(),
            version: 0,
        }
    }

    /// Returns true if the answer that sorts first is shown on the left.
    pub(crate) fn first_left(&self, pairs: &PairSet, showing: Showing) -> bool {
        let pair = self.key.with(pairs.at(showing.pair).key().number());
        let mut rng = pair
            .with(u64::from(showing.repeat))
            .rng(Purpose::AnswerOrder);
        rng.random()
    }

    /// Returns the next showing to decide. Showings that were taken back come before the rest of
    /// the order.
    pub(crate) fn next(&mut self) -> Option<Showing> {
        while let Some(&showing) = self.back.last() {
            if self.is_open(showing) {
                return Some(showing);
            }
            self.back.pop();
        }
        while let Some(&showing) = self.order.get(self.cursor) {
            if self.is_open(showing) {
                return Some(showing);
            }
            self.cursor += 1;
        }
        None
    }

    /// Returns true if a showing is undecided and useful. A pair that was skipped is not repeated.
    pub(crate) fn is_open(&self, showing: Showing) -> bool {
        !self.verdicts.contains_key(&showing) && (!showing.repeat || self.judged(showing.pair))
    }

    /// Returns true if the pair was decided by a choice or a tie.
    fn judged(&self, pair: usize) -> bool {
        let verdict = self.verdict(pair, false);
        verdict.is_some_and(|verdict| verdict != Verdict::Skip)
    }

    pub(crate) fn verdict(&self, pair: usize, repeat: bool) -> Option<Verdict> {
        self.verdicts.get(&Showing { pair, repeat }).copied()
    }

    pub(crate) fn decide(&mut self, made: Made) {
        if self.back.last() == Some(&made.showing) {
            self.back.pop();
        }
        self.verdicts.insert(made.showing, made.verdict);
        self.made.push(made);
        self.version += 1;
    }

    /// Takes back the last decision and returns it.
    pub(crate) fn undo(&mut self) -> Option<Made> {
        let made = self.made.pop()?;
        self.verdicts.remove(&made.showing);
        self.back.push(made.showing);
        self.version += 1;
        Some(made)
    }

    pub(crate) fn last(&self) -> Option<&Made> {
        self.made.last()
    }

    /// Returns the decisions in the order in which they were made.
    pub(crate) fn made(&self) -> &[Made] {
        &self.made
    }

    /// Returns the number of decided showings in the order, and the number that are decided or
    /// still to come.
    pub(crate) fn progress(&self) -> (usize, usize) {
        let mut counts = (0, 0);
        for &showing in &self.order {
            let decided = self.verdicts.contains_key(&showing);
            let first = Showing {
                repeat: false,
                ..showing
            };
            let skipped = self.verdicts.get(&first) == Some(&Verdict::Skip);
            counts.0 += usize::from(decided);
            counts.1 += usize::from(decided || !showing.repeat || !skipped);
        }
        counts
    }
}

/// Returns the first `among` pairs in the order of the set, with repeats of a share of them.
///
/// The set may begin with the pairs whose labels are worth most, and a labeller may stop at any pair.
/// The repeated pairs are drawn from their content. A repeat is due some pairs after the first
/// showing, or at the end if that comes earlier. Pairs near the end have no repeat, because fewer than
/// [`MIN_GAP`] other pairs would lie between.
fn order(key: Key, pairs: &PairSet, among: usize, repeat: f64) -> Vec<Showing> {
    let among = among.min(pairs.len());
    let of_pair = |pair: usize| key.with(pairs.at(pair).key().number());
    let mut eligible: Vec<usize> = (0..among.saturating_sub(MIN_GAP)).collect();
    eligible.sort_by_cached_key(|&pair| -> u64 { of_pair(pair).rng(Purpose::Split).random() });
    let count = ((repeat * among as f64).round() as usize).min(eligible.len());
    // For each repeat, the pair after which it is due, and the repeated pair.
    let mut due: Vec<(usize, usize)> = eligible[..count]
        .iter()
        .map(|&pair| {
            let gap = of_pair(pair)
                .rng(Purpose::Sampling)
                .random_range(MIN_GAP..=MAX_GAP);
            ((pair + gap).min(among - 1), pair)
        })
        .collect();
    due.sort_unstable();
    let mut due = due.into_iter().peekable();
    let mut showings = Vec::with_capacity(among + count);
    for pair in 0..among {
        showings.push(Showing {
            pair,
            repeat: false,
        });
        while let Some((_, again)) = due.next_if(|&(after, _)| after <= pair) {
            showings.push(Showing {
                pair: again,
                repeat: true,
            });
        }
    }
    showings
}
