//! Layout of a weight in panels.

use std::ops::Range;

use burn::tensor::bf16;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::super::half::Weight;
use super::super::math;
use crate::PackedType;

/// A weight `[output, input]` in blocks of as many outputs as two vectors hold. In each block the
/// outputs' elements lie side by side, input by input, with zeros beyond the last output and, for an
/// odd number of inputs, one more input of zeros.
#[derive(Debug, Clone)]
pub(crate) struct Panels {
    pub(super) values: Values,
    pub(super) input: usize,
    pub(super) output: usize,
    pub(super) wide: usize,
}

/// Elements of the panels.
#[derive(Debug, Clone)]
pub(super) enum Values {
    F32(Panel<f32>),
    /// The low half of a unit is an element of the first vector, the high half the element of the
    /// second vector for the same input.
    Bf16(Panel<u32>),
    /// Two inputs of an output lie side by side, for all outputs of the panel.
    /// The vector holds the factor of each output.
    Int8(Panel<i8>, Vec<f32>),
}

/// Units of all panels.
#[derive(Debug, Clone)]
pub(super) struct Panel<T> {
    pub(super) units: Vec<T>,
    /// Number of units in one panel.
    pub(super) size: usize,
}

impl Panels {
    pub(crate) fn new(weight: Weight<'_>, shape: [usize; 2], packed: PackedType) -> Self {
        let wide = pulp::Arch::new().dispatch(PanelWidth);
        Self::of_width(weight, shape, packed, wide)
    }

    /// Lays out a weight in blocks of `wide` outputs.
    pub(super) fn of_width(
        weight: Weight<'_>,
        [output, input]: [usize; 2],
        packed: PackedType,
        wide: usize,
    ) -> Self {
        let packing = Packing {
            weight,
            output,
            input,
            wide,
        };
        let (lanes, pairs) = (wide / 2, input.div_ceil(2));
        let values = match packed {
            PackedType::F32 => {
                let place = |panel: &mut [f32], o: usize, k: usize, w: f32| panel[k * wide + o] = w;
                Values::F32(packing.panels(2 * pairs * wide, 0.0, place))
            }
            PackedType::Bf16 => {
                let place = |panel: &mut [u32], o: usize, k: usize, w: f32| {
                    let bits = u32::from(bf16::from_f32(w).to_bits());
                    panel[k * lanes + o % lanes] |= bits << (16 * (o / lanes));
                };
                Values::Bf16(packing.panels(2 * pairs * lanes, 0, place))
            }
            PackedType::Int8 => {
                let mut scales = packing.largest();
                for scale in &mut scales {
                    *scale /= 127.0;
                }
                Values::Int8(packing.multiples(&scales), scales)
            }
        };
        Self {
            values,
            input,
            output,
            wide,
        }
    }

    pub(crate) fn output(&self) -> usize {
        self.output
    }

    /// Returns the size in memory.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        match &self.values {
            Values::F32(panel) => 4 * panel.units.len(),
            Values::Bf16(panel) => 4 * panel.units.len(),
            Values::Int8(panel, scales) => panel.units.len() + 4 * scales.len(),
        }
    }

    pub(super) fn panels(&self) -> usize {
        self.output.div_ceil(self.wide)
    }
}

#[derive(Clone, Copy)]
struct Packing<'a> {
    weight: Weight<'a>,
    output: usize,
    input: usize,
    wide: usize,
}

impl Packing<'_> {
    fn count(self) -> usize {
        self.output.div_ceil(self.wide)
    }

    /// Returns the outputs of a panel.
    fn outputs(self, panel: usize) -> Range<usize> {
        panel * self.wide..self.output.min((panel + 1) * self.wide)
    }

    /// Fills panels of `size` units, which begin as `empty`. `place` stores the element of an output
    /// and an input in a panel.
    fn panels<T: Copy + Send + Sync>(
        self,
        size: usize,
        empty: T,
        place: impl Fn(&mut [T], usize, usize, f32) + Sync,
    ) -> Panel<T> {
        let mut units = vec![empty; self.count() * size];
        let parts = units.par_chunks_mut(size.max(1)).enumerate();
        parts.for_each(|(index, panel)| {
            self.weight
                .rows(&self.outputs(index), self.input, |values| {
                    for k in 0..self.input {
                        for (o, &w) in values.iter().skip(k).step_by(self.input).enumerate() {
                            place(panel, o, k, w);
                        }
                    }
                });
        });
        Panel { units, size }
    }

    /// Fills panels with the weights as multiples of their output's scale.
    fn multiples(self, scales: &[f32]) -> Panel<i8> {
        let size = self.input.next_multiple_of(2) * self.wide;
        let mut units = vec![0; self.count() * size];
        let parts = units.par_chunks_mut(size.max(1)).enumerate();
        parts.for_each_init(Vec::new, |row, (index, panel)| {
            let scales = &scales[index * self.wide..];
            self.weight
                .rows(&self.outputs(index), self.input, |values| {
                    let rows = values.chunks_exact(self.input.max(1)).zip(scales);
                    for (o, (weights, &scale)) in rows.enumerate() {
                        row.resize(weights.len(), 0);
                        multiples(weights, scale, row);
                        for (pair, two) in row.chunks(2).enumerate() {
                            panel[2 * (pair * self.wide + o)..][..two.len()].copy_from_slice(two);
                        }
                    }
                });
        });
        Panel { units, size }
    }

    /// Returns the largest size of a weight for each output, and 0 beyond the last output. It is not
    /// finite if a weight of the output is not.
    fn largest(self) -> Vec<f32> {
        let mut largest = vec![0.0f32; self.count() * self.wide];
        let parts = largest.par_chunks_mut(self.wide).enumerate();
        parts.for_each(|(index, largest)| {
            let outputs = self.outputs(index);
            self.weight.rows(&outputs, self.input, |values| {
                let rows = values.chunks_exact(self.input.max(1));
                for (most, row) in largest.iter_mut().zip(rows) {
                    *most = math::vectorised(
                        #[inline(always)]
                        || math::largest_size(row),
                    );
                }
            });
        });
        largest
    }
}

/// Writes the weights of an output as multiples of a scale, all zeros if there is no scale above 0.
fn multiples(weights: &[f32], scale: f32, out: &mut [i8]) {
    if scale.is_nan() || scale <= 0.0 {
        return out.fill(0);
    }
    math::vectorised(
        #[inline(always)]
        || {
            for (out, w) in out.iter_mut().zip(weights) {
                *out = math::whole((w / scale).clamp(-127.0, 127.0)) as i8;
            }
        },
    );
}

struct PanelWidth;

impl WithSimd for PanelWidth {
    type Output = usize;

    fn with_simd<S: Simd>(self, _: S) -> usize {
        2 * S::F32_LANES
    }
}
