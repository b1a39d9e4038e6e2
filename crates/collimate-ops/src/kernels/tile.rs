//! A register-blocked product of small matrices, for the tiles of attention.

use pulp::Simd;

/// Multiple to which the columns of every packed matrix are padded: the widest vector.
pub(crate) const PAD: usize = 16;

/// Rounds `n` up to a multiple of [`PAD`].
pub(crate) fn padded(n: usize) -> usize {
    n.next_multiple_of(PAD)
}

/// A read-only matrix: element `(i, j)` lies at `i · row + j · column`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) row: usize,
    pub(crate) column: usize,
}

/// A matrix whose rows are contiguous and start `stride` elements apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) stride: usize,
}

/// Rows, `stride` elements apart, that receive a product. If `accumulate`, the product is added.
#[derive(Debug)]
pub(crate) struct Output<'a> {
    pub(crate) data: &'a mut [f32],
    pub(crate) stride: usize,
    pub(crate) accumulate: bool,
}

/// Computes `c = a·b`, or `c += a·b` if `c.accumulate`.
///
/// `a` is `m × k` in any layout, `b` is `k × n`, `c` is `m × n`; `n` is a multiple of [`PAD`].
#[inline(always)]
pub(crate) fn multiply<S: Simd>(
    simd: S,
    [m, n, k]: [usize; 3],
    a: View<'_>,
    b: Rows<'_>,
    mut c: Output<'_>,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(
        n.is_multiple_of(PAD) && c.data.len() >= (m - 1) * c.stride + n,
        "output tile too small"
    );
    if k > 0 {
        assert!(
            b.data.len() >= (k - 1) * b.stride + n,
            "right tile too small"
        );
        assert!(
            a.data.len() > (m - 1) * a.row + (k - 1) * a.column,
            "left tile too small"
        );
    }
    let lanes = S::F32_LANES;
    let mut j = 0;
    while j < n {
        let vectors = if j + 2 * lanes <= n { 2 } else { 1 };
        let mut i = 0;
        while i < m {
            let rows = (m - i).min(6);
            let at = [i, j];
            macro_rules! block {
                ($rows:literal) => {
                    if vectors == 2 {
                        block::<S, $rows, 2>(simd, at, k, a, b, &mut c)
                    } else {
                        block::<S, $rows, 1>(simd, at, k, a, b, &mut c)
                    }
                };
            }
            match rows {
                1 => block!(1),
                2 => block!(2),
                3 => block!(3),
                4 => block!(4),
                5 => block!(5),
                _ => block!(6),
            }
            i += rows;
        }
        j += vectors * lanes;
    }
}

/// Computes the part of [`multiply`] for `M` rows and `N` vectors of columns, held in registers.
#[inline(always)]
#[allow(unsafe_code)]
fn block<S: Simd, const M: usize, const N: usize>(
    simd: S,
    [i, j]: [usize; 2],
    k: usize,
    a: View<'_>,
    b: Rows<'_>,
    c: &mut Output<'_>,
) {
    let (ldb, ldc, accumulate) = (b.stride, c.stride, c.accumulate);
    let lanes = S::F32_LANES;
    let mut sums = [[simd.splat_f32s(0.0); N]; M];
    // SAFETY: `multiply` asserted that rows i..i+M, columns j..j+N·lanes and depth k lie inside
    // all three slices; vectors are read and written without alignment.
    unsafe {
        let left = a.data.as_ptr().add(i * a.row);
        let right = b.data.as_ptr().add(j);
        for depth in 0..k {
            let mut columns = [simd.splat_f32s(0.0); N];
            for (v, column) in columns.iter_mut().enumerate() {
                *column = right
                    .add(depth * ldb + v * lanes)
                    .cast::<S::f32s>()
                    .read_unaligned();
            }
            for (r, row) in sums.iter_mut().enumerate() {
                let value = simd.splat_f32s(*left.add(r * a.row + depth * a.column));
                for (sum, column) in row.iter_mut().zip(columns) {
                    *sum = simd.mul_add_f32s(value, column, *sum);
                }
            }
        }
        let out = c.data.as_mut_ptr().add(i * ldc + j);
        for (r, row) in sums.iter().enumerate() {
            for (v, sum) in row.iter().enumerate() {
                let place = out.add(r * ldc + v * lanes).cast::<S::f32s>();
                let sum = if accumulate {
                    simd.add_f32s(place.read_unaligned(), *sum)
                } else {
                    *sum
                };
                place.write_unaligned(sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        shape: [usize; 3],
        accumulate: bool,
        transposed: bool,
    }

    impl pulp::WithSimd for Case {
        type Output = ();

        fn with_simd<S: Simd>(self, simd: S) {
            let [m, n, k] = self.shape;
            let value = |i: usize| ((i * 37 + 11) % 23) as f32 - 11.0;
            let a: Vec<f32> = (0..m * k).map(value).collect();
            let b: Vec<f32> = (0..k * n).map(|i| value(i + 5)).collect();
            let mut c: Vec<f32> = (0..m * n).map(value).collect();
            let before = c.clone();
            let (row, column) = if self.transposed { (1, m) } else { (k, 1) };
            let view = View {
                data: &a,
                row,
                column,
            };
            let right = Rows {
                data: &b,
                stride: n,
            };
            let out = Output {
                data: &mut c,
                stride: n,
                accumulate: self.accumulate,
            };
            multiply(simd, self.shape, view, right, out);
            for i in 0..m {
                for j in 0..n {
                    let dot: f32 = (0..k).map(|d| a[i * row + d * column] * b[d * n + j]).sum();
                    let base = if self.accumulate {
                        before[i * n + j]
                    } else {
                        0.0
                    };
                    assert_eq!(
                        c[i * n + j],
                        base + dot,
                        "shape {m}×{n}×{k}, element {i},{j}"
                    );
                }
            }
        }
    }

    #[test]
    fn equals_a_triple_loop_on_whole_numbers() {
        for shape in [
            [1, 16, 1],
            [7, 48, 5],
            [13, 32, 0],
            [6, 16, 33],
            [32, 80, 16],
        ] {
            for (accumulate, transposed) in [(false, false), (true, false), (true, true)] {
                pulp::Arch::new().dispatch(Case {
                    shape,
                    accumulate,
                    transposed,
                });
                Case {
                    shape,
                    accumulate,
                    transposed,
                }
                .with_simd_scalar();
            }
        }
    }

    impl Case {
        fn with_simd_scalar(self) {
            use pulp::WithSimd;
            self.with_simd(pulp::Scalar::new());
        }
    }
}
