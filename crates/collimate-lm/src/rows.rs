//! The rows of a last layer that are read, and the examples that rows belong to.

use std::sync::Arc;

use burn::tensor::{Int, Tensor};
use collimate_nn::{DeviceBatch, Forward, RowForward};

/// The rows that a pass is asked for, and the example of each row where masks are drawn by example.
#[derive(Clone)]
pub(crate) struct Rows {
    asked: Option<Tensor<1, Int>>,
    /// For all rows.
    all: Option<Arc<[u64]>>,
    /// For the rows asked for.
    some: Option<Arc<[u64]>>,
}

impl Rows {
    /// `asked` are the rows that the last layer is to compute; without them it computes all.
    pub(crate) fn new(batch: &DeviceBatch, asked: Option<Tensor<1, Int>>, f: Forward) -> Self {
        let all = batch.examples.clone().filter(|_| f.dropout.is_some());
        let some = match (&all, &asked) {
            (Some(all), Some(rows)) => {
                let rows = rows.clone().into_data();
                Some(rows.iter::<i64>().map(|row| all[row as usize]).collect())
            }
            _ => all.clone(),
        };
        Self { asked, all, some }
    }

    /// The rows of a layer that computes all of them.
    pub(crate) fn inner(&self) -> Self {
        Self {
            asked: None,
            all: self.all.clone(),
            some: self.all.clone(),
        }
    }

    /// Options for parts that read all rows.
    pub(crate) fn all(&self, f: Forward) -> RowForward<'_> {
        RowForward::new(f, self.all.as_deref())
    }

    /// Options for parts that read the rows asked for.
    pub(crate) fn some(&self, f: Forward) -> RowForward<'_> {
        RowForward::new(f, self.some.as_deref())
    }

    /// The rows asked for of `x`, in the order given, or all.
    pub(crate) fn only(&self, x: Tensor<2>) -> Tensor<2> {
        only(x, self.asked.as_ref())
    }
}

/// Hidden states of some rows: of `all` where a layer would be left with none, which not every
/// backend can multiply, else `some`.
pub(crate) fn hidden_at(
    rows: Tensor<1, Int>,
    all: impl FnOnce() -> Tensor<2>,
    some: impl FnOnce(Tensor<1, Int>) -> Tensor<2>,
) -> Tensor<2> {
    match rows.dims() {
        [0] => all().select(0, rows),
        // An index is never tracked, and a block that is computed again has no context of its own.
        _ => some(rows.without_autodiff()),
    }
}

/// Some rows of `x`, in the order given, or all.
pub(crate) fn only(x: Tensor<2>, rows: Option<&Tensor<1, Int>>) -> Tensor<2> {
    match rows {
        Some(rows) => x.select(0, rows.clone()),
        None => x,
    }
}
