//! Products whose factors are rounded to bf16 and whose sums are f32: on the tile registers of newer
//! Xeons (AMX), on AVX-512 with products of bf16, or on f32 products of the rounded factors.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod pack;

use std::sync::LazyLock;

use rayon::prelude::*;

use super::Shared;
use super::gemm::{self, Matrix};
use pack::{COLUMNS, Left, Right, widened};
pub(crate) use pack::{Elements, Factor, round};

/// Rows and columns of a block of the result.
const BLOCK: usize = 32;
/// Number of inner elements of a tile.
const DEPTH: usize = 32;
/// Number of elements of a tile.
const TILE: usize = 16 * DEPTH;

/// Largest number of elements of the left factor's rows that a task reads again and again: they fit
/// into a core's own cache.
const NEAR: usize = 1 << 18;
/// Number of tasks per thread.
const TASKS_PER_THREAD: usize = 4;

/// Name of the environment variable that hides units of the processor: `avx512` hides tiles, and
/// `f32` hides AVX-512 too.
const HIDE: &str = "COLLIMATE_BF16";

/// Unit of the processor that multiplies bf16, the fastest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unit {
    /// Tile registers.
    Tiles,
    /// Vectors of 512 bits.
    Vectors,
    /// No unit: the rounded factors are multiplied as f32.
    F32,
}

impl Unit {
    /// Returns the fastest unit of this processor, unless the environment hides it.
    pub(crate) fn of_processor() -> Self {
        static UNIT: LazyLock<Unit> = LazyLock::new(|| {
            let fastest = match std::env::var(HIDE).as_deref() {
                Ok("f32") => Unit::F32,
                Ok("avx512") => Unit::Vectors,
                _ => Unit::Tiles,
            };
            let allowed = |unit: &Unit| *unit >= fastest;
            Unit::all().into_iter().find(allowed).unwrap_or(Unit::F32)
        });
        *UNIT
    }

    /// Returns the units of this processor, the fastest first.
    pub(crate) fn all() -> Vec<Self> {
        let mut units = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if amx::is_available() {
                units.push(Self::Tiles);
            }
            if avx512::is_available() {
                units.push(Self::Vectors);
            }
        }
        units.push(Self::F32);
        units
    }
}

/// Computes `out = a·b`, or `out += a·b` if `accumulate`, with factors rounded to bf16.
///
/// One thread sums each element in one order, whatever the number of threads.
pub(crate) fn product(a: Factor<'_>, b: Factor<'_>, out: &mut [f32], accumulate: bool) {
    product_on(Unit::of_processor(), a, b, out, accumulate);
}

/// Returns `a·b` with factors rounded to bf16.
pub(crate) fn product_of(a: Factor<'_>, b: Factor<'_>) -> Vec<f32> {
    let mut out = super::zeros(a.rows * b.columns);
    product(a, b, &mut out, false);
    out
}

fn product_on(unit: Unit, a: Factor<'_>, b: Factor<'_>, out: &mut [f32], accumulate: bool) {
    assert_eq!(a.columns, b.rows, "inner sizes differ");
    assert_eq!(out.len(), a.rows * b.columns, "output of another size");
    match unit {
        Unit::F32 => {
            let [left, right] = [a, b].map(widened);
            gemm::product(matrix(&left, a), matrix(&right, b), out, accumulate);
        }
        #[cfg(target_arch = "x86_64")]
        Unit::Tiles => in_blocks::<amx::Tiles>(a, b, out, accumulate),
        #[cfg(target_arch = "x86_64")]
        Unit::Vectors => in_blocks::<avx512::Vectors>(a, b, out, accumulate),
        #[cfg(not(target_arch = "x86_64"))]
        unit => unreachable!("{unit:?} on another processor"),
    }
}

/// Returns a factor's values, which lie as in the factor, as a matrix.
fn matrix<'a>(values: &'a [f32], of: Factor<'_>) -> Matrix<'a> {
    match of.is_transposed() {
        true => Matrix::new(values, of.columns, of.rows).t(),
        false => Matrix::new(values, of.rows, of.columns),
    }
}

/// Registers of a thread that multiply blocks.
#[cfg(target_arch = "x86_64")]
trait Registers {
    /// Sets the registers up.
    fn new() -> Self;

    /// Computes a block of the result: 32 rows of `a`, which are `row` elements apart, times two
    /// columns of `tiles` tiles.
    fn block(
        &self,
        a: &[u16],
        row: usize,
        b: [&[u16]; 2],
        tiles: usize,
        out: &mut [f32; BLOCK * BLOCK],
    );
}

