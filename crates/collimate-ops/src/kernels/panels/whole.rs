//! Products of rounded rows and panels of 8-bit numbers. The sums of a block are whole numbers, so
//! that every processor finds the same result.

use std::ops::Range;

use super::Task;
use super::pack::Panel;
use super::rounded::{BLOCK, Rounded};

/// Largest number of outputs in a panel.
const WIDE: usize = 32;

/// Sums of some rows: a number for each output of a panel.
type Sums<const M: usize> = [[i32; WIDE]; M];

/// Instructions that multiply whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// AVX-512 BW, on panels of 32 outputs.
    #[cfg(target_arch = "x86_64")]
    Vectors512,
    /// AVX2, on panels of 16 outputs.
    #[cfg(target_arch = "x86_64")]
    Vectors256,
    /// Instructions of the compiler's choice.
    Plain,
}

impl Unit {
    fn of_processor(wide: usize) -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if wide == 32 && is_x86_feature_detected!("avx512bw") {
                return Self::Vectors512;
            }
            if wide == 16 && is_x86_feature_detected!("avx2") {
                return Self::Vectors256;
            }
        }
        assert!(wide <= WIDE, "a panel of {wide} outputs");
        Self::Plain
    }

    /// Returns the number of rows whose sums stay in registers.
    fn rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vectors512 => 12,
            #[cfg(target_arch = "x86_64")]
            Self::Vectors256 => 6,
            Self::Plain => 4,
        }
    }
}

impl Task<'_> {
    /// Computes the panels of the task.
    pub(super) fn run_whole(&self, values: &Panel<i8>, scales: &[f32]) {
        self.run_whole_on(Unit::of_processor(self.weight.wide), values, scales);
    }

    fn run_whole_on(&self, unit: Unit, values: &Panel<i8>, scales: &[f32]) {
        let x = self.rounded.expect("rows rounded for weights of 8 bits");
        // The tiles have about the same height.
        let tiles = self.rows.div_ceil(unit.rows()).max(1);
        let height = self.rows.div_ceil(tiles).max(1);
        for panel in self.panels.clone() {
            let bytes = &values.units[panel * values.size..(panel + 1) * values.size];
            let scales = &scales[panel * self.weight.wide..][..self.weight.wide];
            for row in (0..self.rows).step_by(height) {
                macro_rules! tile {
                    ($($rows:literal)*) => {
                        match height.min(self.rows - row) {
                            $($rows => self.whole_tile::<$rows>(unit, x, bytes, scales, row, panel),)*
                            rows => unreachable!("a tile of {rows} rows"),
                        }
                    };
                }
                tile!(1 2 3 4 5 6 7 8 9 10 11 12);
            }
        }
    }

    fn whole_tile<const M: usize>(
        &self,
        unit: Unit,
        x: &Rounded,
        bytes: &[i8],
        scales: &[f32],
        row: usize,
        panel: usize,
    ) {
        let wide = self.weight.wide;
        let rows = &x.values[row * x.width..(row + M) * x.width];
        let mut totals = [[0.0f32; WIDE]; M];
        for start in (0..x.width).step_by(BLOCK) {
            let pairs = start / 2..x.width.min(start + BLOCK) / 2;
            let sums = sums::<M>(unit, rows, x.width, bytes, wide, pairs);
            for (totals, sums) in totals.iter_mut().zip(&sums) {
                for (total, &sum) in totals[..wide].iter_mut().zip(&sums[..wide]) {
                    *total += sum as f32;
                }
            }
        }
        for (m, totals) in totals.iter_mut().enumerate() {
            let unit = x.units[row + m];
            for (total, scale) in totals[..wide].iter_mut().zip(scales) {
                *total *= scale * unit;
            }
            self.write(row + m, panel, &totals[..wide]);
        }
    }
}

