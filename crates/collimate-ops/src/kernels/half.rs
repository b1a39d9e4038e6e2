//! Frozen matrices of 16-bit floats. They are widened to f32 where a product reads them, some rows
//! at a time.

use std::cell::RefCell;
use std::ops::Range;

use burn::tensor::{DType, bf16, f16};
use burn_flex::FlexTensor;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::gemm::{Matrix, product_columns};
use super::{math, repeated, unwritten, written};

/// Number of elements that are widened at a time for a product, unless one row has more.
const WIDENED: usize = 1 << 20;
/// Number of elements that one task widens.
const TASK: usize = 1 << 15;

/// A matrix `[rows, columns]` of bf16 or f16, row-major and without gaps.
#[derive(Debug, Clone)]
pub(crate) struct HalfMatrix {
    tensor: FlexTensor,
    rows: usize,
    columns: usize,
}

impl HalfMatrix {
    /// Returns the matrix, or `None` if the tensor has another number type or another rank.
    pub(crate) fn new(tensor: FlexTensor) -> Option<Self> {
        let &[rows, columns] = tensor.layout().shape().as_slice() else {
            return None;
        };
        let whole = match tensor.dtype() {
            DType::BF16 => tensor.as_slice::<bf16>().is_some(),
            DType::F16 => tensor.as_slice::<f16>().is_some(),
            _ => return None,
        };
        let tensor = match whole {
            true => tensor,
            false => tensor.to_contiguous(),
        };
        Some(Self {
            tensor,
            rows,
            columns,
        })
    }

    /// Returns the bits of a matrix of bf16.
    pub(crate) fn bits(&self) -> Option<&[u16]> {
        Some(self.tensor.as_slice::<bf16>()?.reinterpret_cast())
    }

    /// Returns the sizes: rows and columns.
    pub(crate) fn dims(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// Writes the values of some rows to `out`.
    pub(crate) fn widen(&self, rows: &Range<usize>, out: &mut [f32]) {
        let range = rows.start * self.columns..rows.end * self.columns;
        assert_eq!(out.len(), range.len(), "room for the rows");
        match self.tensor.dtype() {
            DType::BF16 => {
                let values = &self.tensor.as_slice::<bf16>().expect("contiguous")[range];
                math::vectorised(
                    #[inline(always)]
                    || {
                        for (out, value) in out.iter_mut().zip(values) {
                            *out = f32::from_bits(u32::from(value.to_bits()) << 16);
                        }
                    },
                );
            }
            _ => {
                let values = &self.tensor.as_slice::<f16>().expect("contiguous")[range];
                values.convert_to_f32_slice(out);
            }
        }
    }

    /// Returns the values of some rows. All threads widen them.
    pub(crate) fn widened(&self, rows: &Range<usize>) -> Vec<f32> {
        let mut values = Vec::new();
        self.widen_into(rows, &mut values);
        values
    }

    /// Replaces the content of `values` by some rows. All threads widen them.
    fn widen_into(&self, rows: &Range<usize>, values: &mut Vec<f32>) {
        let len = rows.len() * self.columns;
        values.resize(len, 0.0);
        let each = (TASK / self.columns.max(1)).max(1);
        values
            .par_chunks_mut((each * self.columns).max(1))
            .enumerate()
            .for_each(|(index, part)| {
                let first = rows.start + index * each;
                let last = rows.end.min(first + each);
                self.widen(&(first..last), part);
            });
    }

    /// Returns the rows of the matrix in parts that are widened one after the other.
    fn parts(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, each) = (self.rows, (WIDENED / self.columns.max(1)).max(1));
        (0..rows)
            .step_by(each)
            .map(move |start| start..rows.min(start + each))
    }

    /// Computes `x·Wᵀ + b`; `x` has `rows` rows.
    pub(crate) fn times_transposed(
        &self,
        x: &[f32],
        rows: usize,
        bias: Option<&[f32]>,
    ) -> Vec<f32> {
        let x = Matrix::new(x, rows, self.columns);
        let mut y = match bias {
            Some(bias) => repeated(bias, rows),
            None => super::zeros(rows * self.rows),
        };
        let mut values = Vec::new();
        for part in self.parts() {
            self.widen_into(&part, &mut values);
            let weight = Matrix::new(&values, part.len(), self.columns);
            let width = self.rows;
            product_columns(x, weight.t(), &mut y, width, part.start, bias.is_some());
        }
        y
    }

    /// Computes `grad·W`; `grad` has `rows` rows.
    pub(crate) fn times(&self, grad: &[f32], rows: usize) -> Vec<f32> {
        let grad = Matrix::new(grad, rows, self.rows);
        let mut y = unwritten(rows * self.columns);
        let mut values = Vec::new();
        for part in self.parts() {
            self.widen_into(&part, &mut values);
            let weight = Matrix::new(&values, part.len(), self.columns);
            let grad = grad.columns(&part);
            // SAFETY: the first product writes every element without reading any.
            #[allow(unsafe_code)]
            unsafe {
                super::gemm::product_at(grad, weight, y.as_mut_ptr().cast(), part.start > 0);
            }
        }
        if self.rows == 0 {
            return super::zeros(rows * self.columns);
        }
        // SAFETY: the matrix has a row, so a product wrote all elements.
        #[allow(unsafe_code)]
        unsafe {
            written(y)
        }
    }

