//! Choice of the examples of a step, and their division into micro-batches.

use std::ops::Range;

use collimate_core::{Key, Purpose};
use rand::RngExt;

use crate::{MicroBatchOrder, TrainConfig};

/// Returns the order of `len` examples in pass `epoch` of a stage. This permutation depends only on
/// seed, stage, epoch and length.
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
    let mut rng = stage.step(epoch).rng(Purpose::Order);
    let mut order: Vec<usize> = (0..len).collect();
    for last in (1..len).rev() {
        order.swap(last, rng.random_range(0..=last as u64) as usize);
    }
    order
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
