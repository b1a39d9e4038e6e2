//! Plans over scores that are read in passes, beside filters that hold and sort all pairs.

mod calibrated;
mod pairs;

use collimate_core::{LeaveReason, Passes, Selection, Verdict};
use collimate_status::Spread;
use proptest::prelude::*;

/// A source that gives pieces of one size, and fails in one of its passes.
struct Pieces<'a, T> {
    items: &'a [T],
    size: usize,
    passes: usize,
    fails_in: usize,
}

impl<T> Passes for Pieces<'_, T> {
    type Item = T;
    type Error = usize;

    fn pass(&mut self, take: &mut dyn FnMut(&[T])) -> Result<(), usize> {
        self.passes += 1;
        self.items.chunks(self.size).for_each(take);
        match self.passes == self.fails_in {
            true => Err(self.passes),
            false => Ok(()),
        }
    }
}

fn pieces<T>(items: &[T], size: usize) -> Pieces<'_, T> {
    Pieces {
        items,
        size,
        passes: 0,
        fails_in: 0,
    }
}

/// All verdicts of a plan.
fn streamed<T: Copy>(mut source: Pieces<'_, T>, mut judge: impl FnMut(T) -> Verdict) -> Selection {
    let mut selection = Selection::default();
    let mut index = 0;
    let mut take = |items: &[T]| {
        for &item in items {
            selection.add(index, judge(item));
            index += 1;
        }
    };
    source.pass(&mut take).unwrap();
    selection
}

/// Mean and spread of numbers in memory, each a sum in order.
fn spread(values: &[f64]) -> Spread {
    if values.is_empty() {
        return Spread::default();
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares = values.iter().map(|value| (value - mean) * (value - mean));
    Spread {
        mean,
        sd: (squares.sum::<f64>() / n).sqrt(),
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    }
}

fn bits(spread: Spread) -> [u64; 4] {
    [spread.mean, spread.sd, spread.min, spread.max].map(f64::to_bits)
}

/// Makes the selection from the verdict on each pair. Of the pairs to keep, only those in `stay`
/// are kept; the others are left for the reason beside it.
fn selection(
    verdicts: &[Result<(bool, f64), LeaveReason>],
    stays: impl Fn(usize) -> Result<(), LeaveReason>,
) -> Selection {
    let mut selection = Selection::default();
    for (index, &verdict) in verdicts.iter().enumerate() {
        selection.add(
            index,
            match verdict.and_then(|kept| stays(index).map(|()| kept)) {
                Ok((swapped, score)) => Verdict::Kept { swapped, score },
                Err(reason) => Verdict::Left(reason),
            },
        );
    }
    selection
}

/// Scores with ties, equal gaps and scores that are not finite.
fn scores() -> impl Strategy<Value = Vec<(f32, f32)>> {
    let score = prop_oneof![
        6 => -4.0_f32..4.0,
        6 => (-6_i8..6).prop_map(|quarter| f32::from(quarter) / 4.0),
        1 => prop_oneof![Just(0.0_f32), Just(-0.0)],
        1 => any::<f32>(),
        1 => prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY)],
    ];
    prop::collection::vec((score.clone(), score), 0..60)
}

/// More pairs than a search collects, with many equal gaps.
fn many() -> Vec<(f32, f32)> {
    let mut state = 1_u32;
    let mut next = |steps: f32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / 16_777_216.0 * steps).floor() / steps * 8.0 - 4.0
    };
    (0..200_000)
        .map(|index| match index % 50 {
            0 => (f32::NAN, 1.0),
            1..25 => (next(16.0), next(16.0)),
            _ => (next(1e6), next(1e6)),
        })
        .collect()
}
