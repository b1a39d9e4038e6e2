//! Products of large matrices, through the `gemm` crate that flex itself uses.

use gemm::Parallelism;

/// Number of multiplications below which a product stays on one thread.
const PARALLEL_FROM: usize = 1 << 21;

/// Number of parts of a product per thread. If a thread loses its processor for a while, other
/// threads can take over its parts.
const PARTS_PER_THREAD: usize = 2;

/// A read-only matrix of `rows × columns`, or its transpose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row: isize,
    column: isize,
}

impl<'a> Matrix<'a> {
    /// Creates a matrix from rows of `columns` elements.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns, "matrix of another size");
        Self {
            data,
            rows,
            columns,
            row: columns as isize,
            column: 1,
        }
    }

    /// Returns the transpose without moving data.
    pub(crate) fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row: self.column,
            column: self.row,
        }
    }
}

/// Computes `out = a·b`, or `out += a·b` if `accumulate`.
///
/// One thread sums each element in one order, whatever the number of threads.
pub(crate) fn product(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], accumulate: bool) {
    assert_eq!(out.len(), a.rows * b.columns, "output of another size");
    // SAFETY: `out` has the size of the product and is borrowed exclusively.
    #[allow(unsafe_code)]
    unsafe {
        multiply(a, b, out.as_mut_ptr(), accumulate, threads_for(a, b));
    }
}

/// Computes [`product`] on this thread only, for callers that already run in parallel.
pub(crate) fn product_alone(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], accumulate: bool) {
    assert_eq!(out.len(), a.rows * b.columns, "output of another size");
    // SAFETY: as in `product`.
    #[allow(unsafe_code)]
    unsafe {
        product_alone_at(a, b, out.as_mut_ptr(), accumulate);
    }
}

/// Computes [`product_alone`] into memory that may be uninitialised.
///
/// # Safety
/// `out` must have room for the product, and no other code may access it during the call. It must
/// be initialised if `accumulate`.
#[allow(unsafe_code)]
pub(crate) unsafe fn product_alone_at(
    a: Matrix<'_>,
    b: Matrix<'_>,
    out: *mut f32,
    accumulate: bool,
) {
    // SAFETY: by the caller's promise.
    unsafe { multiply(a, b, out, accumulate, Parallelism::None) };
}

fn threads_for(a: Matrix<'_>, b: Matrix<'_>) -> Parallelism {
    if a.rows * a.columns * b.columns < PARALLEL_FROM {
        Parallelism::None
    } else {
        Parallelism::Rayon(PARTS_PER_THREAD * rayon::current_num_threads())
    }
}

/// Returns `a·b` in new memory that is not filled with zeros first.
pub(crate) fn product_of(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    let len = a.rows * b.columns;
    let mut out = Vec::with_capacity(len);
    // SAFETY: the memory has room for the product, which writes every element without reading any.
    #[allow(unsafe_code)]
    unsafe {
        multiply(a, b, out.as_mut_ptr(), false, threads_for(a, b));
        out.set_len(len);
    }
    out
}

/// Computes the product for all functions above, with the given number of threads.
///
/// # Safety
/// `out` must have room for the product, and no other code may access it during the call. It must
/// be initialised if `accumulate`.
#[allow(unsafe_code)]
unsafe fn multiply(
    a: Matrix<'_>,
    b: Matrix<'_>,
    out: *mut f32,
    accumulate: bool,
    parallelism: Parallelism,
) {
    assert_eq!(a.columns, b.rows, "inner sizes differ");
    if a.rows == 0 || b.columns == 0 {
        return;
    }
    if a.columns == 0 {
        if !accumulate {
            // SAFETY: there is room, by the caller's promise.
            unsafe { out.write_bytes(0, a.rows * b.columns) };
        }
        return;
    }
    // SAFETY: the matrices have the sizes and strides passed, by the assertion here, that of
    // `Matrix::new` and the caller's promise. The output is not read unless `accumulate`.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out,
            1,
            b.columns as isize,
            accumulate,
            a.data.as_ptr(),
            a.column,
            a.row,
            b.data.as_ptr(),
            b.column,
            b.row,
            1.0f32,
            1.0f32,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes_and_accumulation() {
        let a: Vec<f32> = (0..6).map(|i| i as f32).collect();
        let b: Vec<f32> = (0..12).map(|i| (i % 5) as f32).collect();
        // a: 2×3, b: 4×3, a·bᵀ: 2×4.
        let mut out = vec![1.0; 8];
        product(
            Matrix::new(&a, 2, 3),
            Matrix::new(&b, 4, 3).t(),
            &mut out,
            true,
        );
        for i in 0..2 {
            for j in 0..4 {
                let dot: f32 = (0..3).map(|k| a[i * 3 + k] * b[j * 3 + k]).sum();
                assert_eq!(out[i * 4 + j], 1.0 + dot);
            }
        }
        let fresh = product_of(Matrix::new(&a, 2, 3), Matrix::new(&b, 4, 3).t());
        assert!(
            fresh
                .iter()
                .zip(&out)
                .all(|(fresh, out)| fresh + 1.0 == *out)
        );
    }

    #[test]
    fn a_product_over_nothing_is_zero() {
        let none = Matrix::new(&[], 2, 0);
        assert_eq!(product_of(none, Matrix::new(&[], 0, 3)), [0.0; 6]);
    }
}
