//! Factors of a product rounded to bf16, in the order in which the product reads them.

use std::ops::Range;

use rayon::prelude::*;

use super::{BLOCK, DEPTH, TILE};

/// Elements of a matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Elements<'a> {
    F32(&'a [f32]),
    /// The bits of bf16.
    Bf16(&'a [u16]),
}

/// A matrix of `rows × columns`, or its transpose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Factor<'a> {
    elements: Elements<'a>,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// If true, `elements` holds the columns one after the other.
    transposed: bool,
}

impl<'a> Factor<'a> {
    /// Creates a matrix from its rows.
    pub(crate) fn new(elements: Elements<'a>, rows: usize, columns: usize) -> Self {
        let len = match elements {
            Elements::F32(values) => values.len(),
            Elements::Bf16(values) => values.len(),
        };
        assert_eq!(len, rows * columns, "matrix of another size");
        Self {
            elements,
            rows,
            columns,
            transposed: false,
        }
    }

    /// Returns the transpose without moving data.
    pub(crate) fn t(self) -> Self {
        Self {
            elements: self.elements,
            rows: self.columns,
            columns: self.rows,
            transposed: !self.transposed,
        }
    }

    /// Writes the rows in `lines` of the matrix as it lies in memory to `out`, whose lines have
    /// `width` elements.
    fn lines(self, lines: Range<usize>, part: Range<usize>, width: usize, out: &mut [u16]) {
        let stride = if self.transposed {
            self.rows
        } else {
            self.columns
        };
        for (line, out) in lines.zip(out.chunks_exact_mut(width)) {
            let place = line * stride + part.start..line * stride + part.end;
            let out = &mut out[..part.len()];
            match self.elements {
                Elements::F32(values) => round(&values[place], out),
                Elements::Bf16(values) => out.copy_from_slice(&values[place]),
            }
        }
    }
}

/// Rounds to the nearest bf16, to even where two are as near.
pub(crate) fn round(values: &[f32], out: &mut [u16]) {
    super::super::math::vectorised(
        #[inline(always)]
        || {
            for (out, value) in out.iter_mut().zip(values) {
                *out = rounded(*value);
            }
        },
    );
}

#[inline(always)]
fn rounded(value: f32) -> u16 {
    let bits = value.to_bits();
    let up = 0x7fff + (bits >> 16 & 1);
    // Rounding would turn some NaN into infinity.
    let nan = (bits >> 16) | 0x40;
    let number = bits.wrapping_add(up) >> 16;
    (if value.is_nan() { nan } else { number }) as u16
}

/// A left factor: rows of bf16, with zeros up to a whole number of blocks and tiles.
pub(super) struct Left {
    pub(super) values: Vec<u16>,
    /// Number of elements of a row.
    pub(super) width: usize,
}

impl Left {
    pub(super) fn new(a: Factor<'_>) -> Self {
        let width = a.columns.next_multiple_of(DEPTH);
        let mut values = vec![0u16; a.rows.next_multiple_of(BLOCK) * width];
        let blocks = values.par_chunks_mut(BLOCK * width.max(1)).enumerate();
        blocks.for_each(|(block, values)| {
            let rows = block * BLOCK..a.rows.min((block + 1) * BLOCK);
            if !a.transposed {
                a.lines(rows, 0..a.columns, width, values);
                return;
            }
            // The rows are columns in memory.
            let mut line = [0u16; BLOCK];
            for k in 0..a.columns {
                a.lines(k..k + 1, rows.clone(), BLOCK, &mut line);
                for (row, value) in line[..rows.len()].iter().enumerate() {
                    values[row * width + k] = *value;
                }
            }
        });
        Self { values, width }
    }
}

/// A right factor in tiles: for each 16 columns, one tile after the other down the inner elements.
/// A row of a tile holds two inner elements for each column.
pub(super) struct Right {
    values: Vec<u16>,
    /// Number of tiles of a column of tiles.
    pub(super) tiles: usize,
}

/// Number of columns of a tile.
pub(super) const COLUMNS: usize = 16;

impl Right {
    pub(super) fn new(b: Factor<'_>) -> Self {
        let tiles = b.rows.div_ceil(DEPTH);
        // A block of the result needs two columns of tiles.
        let mut values = vec![0u16; b.columns.next_multiple_of(BLOCK) / COLUMNS * tiles * TILE];
        let parts = values.par_chunks_mut((tiles * TILE).max(1)).enumerate();
        parts.for_each(|(part, values)| {
            let columns = (part * COLUMNS).min(b.columns)..b.columns.min((part + 1) * COLUMNS);
            // Two inner elements of all columns, or all inner elements of one column, lie together.
            let mut line = vec![0u16; if b.transposed { b.rows } else { 2 * COLUMNS }];
            if b.transposed {
                for (column, place) in columns.enumerate() {
                    b.lines(place..place + 1, 0..b.rows, b.rows.max(1), &mut line);
                    for (k, value) in line.iter().enumerate() {
                        values[k / 2 * 2 * COLUMNS + 2 * column + k % 2] = *value;
                    }
                }
                return;
            }
            for (pair, values) in values.chunks_exact_mut(2 * COLUMNS).enumerate() {
                let rows = (2 * pair).min(b.rows)..b.rows.min(2 * pair + 2);
                let count = rows.len();
                b.lines(rows, columns.clone(), COLUMNS, &mut line);
                for (k, line) in line.chunks_exact(COLUMNS).take(count).enumerate() {
                    for (column, value) in line[..columns.len()].iter().enumerate() {
                        values[2 * column + k] = *value;
                    }
                }
            }
        });
        Self { values, tiles }
    }

    /// Returns a column of tiles.
    pub(super) fn column(&self, index: usize) -> &[u16] {
        let size = self.tiles * TILE;
        &self.values[index * size..(index + 1) * size]
    }
}

/// Returns the values of a factor rounded to bf16, as f32 and row by row.
pub(super) fn widened(a: Factor<'_>) -> Vec<f32> {
    let stride = if a.transposed { a.rows } else { a.columns };
    let mut values = super::super::zeros(a.rows * a.columns);
    let lines = values.par_chunks_mut(stride.max(1)).enumerate();
    lines.for_each(|(line, out)| {
        let place = line * stride..(line + 1) * stride;
        match a.elements {
            Elements::F32(values) => {
                for (out, value) in out.iter_mut().zip(&values[place]) {
                    *out = f32::from_bits(u32::from(rounded(*value)) << 16);
                }
            }
            Elements::Bf16(values) => {
                for (out, value) in out.iter_mut().zip(&values[place]) {
                    *out = f32::from_bits(u32::from(*value) << 16);
                }
            }
        }
    });
    values
}

impl Factor<'_> {
    pub(super) fn is_transposed(self) -> bool {
        self.transposed
    }
}
