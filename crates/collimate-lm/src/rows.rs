//! The rows of a last layer that somebody reads.

use burn::tensor::{Int, Tensor};

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