    /// Returns the rows chosen by `ids`.
    pub(crate) fn gather(&self, ids: &[usize]) -> Vec<f32> {
        let mut y = super::zeros(ids.len() * self.columns);
        if self.columns > 0 {
            for (y, &id) in y.chunks_exact_mut(self.columns).zip(ids) {
                self.widen(&(id..id + 1), y);
            }
        }
        y
    }
}

thread_local! {
    /// Memory for the rows that this thread reads.
    static OWN: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// A weight of f32, or a frozen weight of 16-bit floats.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Weight<'a> {
    F32(&'a [f32]),
    Half(&'a HalfMatrix),
}

impl Weight<'_> {
    /// Passes the values of some rows of `width` elements to `read`, which must not wait for other
    /// threads.
    pub(crate) fn rows<R>(
        self,
        rows: &Range<usize>,
        width: usize,
        read: impl FnOnce(&[f32]) -> R,
    ) -> R {
        match self {
            Self::F32(values) => read(&values[rows.start * width..rows.end * width]),
            Self::Half(matrix) => OWN.with_borrow_mut(|own| {
                let len = rows.len() * width;
                own.resize(len.max(own.len()), 0.0);
                matrix.widen(rows, &mut own[..len]);
                read(&own[..len])
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    /// Whole numbers, which both types hold.
    fn value(i: usize) -> f32 {
        ((i * 37 + 11) % 23) as f32 - 11.0
    }

    fn matrices([rows, columns]: [usize; 2]) -> [HalfMatrix; 2] {
        let len = rows * columns;
        let brain: Vec<bf16> = (0..len).map(|i| bf16::from_f32(value(i))).collect();
        let half: Vec<f16> = (0..len).map(|i| f16::from_f32(value(i))).collect();
        [
            TensorData::new(brain, [rows, columns]),
            TensorData::new(half, [rows, columns]),
        ]
        .map(|data| HalfMatrix::new(FlexTensor::from_data(data)).unwrap())
    }

    #[test]
    fn products_equal_a_double_loop_on_whole_numbers() {
        // The second matrix is widened in several parts.
        for [tokens, output, input] in [[3, 5, 7], [2, 1030, 2050], [1, 1, 1], [0, 3, 4]] {
            let x: Vec<f32> = (0..tokens * input).map(|i| value(i + 5)).collect();
            let grad: Vec<f32> = (0..tokens * output).map(|i| value(i + 3)).collect();
            let bias: Vec<f32> = (0..output).map(value).collect();
            let weight = |o: usize, i: usize| value(o * input + i);
            for matrix in matrices([output, input]) {
                let y = matrix.times_transposed(&x, tokens, None);
                let with_bias = matrix.times_transposed(&x, tokens, Some(&bias));
                let back = matrix.times(&grad, tokens);
                for t in 0..tokens {
                    for o in [0, output / 2, output - 1] {
                        let dot: f32 = (0..input).map(|i| x[t * input + i] * weight(o, i)).sum();
                        assert_eq!(y[t * output + o], dot, "{t} {o}");
                        assert_eq!(with_bias[t * output + o], dot + bias[o], "{t} {o}");
                    }
                    for i in [0, input / 2, input - 1] {
                        let dot: f32 = (0..output)
                            .map(|o| grad[t * output + o] * weight(o, i))
                            .sum();
                        assert_eq!(back[t * input + i], dot, "{t} {i}");
                    }
                }
            }
        }
    }

    #[test]
    fn rows_are_those_of_the_matrix() {
        for matrix in matrices([6, 3]) {
            let all: Vec<f32> = (0..18).map(value).collect();
            assert_eq!(matrix.widened(&(0..6)), all);
            assert_eq!(matrix.gather(&[4, 0]), [&all[12..15], &all[..3]].concat());
            let weights = [Weight::F32(&all), Weight::Half(&matrix)];
            for weight in weights {
                let found = weight.rows(&(2..4), 3, <[f32]>::to_vec);
                assert_eq!(found, all[6..12]);
            }
        }
    }

    #[test]
    fn a_view_is_read_in_its_own_order() {
        let [matrix, _] = matrices([4, 3]);
        let turned = matrix.tensor.transpose(0, 1);
        let turned = HalfMatrix::new(turned).unwrap();
        let expected: Vec<f32> = (0..12).map(|i| value((i % 4) * 3 + i / 4)).collect();
        assert_eq!(turned.widened(&(0..3)), expected);
    }
}
