//! Choice of the examples of a step, and their division into micro-batches.

use std::ops::Range;

use collimate_core::{Key, Permutation, Purpose};
use rand::RngExt;

use crate::{MicroBatchOrder, TrainConfig};

/// Largest number of examples whose order is a shuffled table.
const TABLE: usize = 1 << 20;

/// Returns the order of `len` examples in pass `epoch` of a stage. This permutation depends only on
/// seed, stage, epoch and length.
///
/// Up to 2^20 examples are shuffled (Fisher and Yates). The order of more examples is a keyed
/// [`Permutation`]. Training reads it without a table, so its memory does not grow with their
/// number. Both kinds remain because published results depend on the first one.
///
/// # Examples
/// ```
/// use collimate_core::Key;
/// let order = collimate_train::epoch_order(Key::new(1, "sft"), 0, 5);
/// let mut sorted = order.clone();
/// sorted.sort_unstable();
/// assert_eq!(sorted, [0, 1, 2, 3, 4]);
/// assert_eq!(order, collimate_train::epoch_order(Key::new(1, "sft"), 0, 5));
/// ```
pub fn epoch_order(stage: Key, epoch: u64, len: usize) -> Vec<usize> {
    EpochOrder::new(stage, epoch, len).take(0..len)
}

/// The order of the examples in one pass.
#[derive(Debug)]
pub(crate) enum EpochOrder {
    Table(Vec<usize>),
    Keyed(Permutation),
}

impl EpochOrder {
    pub(crate) fn new(stage: Key, epoch: u64, len: usize) -> Self {
        let key = stage.step(epoch);
        if len > TABLE {
            return Self::Keyed(Permutation::new(key, len as u64));
        }
        let mut rng = key.rng(Purpose::Order);
        let mut order: Vec<usize> = (0..len).collect();
        for last in (1..len).rev() {
            order.swap(last, rng.random_range(0..=last as u64) as usize);
        }
        Self::Table(order)
    }

    /// Returns the examples at these positions of the order. Positions beyond the end are left out.
    pub(crate) fn take(&self, range: Range<usize>) -> Vec<usize> {
        match self {
            Self::Table(order) => {
                let end = range.end.min(order.len());
                order[range.start.min(end)..end].to_vec()
            }
            Self::Keyed(order) => {
                let positions = range.map(|position| order.get(position as u64));
                positions.map_while(|at| at.map(|at| at as usize)).collect()
            }
        }
    }
}

/// Cuts the examples of a step into micro-batches of at most `budget` tokens each, as `fit` does.
///
/// Examples are taken in turn. An example that no longer fits opens the next micro-batch; an
/// example above the budget gets a micro-batch alone. Without a budget all examples form one
/// micro-batch.
///
/// # Examples
/// ```
/// use collimate_train::{MicroBatchOrder, micro_batches};
/// let tokens = [4, 9, 3, 3];
/// let cut = micro_batches(&[0, 1, 2, 3], |i| tokens[i], Some(7), MicroBatchOrder::AsDrawn);
/// assert_eq!(cut, [vec![0], vec![1], vec![2, 3]]);
/// ```
pub fn micro_batches(
    examples: &[usize],
    tokens: impl Fn(usize) -> usize,
    budget: Option<usize>,
    order: MicroBatchOrder,
) -> Vec<Vec<usize>> {
    let mut examples = examples.to_vec();
    if order == MicroBatchOrder::LongestFirst {
        examples.sort_by_key(|&example| std::cmp::Reverse(tokens(example)));
    }
    let Some(budget) = budget else {
        return if examples.is_empty() {
            Vec::new()
        } else {
            vec![examples]
        };
    };
    let mut cut: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for example in examples {
        let cost = tokens(example);
        match cut.last_mut() {
            Some(last) if cost <= room => {
                last.push(example);
                room -= cost;
            }
            _ => {
                cut.push(vec![example]);
                room = budget.saturating_sub(cost);
            }
        }
    }
    cut
}

/// Returns the epoch of a step and the range of the epoch's order that the step takes.
pub(crate) fn place(config: &TrainConfig, step: u64, examples: usize) -> (u64, Range<usize>) {
    let per_epoch = config.steps_per_epoch(examples).max(1);
    let start = ((step % per_epoch) as usize).saturating_mul(config.batch_size);
    (
        step / per_epoch,
        start..start.saturating_add(config.batch_size).min(examples),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_and_a_keyed_order_visit_every_example_once() {
        for len in [0, 1, 1000, TABLE, TABLE + 1] {
            let key = Key::new(3, "order");
            let order = EpochOrder::new(key, 2, len);
            assert_eq!(matches!(order, EpochOrder::Keyed(_)), len > TABLE);
            let mut all = Vec::new();
            for start in (0..len).step_by(7_000) {
                all.extend(order.take(start..(start + 7_000).min(len)));
            }
            assert_eq!(all, epoch_order(key, 2, len));
            assert!(len < 1000 || all != EpochOrder::new(key, 3, len).take(0..len));
            all.sort_unstable();
            assert!(all.into_iter().eq(0..len));
            assert!(order.take(len..len + 5).is_empty());
        }
    }
}
