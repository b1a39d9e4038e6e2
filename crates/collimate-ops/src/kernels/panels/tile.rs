//! Products of some rows and some panels, in registers.

use std::cell::RefCell;
use std::mem::MaybeUninit;

use pulp::Simd;

use super::Task;
use super::pack::{Panel, Panels};
use super::read::{F32s, Form};

/// Number of rows in one tile. With two vectors per row and two for the weight, a tile fits the
/// registers of AVX-512; half of the rows fit those of AVX2.
const TILE: usize = 12;
/// Number of bytes by which prefetching runs ahead. The loops are too short for the processor to
/// prefetch by itself.
const AHEAD: usize = 2048;
/// Number of bytes of a cache line.
const LINE: usize = 64;

thread_local! {
    /// A panel as f32, for more rows than read the panel directly.
    static WIDENED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl Task<'_> {
    #[inline(always)]
    pub(super) fn run<S: Simd, F: Form<S>>(&self, simd: S, values: &Panel<F::Unit>) {
        let most = if S::F32_LANES >= 16 { TILE } else { TILE / 2 };
        // The tiles have about the same height.
        let height = self.rows.div_ceil(self.rows.div_ceil(most).max(1)).max(1);
        for panel in self.panels.clone() {
            let units = &values.units[panel * values.size..(panel + 1) * values.size];
            if self.rows <= F::DIRECT {
                self.tiles::<S, F>(simd, units, panel, height);
                continue;
            }
            // Taken out, because a closure would not be compiled for the processor's vectors.
            let mut widened = WIDENED.take();
            self.widen::<S, F>(simd, units, &mut widened);
            self.tiles::<S, F32s>(simd, &widened, panel, height);
            WIDENED.set(widened);
        }
    }

    /// Writes the elements of a panel in the form [`F32s`].
    #[inline(always)]
    #[allow(unsafe_code)]
    fn widen<S: Simd, F: Form<S>>(&self, simd: S, units: &[F::Unit], out: &mut Vec<f32>) {
        let (pairs, lanes) = (self.weight.input.div_ceil(2), S::F32_LANES);
        assert_eq!(
            units.len(),
            pairs * F::VECTORS * lanes,
            "panel of another size"
        );
        out.resize(pairs * 4 * lanes, 0.0);
        let size = F::VECTORS * lanes * size_of::<F::Unit>();
        let start = units.as_ptr().cast::<u8>();
        for pair in 0..pairs {
            prefetch_ahead(start.wrapping_add(pair * size), size);
            // SAFETY: the panel holds `pairs` pairs, and `out` has room for four vectors for each.
            unsafe {
                let [[a, b], [c, d]] = F::pair(simd, units.as_ptr(), pair);
                let place = out.as_mut_ptr().add(pair * 4 * lanes).cast::<S::f32s>();
                place.write_unaligned(a);
                place.add(1).write_unaligned(b);
                place.add(2).write_unaligned(c);
                place.add(3).write_unaligned(d);
            }
        }
    }

    #[inline(always)]
    fn tiles<S: Simd, F: Form<S>>(&self, simd: S, units: &[F::Unit], panel: usize, height: usize) {
        for row in (0..self.rows).step_by(height) {
            macro_rules! tile {
                ($($rows:literal)*) => {
                    match height.min(self.rows - row) {
                        $($rows => self.tile::<S, F, $rows>(simd, units, row, panel),)*
                        rows => unreachable!("a tile of {rows} rows"),
                    }
                };
            }
            tile!(1 2 3 4 5 6 7 8 9 10 11 12);
        }
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    fn tile<S: Simd, F: Form<S>, const M: usize>(
        &self,
        simd: S,
        units: &[F::Unit],
        row: usize,
        panel: usize,
    ) {
        let Panels { input, wide, .. } = self.weight;
        let (input, wide, lanes) = (*input, *wide, S::F32_LANES);
        let x = &self.x[row * input..(row + M) * input];
        let pairs = input.div_ceil(2);
        assert_eq!(
            units.len(),
            pairs * F::VECTORS * lanes,
            "panel of another size"
        );
        let mut sums = [[simd.splat_f32s(0.0); 2]; M];
        // SAFETY: `x` has M rows of `input` elements, and the panel holds `pairs` pairs of inputs.
        unsafe {
            let rows: [*const f32; M] = std::array::from_fn(|m| x.as_ptr().add(m * input));
            // A closure would not be compiled for the processor's vectors.
            macro_rules! add {
                ($k:expr, $right:expr) => {
                    for (sums, row) in sums.iter_mut().zip(rows) {
                        let left = simd.splat_f32s(*row.add($k));
                        sums[0] = simd.mul_add_f32s(left, $right[0], sums[0]);
                        sums[1] = simd.mul_add_f32s(left, $right[1], sums[1]);
                    }
                };
            }
            let size = F::VECTORS * lanes * size_of::<F::Unit>();
            let start = units.as_ptr().cast::<u8>();
            for pair in 0..input / 2 {
                prefetch_ahead(start.wrapping_add(pair * size), size);
                let [first, second] = F::pair(simd, units.as_ptr(), pair);
                add!(2 * pair, first);
                add!(2 * pair + 1, second);
            }
            if !input.is_multiple_of(2) {
                let [last, _] = F::pair(simd, units.as_ptr(), pairs - 1);
                add!(input - 1, last);
            }
        }
        for (m, sums) in sums.into_iter().enumerate() {
            // SAFETY: two vectors have the layout of as many plain numbers.
            let sums = unsafe { std::slice::from_raw_parts((&raw const sums).cast::<f32>(), wide) };
            self.write(row + m, panel, sums);
        }
    }

    /// Writes a panel's results of a row, and adds the bias.
    #[inline(always)]
    #[allow(unsafe_code)]
    pub(super) fn write(&self, row: usize, panel: usize, sums: &[f32]) {
        let (output, wide) = (self.weight.output, self.weight.wide);
        let columns = panel * wide..output.min((panel + 1) * wide);
        assert!(
            row < self.rows && self.panels.contains(&panel),
            "of another task"
        );
        // SAFETY: the columns of these rows belong to this task. The memory is that of a result
        // with `rows` rows of `output` elements, and the row is below `rows`.
        let out = unsafe {
            let start = row * output + columns.start;
            let start = self.out.start(start..start + columns.len());
            std::slice::from_raw_parts_mut(start.cast::<MaybeUninit<f32>>(), columns.len())
        };
        let sums = &sums[..columns.len()];
        match self.bias {
            None => _ = out.write_copy_of_slice(sums),
            Some(bias) => {
                for ((out, sum), bias) in out.iter_mut().zip(sums).zip(&bias[columns]) {
                    out.write(sum + bias);
                }
            }
        }
    }
}

/// Prefetches the cache lines of `size` bytes that a loop reads soon after those at `place`.
#[inline(always)]
pub(super) fn prefetch_ahead(place: *const u8, size: usize) {
    for line in (0..size).step_by(LINE) {
        prefetch(place.wrapping_add(AHEAD + line));
    }
}

/// Prefetches a cache line that will be read; any address is allowed.
#[inline(always)]
#[allow(unsafe_code)]
fn prefetch(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction is a hint and reads nothing.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