/// Computes a product block by block.
#[cfg(target_arch = "x86_64")]
fn in_blocks<R: Registers>(a: Factor<'_>, b: Factor<'_>, out: &mut [f32], accumulate: bool) {
    let (rows, columns) = (a.rows, b.columns);
    if rows == 0 || columns == 0 {
        return;
    }
    let (left, right) = rayon::join(|| Left::new(a), || Right::new(b));
    let (down, across) = (rows.div_ceil(BLOCK), columns.div_ceil(BLOCK));
    // Rows that stay in the cache while all columns of a task pass by.
    let near = (NEAR / (BLOCK * left.width.max(1))).clamp(1, down);
    let chunks = down.div_ceil(near);
    let wanted = (TASKS_PER_THREAD * rayon::current_num_threads()).div_ceil(chunks);
    let wide = across.div_ceil(wanted).max(1);
    let parts = across.div_ceil(wide);
    let place = Shared::new(out);
    (0..chunks * parts)
        .into_par_iter()
        .with_max_len(1)
        .for_each(|task| {
            let (chunk, part) = (task / parts, task % parts);
            let registers = R::new();
            let mut block = [0.0; BLOCK * BLOCK];
            for column in part * wide..across.min((part + 1) * wide) {
                let tiles = [right.column(2 * column), right.column(2 * column + 1)];
                for row in chunk * near..down.min((chunk + 1) * near) {
                    let a = &left.values[row * BLOCK * left.width..(row + 1) * BLOCK * left.width];
                    registers.block(a, left.width, tiles, right.tiles, &mut block);
                    let (first, start) = (row * BLOCK, column * BLOCK);
                    let wide = BLOCK.min(columns - start);
                    let lines = block.chunks_exact(BLOCK).take(BLOCK.min(rows - first));
                    for (line, values) in lines.enumerate() {
                        // SAFETY: blocks do not overlap, and each belongs to one task.
                        #[allow(unsafe_code)]
                        let out = unsafe { place.part((first + line) * columns + start, wide) };
                        if accumulate {
                            for (out, value) in out.iter_mut().zip(values) {
                                *out += value;
                            }
                        } else {
                            out.copy_from_slice(&values[..wide]);
                        }
                    }
                }
            }
        });
    const { assert!(BLOCK == 2 * COLUMNS) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers, which bf16 holds.
    fn value(i: usize) -> f32 {
        ((i * 37 + 11) % 23) as f32 - 11.0
    }

    fn bits(values: &[f32]) -> Vec<u16> {
        values
            .iter()
            .map(|value| (value.to_bits() >> 16) as u16)
            .collect()
    }

    #[test]
    fn every_unit_equals_a_triple_loop_on_whole_numbers() {
        let sizes = [
            [1, 1, 1],
            [5, 7, 3],
            [33, 64, 40],
            [70, 100, 31],
            [32, 32, 32],
            [3, 0, 4],
        ];
        for (unit, [m, k, n]) in Unit::all()
            .into_iter()
            .flat_map(|unit| sizes.map(|sizes| (unit, sizes)))
        {
            let a: Vec<f32> = (0..m * k).map(value).collect();
            let b: Vec<f32> = (0..k * n).map(|i| value(i + 5)).collect();
            let turned = |x: &[f32], rows: usize, columns: usize| -> Vec<f32> {
                (0..x.len())
                    .map(|i| x[i % rows * columns + i / rows])
                    .collect()
            };
            let (at, bt) = (turned(&a, m, k), turned(&b, k, n));
            let (half_a, half_bt) = (bits(&a), bits(&bt));
            let lefts = [
                Factor::new(Elements::F32(&a), m, k),
                Factor::new(Elements::F32(&at), k, m).t(),
                Factor::new(Elements::Bf16(&half_a), m, k),
            ];
            let rights = [
                Factor::new(Elements::F32(&b), k, n),
                Factor::new(Elements::F32(&bt), n, k).t(),
                Factor::new(Elements::Bf16(&half_bt), n, k).t(),
            ];
            for (left, right) in lefts
                .iter()
                .flat_map(|l| rights.iter().map(move |r| (l, r)))
            {
                for accumulate in [false, true] {
                    let mut out = vec![2.0; m * n];
                    product_on(unit, *left, *right, &mut out, accumulate);
                    for (i, found) in out.iter().enumerate() {
                        let dot: f32 = (0..k).map(|j| a[i / n * k + j] * b[j * n + i % n]).sum();
                        let expected = if accumulate { dot + 2.0 } else { dot };
                        assert_eq!(*found, expected, "{unit:?} {m}×{k}×{n} at {i}");
                    }
                }
            }
        }
    }

    #[test]
    fn units_agree_on_rounded_factors() {
        let (m, k, n) = (45, 200, 77);
        let a: Vec<f32> = (0..m * k).map(|i| (i as f32 * 0.37).sin()).collect();
        let b: Vec<f32> = (0..k * n).map(|i| (i as f32 * 0.11).cos()).collect();
        let [left, right] = [
            Factor::new(Elements::F32(&a), m, k),
            Factor::new(Elements::F32(&b), k, n),
        ];
        let results: Vec<Vec<f32>> = Unit::all()
            .into_iter()
            .map(|unit| {
                let mut out = vec![0.0; m * n];
                product_on(unit, left, right, &mut out, false);
                out
            })
            .collect();
        let round = |x: f32| f64::from(half::bf16::from_f32(x).to_f32());
        for found in &results {
            for (i, found) in found.iter().enumerate() {
                let dot: f64 = (0..k)
                    .map(|j| round(a[i / n * k + j]) * round(b[j * n + i % n]))
                    .sum();
                assert!((f64::from(*found) - dot).abs() < 2e-5, "{found} {dot}");
            }
        }
    }

    #[test]
    fn rounding_is_that_of_the_half_crate() {
        let special = [
            0.0,
            -0.0,
            f32::NAN,
            f32::INFINITY,
            f32::MAX,
            f32::MIN_POSITIVE,
            1e-40,
        ];
        let mut values: Vec<f32> = (0..4096).map(|i| (i as f32 * 0.731).sin() * 3.0).collect();
        values.extend((0..512u32).map(|i| f32::from_bits(0x3f80_0000 + (i << 13))));
        values.extend(special);
        let len = values.len();
        let found = widened(Factor::new(Elements::F32(&values), 1, len));
        for (found, value) in found.iter().zip(&values) {
            let expected = half::bf16::from_f32(*value).to_f32();
            assert!(
                found == &expected || found.is_nan() && expected.is_nan(),
                "{value}"
            );
        }
    }
}
