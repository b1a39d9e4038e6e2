//! Dropout as a kernel.

use rayon::prelude::*;

use crate::DropMask;
use crate::fused::{Kernel, Save};
use crate::kernels::math;

/// Number of rows of one task.
const ROWS: usize = 32;

/// Multiplies each number by a mask of inverted dropout.
#[derive(Debug, Clone)]
pub(crate) struct Masked(pub(crate) DropMask);

impl Kernel<1> for Masked {
    type Saved = ();

    fn saves(&self, _: [bool; 1]) -> [Save; 1] {
        [Save::Nothing]
    }

    fn forward(&self, [x]: [&[f32]; 1]) -> (Vec<f32>, ()) {
        (masked(x.to_vec(), &self.0), ())
    }

    fn backward(
        &self,
        _: [&[f32]; 1],
        (): &(),
        grad: &[f32],
        _: [bool; 1],
    ) -> [Option<Vec<f32>>; 1] {
        [Some(masked(grad.to_vec(), &self.0))]
    }
}

/// Returns the rows multiplied by a mask.
pub(super) fn masked(mut rows: Vec<f32>, mask: &DropMask) -> Vec<f32> {
    let [count, width] = mask.dims();
    assert_eq!(rows.len(), count * width, "rows of another shape");
    let tasks = rows.par_chunks_mut((ROWS * width).max(1)).enumerate();
    tasks.for_each(|(task, rows)| {
        math::vectorised(
            #[inline(always)]
            || {
                for (index, row) in rows.chunks_exact_mut(width).enumerate() {
                    mask.apply(task * ROWS + index, row);
                }
            },
        );
    });
    rows
}