/// Returns the sums of some pairs of inputs, for `M` rows of `width` elements and a panel.
fn sums<const M: usize>(
    unit: Unit,
    rows: &[i16],
    width: usize,
    panel: &[i8],
    wide: usize,
    pairs: Range<usize>,
) -> Sums<M> {
    assert_eq!(rows.len(), M * width, "rows of another size");
    assert!(
        2 * pairs.end <= width && panel.len() == width * wide,
        "a panel of another size"
    );
    match unit {
        // SAFETY: the processor has the instructions, and the panel has this number of outputs. By
        // the assertions, all loads lie in the slices.
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code)]
        Unit::Vectors512 => unsafe {
            assert_eq!(wide, 32, "a panel of two vectors");
            x86::sums_512(rows.as_ptr(), width, panel.as_ptr(), pairs)
        },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code)]
        Unit::Vectors256 => unsafe {
            assert_eq!(wide, 16, "a panel of two vectors");
            x86::sums_256(rows.as_ptr(), width, panel.as_ptr(), pairs)
        },
        Unit::Plain => match wide {
            8 => plain::<M, 8>(rows, width, panel, pairs),
            16 => plain::<M, 16>(rows, width, panel, pairs),
            32 => plain::<M, 32>(rows, width, panel, pairs),
            _ => plain_of(rows, width, panel, wide, pairs),
        },
    }
}

/// Computes the sums for panels of `W` outputs, which the compiler can keep in registers.
fn plain<const M: usize, const W: usize>(
    rows: &[i16],
    width: usize,
    panel: &[i8],
    pairs: Range<usize>,
) -> Sums<M> {
    let mut sums = [[0; W]; M];
    for pair in pairs {
        let (weights, _) = panel[2 * W * pair..].as_chunks::<2>();
        let weights: &[[i8; 2]; W] = weights.first_chunk().expect("a whole panel");
        for m in 0..M {
            let x = &rows[m * width + 2 * pair..][..2];
            let [first, second] = [x[0], x[1]].map(i32::from);
            for o in 0..W {
                let [one, two] = weights[o].map(i32::from);
                sums[m][o] += first * one + second * two;
            }
        }
    }
    let mut out = [[0; WIDE]; M];
    for (out, sums) in out.iter_mut().zip(sums) {
        out[..W].copy_from_slice(&sums);
    }
    out
}

/// Computes the sums for panels of any number of outputs.
fn plain_of<const M: usize>(
    rows: &[i16],
    width: usize,
    panel: &[i8],
    wide: usize,
    pairs: Range<usize>,
) -> Sums<M> {
    let mut sums = [[0; WIDE]; M];
    for pair in pairs {
        let weights = &panel[2 * wide * pair..][..2 * wide];
        for (m, sums) in sums.iter_mut().enumerate() {
            let x = &rows[m * width + 2 * pair..][..2];
            let [first, second] = [x[0], x[1]].map(i32::from);
            for (sum, weights) in sums.iter_mut().zip(weights.chunks_exact(2)) {
                *sum += first * i32::from(weights[0]) + second * i32::from(weights[1]);
            }
        }
    }
    sums
}

/// The same on vectors: each holds pairs of inputs, and an instruction adds the products of a pair.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm_loadu_si128, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_loadu_si256,
        _mm256_madd_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256,
        _mm512_add_epi32, _mm512_cvtepi8_epi16, _mm512_madd_epi16, _mm512_set1_epi32,
        _mm512_setzero_si512, _mm512_storeu_si512,
    };
    use std::ops::Range;

    use super::super::tile::prefetch_ahead;
    use super::{Sums, WIDE};

    macro_rules! sums {
        ($name:ident, $features:literal, $bytes:literal, $zero:ident, $load:ident, $widen:ident,
         $all:ident, $multiply:ident, $add:ident, $store:ident) => {
            /// Returns the sums of some pairs of inputs.
            ///
            /// # Safety
            /// The processor must have the instructions. Each of the `M` rows, `width` elements
            /// apart, and the panel of two vectors must hold the pairs.
            #[target_feature(enable = $features)]
            #[allow(unsafe_code)]
            pub(super) unsafe fn $name<const M: usize>(
                rows: *const i16,
                width: usize,
                panel: *const i8,
                pairs: Range<usize>,
            ) -> Sums<M> {
                // SAFETY: by the caller's promise. Vectors are read and written without alignment.
                unsafe {
                    let mut sums = [[$zero(); 2]; M];
                    for pair in pairs {
                        let place = panel.add(2 * $bytes * pair);
                        prefetch_ahead(place.cast(), 2 * $bytes);
                        let first = $widen($load(place.cast()));
                        let second = $widen($load(place.add($bytes).cast()));
                        for (m, sums) in sums.iter_mut().enumerate() {
                            let two = rows.add(m * width + 2 * pair).cast::<i32>();
                            let two = $all(two.read_unaligned());
                            sums[0] = $add(sums[0], $multiply(two, first));
                            sums[1] = $add(sums[1], $multiply(two, second));
                        }
                    }
                    let mut out = [[0; WIDE]; M];
                    for (out, sums) in out.iter_mut().zip(sums) {
                        $store(out.as_mut_ptr().cast(), sums[0]);
                        $store(out.as_mut_ptr().add($bytes / 2).cast(), sums[1]);
                    }
                    out
                }
            }
        };
    }

    sums!(
        sums_256,
        "avx2",
        16,
        _mm256_setzero_si256,
        _mm_loadu_si128,
        _mm256_cvtepi8_epi16,
        _mm256_set1_epi32,
        _mm256_madd_epi16,
        _mm256_add_epi32,
        _mm256_storeu_si256
    );
    sums!(
        sums_512,
        "avx512f,avx512bw",
        32,
        _mm512_setzero_si512,
        _mm256_loadu_si256,
        _mm512_cvtepi8_epi16,
        _mm512_set1_epi32,
        _mm512_madd_epi16,
        _mm512_add_epi32,
        _mm512_storeu_si512
    );
}

