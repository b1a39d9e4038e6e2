//! Dropout masks.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

/// Number of values of the random numbers that a mask is drawn from.
const DRAWS: u32 = 1 << 16;

/// A mask of inverted dropout: a number is dropped, or multiplied by a factor that keeps the mean.
/// One bit per number.
#[derive(Debug, Clone)]
pub struct DropMask {
    kept: Arc<Vec<u64>>,
    shape: [usize; 2],
    factor: f32,
}

impl DropMask {
    /// Creates a mask from two random bytes per number, row by row. `probability` is rounded to a
    /// multiple of 1/65536.
    ///
    /// # Panics
    /// Panics if there are not two bytes per number.
    pub fn new(shape: [usize; 2], probability: f64, bytes: &[u8]) -> Self {
        let [rows, width] = shape;
        assert_eq!(bytes.len(), 2 * rows * width, "two bytes per number");
        let threshold = (probability.clamp(0.0, 1.0) * f64::from(DRAWS)).round() as u32;
        let factor = match DRAWS - threshold {
            0 => 0.0,
            kept => DRAWS as f32 / kept as f32,
        };
        let words = width.div_ceil(64);
        let mut kept = vec![0; rows * words];
        let lines = bytes.par_chunks_exact((2 * width).max(1));
        let kept_lines = kept.par_chunks_exact_mut(words.max(1));
        kept_lines.zip(lines).for_each(|(words, line)| {
            for (word, part) in words.iter_mut().zip(line.chunks(128)) {
                let bits = part.chunks_exact(2).enumerate().map(|(bit, draw)| {
                    let draw = u32::from(u16::from_le_bytes([draw[0], draw[1]]));
                    u64::from(draw >= threshold) << bit
                });
                *word = bits.fold(0, |word, bit| word | bit);
            }
        });
        Self {
            kept: Arc::new(kept),
            shape,
            factor,
        }
    }

    /// Returns the shape: rows and width.
    pub fn dims(&self) -> [usize; 2] {
        self.shape
    }

    /// Returns the factors as a tensor: 0 where a number is dropped.
    pub fn to_tensor(&self, device: &Device) -> Tensor<2> {
        let [rows, width] = self.shape;
        let mut values = vec![1.0; rows * width];
        for (index, row) in values.chunks_exact_mut(width.max(1)).enumerate() {
            self.apply(index, row);
        }
        Tensor::from_data(TensorData::new(values, self.shape), device)
    }

    /// Multiplies row `index` by the mask.
    #[inline(always)]
    pub(crate) fn apply(&self, index: usize, row: &mut [f32]) {
        let words = row.len().div_ceil(64);
        let words = &self.kept[index * words..(index + 1) * words];
        let bytes = words.iter().flat_map(|word| word.to_le_bytes());
        for (part, byte) in row.chunks_mut(8).zip(bytes) {
            for (value, bit) in part.iter_mut().zip(&BITS[usize::from(byte)]) {
                *value *= bit * self.factor;
            }
        }
    }
}

/// Bits of each byte as numbers, the lowest bit first.
static BITS: [[f32; 8]; 256] = {
    let mut bits = [[0.0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut bit = 0;
        while bit < 8 {
            bits[byte][bit] = (byte >> bit & 1) as f32;
            bit += 1;
        }
        byte += 1;
    }
    bits
};
