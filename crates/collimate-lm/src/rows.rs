//! Selection of rows in a last layer, and the examples that rows belong to.

use std::sync::Arc;

use burn::tensor::{Int, Tensor};
use collimate_nn::{DeviceBatch, Forward, RowForward};

/// Rows that a pass is asked for, and the example of each row if masks are drawn by example.
#[derive(Clone)]
pub(crate) struct Rows {
    asked: Option<Tensor<1, Int>>,
    /// Examples of all rows.
    all: Option<Arc<[u64]>>,
    /// Examples of the rows asked for.
    some: Option<Arc<[u64]>>,
}

impl Rows {
    /// Creates a selection. The last layer computes the rows `asked`, or all rows if `asked` is
    /// `None`.
    pub(crate) fn new(batch: &DeviceBatch, asked: Option<&[usize]>, f: Forward) -> Self {
        let all = batch.examples.clone().filter(|_| f.dropout.is_some());
        let some = match (&all, asked) {
            (Some(all), Some(rows)) => Some(rows.iter().map(|row| all[*row]).collect()),
            _ => all.clone(),
        };
        // An index is never tracked, and a recomputed block has no autodiff context.
        let asked = asked.map(|rows| batch.indices(rows.iter().copied()).without_autodiff());
        Self { asked, all, some }
    }

    /// Returns the selection for a layer that computes all rows.
    pub(crate) fn inner(&self) -> Self {
        Self {
            asked: None,
            all: self.all.clone(),
            some: self.all.clone(),
        }
    }

    /// Returns options for parts that read all rows.
    pub(crate) fn all(&self, f: Forward) -> RowForward<'_> {
        RowForward::new(f, self.all.as_deref())
    }

    /// Returns options for parts that read the rows asked for.
    pub(crate) fn some(&self, f: Forward) -> RowForward<'_> {
        RowForward::new(f, self.some.as_deref())
    }

    /// Returns the rows of `x` that were asked for, in the order given, or all.
    pub(crate) fn only(&self, x: Tensor<2>) -> Tensor<2> {
        only(x, self.asked.as_ref())
    }
}

/// Computes hidden states of the given rows with `states`. If no row is given, computes all, because
/// not every backend can multiply matrices without rows.
pub(crate) fn hidden_at(
    batch: &DeviceBatch,
    rows: &[usize],
    states: impl FnOnce(Option<&[usize]>) -> Tensor<2>,
) -> Tensor<2> {
    match rows {
        [] => states(None).select(0, batch.indices([])),
        rows => states(Some(rows)),
    }
}

/// Returns some rows of `x`, in the order given, or all.
pub(crate) fn only(x: Tensor<2>, rows: Option<&Tensor<1, Int>>) -> Tensor<2> {
    match rows {
        Some(rows) => x.select(0, rows.clone()),
        None => x,
    }
}