#[cfg(test)]
mod tests {
    use super::super::super::half::Weight;
    use super::super::pack::{Panels, Values};
    use super::*;
    use crate::PackedType;
    use crate::kernels::{SharedUnwritten, unwritten, written};

    fn result(unit: Unit, x: &[f32], rows: usize, panels: &Panels) -> Vec<f32> {
        let Values::Int8(values, scales) = &panels.values else {
            panic!("8 bits")
        };
        let mut out = unwritten(rows * panels.output);
        let rounded = Rounded::new(x, rows, panels.input);
        let task = Task {
            x,
            rows,
            rounded: Some(&rounded),
            weight: panels,
            bias: None,
            out: SharedUnwritten::new(&mut out),
            panels: 0..panels.panels(),
        };
        task.run_whole_on(unit, values, scales);
        // SAFETY: the task covers all panels.
        #[allow(unsafe_code)]
        unsafe {
            written(out)
        }
    }

    /// The widths of all processors: a unit may be absent, but never another result.
    #[test]
    fn the_units_agree_bit_for_bit() {
        let sizes = [[1, 3, 2], [7, 130, 33], [13, 2051, 70], [2, 0, 3]];
        let all = sizes
            .into_iter()
            .flat_map(|size| [2, 8, 16, 32].map(|wide| (size, wide)));
        for ([rows, input, output], wide) in all {
            let x: Vec<f32> = (0..rows * input).map(|i| (i as f32 * 0.37).sin()).collect();
            let weight: Vec<f32> = (0..output * input)
                .map(|i| (i as f32 * 1.3).cos())
                .collect();
            let shape = [output, input];
            let panels = Panels::of_width(Weight::F32(&weight), shape, PackedType::Int8, wide);
            let fast = result(Unit::of_processor(wide), &x, rows, &panels);
            let plain = result(Unit::Plain, &x, rows, &panels);
            assert_eq!(plain, fast, "{rows}×{input}×{output}, {wide} wide");
            let own = Panels::new(Weight::F32(&weight), shape, PackedType::Int8);
            let usual = result(Unit::of_processor(own.wide), &x, rows, &own);
            assert_eq!(usual, fast, "{rows}×{input}×{output}, {wide} wide");
        }
    }

    /// The largest sums that can occur, in a block and over several blocks.
    #[test]
    fn the_largest_numbers_fit() {
        let (input, output) = (2 * BLOCK + 6, 3);
        let weight = vec![1.0; output * input];
        let panels = Panels::new(Weight::F32(&weight), [output, input], PackedType::Int8);
        for sign in [1.0, -1.0] {
            let x = vec![sign * 2.0; 8 * input];
            let y = result(Unit::of_processor(panels.wide), &x, 8, &panels);
            let expected = sign * 2.0 * input as f32;
            assert!(y.iter().all(|y| (y / expected - 1.0).abs() < 1e-6), "{y:?}");
        }
    }

    #[test]
    fn a_row_with_an_infinite_element_has_no_numbers() {
        let panels = Panels::new(Weight::F32(&[1.0, 2.0]), [1, 2], PackedType::Int8);
        let y = result(
            Unit::of_processor(panels.wide),
            &[1.0, 1.0, f32::INFINITY, 1.0, 0.0, 0.0],
            3,
            &panels,
        );
        assert!(
            (y[0] - 3.0).abs() < 0.02 && y[1].is_nan() && y[2] == 0.0,
            "{y:?}"
        );
    }
}
