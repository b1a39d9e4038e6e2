//! Rows of a product's input as whole numbers, for weights of 8 bits.

use rayon::prelude::*;

use super::super::math;

/// Number of inputs whose products are summed as whole numbers.
pub(super) const BLOCK: usize = 1024;
/// Largest whole number of a row. A block's sum of products with numbers up to 127 fits into 32 bits.
pub(super) const LARGEST: i16 = 16_383;
const _: () = assert!(BLOCK as i64 * LARGEST as i64 * 127 <= i32::MAX as i64);

/// Rows whose elements are multiples of a 16383rd of the row's largest element.
#[derive(Debug)]
pub(super) struct Rounded {
    /// The multiples, with a zero at the end of each row of an odd number of inputs.
    pub(super) values: Vec<i16>,
    /// The unit of each row; NaN if the row has an element that is not finite.
    pub(super) units: Vec<f32>,
    /// Number of elements of a row of `values`.
    pub(super) width: usize,
}

impl Rounded {
    /// Rounds `rows` rows of `input` elements.
    pub(super) fn new(x: &[f32], rows: usize, input: usize) -> Self {
        let width = input.next_multiple_of(2);
        let mut values = vec![0; rows * width];
        let mut units = vec![0.0; rows];
        if input > 0 {
            let places = values.par_chunks_exact_mut(width).zip(&mut units);
            places
                .zip(x.par_chunks_exact(input))
                .with_min_len(8)
                .for_each(|((values, unit), row)| *unit = round(row, values));
        }
        Self {
            values,
            units,
            width,
        }
    }
}

/// Writes the multiples of a row and returns their unit.
fn round(row: &[f32], values: &mut [i16]) -> f32 {
    math::vectorised(
        #[inline(always)]
        || {
            let largest = math::largest_size(row);
            if !largest.is_finite() {
                return f32::NAN;
            }
            let unit = largest / f32::from(LARGEST);
            if unit == 0.0 {
                return 0.0;
            }
            for (value, x) in values.iter_mut().zip(row) {
                let most = f32::from(LARGEST);
                *value = math::whole((x / unit).clamp(-most, most)) as i16;
            }
            unit
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_rounded_to_a_16383rd_of_its_largest_element() {
        let x = [0.5, -1.0, 0.25, 0.0, 0.0, 0.0, 3.0, f32::INFINITY, 1.0];
        let rounded = Rounded::new(&x, 3, 3);
        assert_eq!(rounded.width, 4);
        // 0.5 is 8191.5 units; ties go to the even number.
        assert_eq!(rounded.values[..8], [8192, -16_383, 4096, 0, 0, 0, 0, 0]);
        assert_eq!(rounded.units[..2], [1.0 / 16_383.0, 0.0]);
        assert!(rounded.units[2].is_nan());
        assert!(Rounded::new(&[f32::NAN, 1.0], 1, 2).units[0].is_nan());
    }

    #[test]
    fn the_smallest_numbers_do_not_overflow() {
        for tiny in [f32::from_bits(1), f32::MIN_POSITIVE, 1e-42] {
            let rounded = Rounded::new(&[tiny, -tiny], 1, 2);
            assert!(rounded.units[0].is_finite());
            assert_eq!(rounded.values[0], -rounded.values[1]);
        }
        let largest = Rounded::new(&[f32::MAX, -f32::MAX], 1, 2);
        assert_eq!(largest.values, [LARGEST, -LARGEST]);
    }
}
