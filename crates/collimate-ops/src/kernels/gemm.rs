//! Products of large matrices, through the `gemm` crate that flex itself uses.

use std::ops::Range;

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

    /// Returns some columns of a matrix that is not transposed, without moving data.
    pub(crate) fn columns(self, range: &Range<usize>) -> Self {
        assert_eq!(self.column, 1, "columns of a transposed matrix");
        assert!(range.end <= self.columns, "columns outside the matrix");
        Self {
            // Without rows, there is no first column to point to.
            data: self.data.get(range.start..).unwrap_or_default(),
            columns: range.len(),
            ..self
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
        product_at(a, b, out.as_mut_ptr(), accumulate);
    }
}

/// Computes [`product`] into memory that may be uninitialised.
///
/// # Safety
/// As for [`product_alone_at`].
#[allow(unsafe_code)]
pub(crate) unsafe fn product_at(a: Matrix<'_>, b: Matrix<'_>, out: *mut f32, accumulate: bool) {
    // SAFETY: by the caller's promise.
    unsafe { multiply(a, b, out, b.columns, accumulate, threads_for(a, b)) };
}

/// Computes `a·b` into the columns from `first` on of `out`, whose rows have `width` elements, or
/// adds `a·b` to them.
pub(crate) fn product_columns(
    a: Matrix<'_>,
    b: Matrix<'_>,
    out: &mut [f32],
    width: usize,
    first: usize,
    accumulate: bool,
) {
    assert_eq!(out.len(), a.rows * width, "output of another size");
    assert!(first + b.columns <= width, "columns outside the output");
    if a.rows == 0 {
        return;
    }
    let out = &mut out[first..];
    // SAFETY: the last of the rows ends inside `out`, which is borrowed exclusively.
    #[allow(unsafe_code)]
    unsafe {
        multiply(a, b, out.as_mut_ptr(), width, accumulate, threads_for(a, b));
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
    unsafe { multiply(a, b, out, b.columns, accumulate, Parallelism::None) };
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
        product_at(a, b, out.as_mut_ptr(), false);
        out.set_len(len);
    }
    out
}

/// Computes the product for all functions above, with the given number of threads. The rows of the
/// output are `width` elements apart.
///
/// # Safety
/// `out` must have room for the product, and no other code may access it during the call. It must
/// be initialised if `accumulate`.
#[allow(unsafe_code)]
unsafe fn multiply(
    a: Matrix<'_>,
    b: Matrix<'_>,
    out: *mut f32,
    width: usize,
    accumulate: bool,
    parallelism: Parallelism,
) {
    assert_eq!(a.columns, b.rows, "inner sizes differ");
    assert!(width >= b.columns, "rows of the output overlap");
    if a.rows == 0 || b.columns == 0 {
        return;
    }
    if a.columns == 0 {
        if !accumulate {
            for row in 0..a.rows {
                // SAFETY: there is room, by the caller's promise.
                unsafe { out.add(row * width).write_bytes(0, b.columns) };
            }
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
            width as isize,
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
    fn columns_of_inputs_and_outputs() {
        let a: Vec<f32> = (0..6).map(|i| i as f32).collect();
        // The last two columns of a 2×3 matrix, times a 2×2 matrix, into columns 1 and 2 of 4.
        let part = Matrix::new(&a, 2, 3).columns(&(1..3));
        let b = [1.0, 2.0, 3.0, 4.0];
        for (accumulate, extra) in [(false, 0.0), (true, 9.0)] {
            let mut out = vec![9.0; 8];
            product_columns(part, Matrix::new(&b, 2, 2), &mut out, 4, 1, accumulate);
            let [x, y, z, w] = [7.0, 10.0, 19.0, 28.0].map(|v: f32| v + extra);
            assert_eq!(out, [9.0, x, y, 9.0, 9.0, z, w, 9.0]);
        }
        let mut out = vec![9.0; 4];
        let (none, nothing) = (Matrix::new(&[], 2, 0), Matrix::new(&[], 0, 1));
        product_columns(none, nothing, &mut out, 2, 1, false);
        assert_eq!(out, [9.0, 0.0, 9.0, 0.0]);
    }

    #[test]
    fn a_product_over_nothing_is_zero() {
        let none = Matrix::new(&[], 2, 0);
        assert_eq!(product_of(none, Matrix::new(&[], 0, 3)), [0.0; 6]);
    }
}
