//! Fused computations on plain slices, without Burn: parallel over chunks of fixed size and
//! vectorised for the processor found at run time.

use std::mem::MaybeUninit;

use rayon::prelude::*;

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod attention_backward;
pub(crate) mod bf16;
pub(crate) mod cached;
pub(crate) mod gemm;
pub(crate) mod half;
pub(crate) mod logp;
pub(crate) mod math;
pub(crate) mod narrow;
pub(crate) mod norm;
pub(crate) mod optim;
pub(crate) mod panels;
pub(crate) mod rows;

pub(crate) mod scratch;
pub(crate) mod tile;

/// Allocates memory that is not filled with zeros; a kernel must write every element once.
pub(crate) fn unwritten(len: usize) -> Box<[MaybeUninit<f32>]> {
    Box::new_uninit_slice(len)
}

/// Returns the elements that a kernel wrote into [`unwritten`] memory.
///
/// # Safety
/// Every element must have been written.
#[allow(unsafe_code)]
pub(crate) unsafe fn written(values: Box<[MaybeUninit<f32>]>) -> Vec<f32> {
    // SAFETY: by the caller's promise.
    unsafe { values.assume_init() }.into_vec()
}

/// Number of elements that one task fills.
const FILL: usize = 1 << 16;

/// Returns `len` zeros. All threads fill a long slice, because a single thread would not use the
/// whole memory bandwidth.
pub(crate) fn zeros(len: usize) -> Vec<f32> {
    if len <= FILL {
        return vec![0.0; len];
    }
    let mut values = unwritten(len);
    values.par_chunks_mut(FILL).for_each(|part| {
        part.fill(MaybeUninit::new(0.0));
    });
    // SAFETY: the chunks cover all elements.
    #[allow(unsafe_code)]
    unsafe {
        written(values)
    }
}

/// Repeats `row` `times` times.
pub(crate) fn repeated(row: &[f32], times: usize) -> Vec<f32> {
    if row.len() * times <= FILL {
        return row.repeat(times);
    }
    let mut values = unwritten(row.len() * times);
    let rows = FILL.div_ceil(row.len());
    values.par_chunks_mut(rows * row.len()).for_each(|part| {
        for place in part.chunks_exact_mut(row.len()) {
            place.write_copy_of_slice(row);
        }
    });
    // SAFETY: every chunk consists of whole rows, and the chunks cover all elements.
    #[allow(unsafe_code)]
    unsafe {
        written(values)
    }
}

/// A slice that several tasks write, each to separate elements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared {
    start: *mut f32,
    len: usize,
}

// SAFETY: the pointer comes from an exclusive borrow that outlives the parallel section, and `part`
// is only called for parts that no other task touches.
#[allow(unsafe_code)]
unsafe impl Send for Shared {}
// SAFETY: as for `Send`.
#[allow(unsafe_code)]
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) fn new(slice: &mut [f32]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
        }
    }

    /// Returns the `len` elements from `offset`.
    ///
    /// # Safety
    /// No other task may read or write these elements while the borrow lives. The slice that
    /// [`Shared::new`] was given must still be borrowed.
    #[allow(unsafe_code, clippy::mut_from_ref)]
    pub(crate) unsafe fn part(&self, offset: usize, len: usize) -> &mut [f32] {
        assert!(
            offset + len <= self.len,
            "part of a shared slice lies outside it"
        );
        // SAFETY: in bounds by the assertion, exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(offset), len) }
    }
}

/// [`unwritten`] memory that several tasks write, each to separate elements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SharedUnwritten {
    start: *mut f32,
    len: usize,
}

// SAFETY: as for `Shared`.
#[allow(unsafe_code)]
unsafe impl Send for SharedUnwritten {}
// SAFETY: as for `Shared`.
#[allow(unsafe_code)]
unsafe impl Sync for SharedUnwritten {}

impl SharedUnwritten {
    pub(crate) fn new(slice: &mut [MaybeUninit<f32>]) -> Self {
        Self {
            start: slice.as_mut_ptr().cast(),
            len: slice.len(),
        }
    }

    /// Returns the address of the first element of `range`. Only one task may write these elements.
    pub(crate) fn start(&self, range: std::ops::Range<usize>) -> *mut f32 {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "part of a shared slice lies outside it"
        );
        self.start.wrapping_add(range.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_memory_is_filled_to_its_end() {
        for len in [0, 3, FILL, 2 * FILL + 3] {
            assert!(zeros(len) == vec![0.0; len]);
        }
        for row in [&[1.0, 2.0, 3.0][..], &[4.0; FILL + 1]] {
            for times in [0, 1, 2, FILL / 2] {
                let times = times.min(3 * FILL / row.len());
                assert!(repeated(row, times) == row.repeat(times));
            }
        }
    }
}
