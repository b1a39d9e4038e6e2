//! Layout of a weight in panels.

use std::ops::Range;

use burn::tensor::bf16;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::super::half::Weight;
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

/// Elements of the panels. A unit of 32 bits holds elements of both vectors.
#[derive(Debug, Clone)]
pub(super) enum Values {
    F32(Panel<f32>),
    /// The low half of a unit is an element of the first vector, the high half the element of the
    /// second vector for the same input.
    Bf16(Panel<u32>),
    /// The bytes of a unit are elements of the first and the second vector for one input, and then
    /// for the next input. A byte is the number plus 128.
    Int8(Panel<u32>),
}

/// Units of all panels, and the factor of each output for numbers that are not stored as they are.
#[derive(Debug, Clone)]
pub(super) struct Panel<T> {
    pub(super) units: Vec<T>,
    /// Number of units in one panel.
    pub(super) size: usize,
    /// Empty: every factor is 1.
    pub(super) scales: Vec<f32>,
}

/// Byte of the number 0.
pub(super) const ZERO: u32 = 128;

impl Panels {
    pub(crate) fn new(weight: Weight<'_>, [output, input]: [usize; 2], packed: PackedType) -> Self {
        let wide = pulp::Arch::new().dispatch(PanelWidth);
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
                Values::F32(packing.panels(2 * pairs * wide, 0.0, |_| place))
            }
            PackedType::Bf16 => {
                let place = |panel: &mut [u32], o: usize, k: usize, w: f32| {
                    let bits = u32::from(bf16::from_f32(w).to_bits());
                    panel[k * lanes + o % lanes] |= bits << (16 * (o / lanes));
                };
                Values::Bf16(packing.panels(2 * pairs * lanes, 0, |_| place))
            }
            PackedType::Int8 => {
                let mut scales = packing.largest();
                for scale in &mut scales {
                    *scale /= 127.0;
                }
                let place = |first: usize| {
                    let scales = &scales[first..];
                    move |panel: &mut [u32], o: usize, k: usize, w: f32| {
                        let shift = 8 * (o / lanes + 2 * (k % 2));
                        let unit = &mut panel[k / 2 * lanes + o % lanes];
                        // An output of zeros has steps of no size.
                        let steps = if scales[o] > 0.0 { w / scales[o] } else { 0.0 };
                        let byte = steps.round().clamp(-127.0, 127.0) as i32 + ZERO as i32;
                        *unit = *unit & !(0xff << shift) | (byte as u32) << shift;
                    }
                };
                let mut panel = packing.panels(pairs * lanes, ZERO * 0x0101_0101, place);
                // The second vector is read 256 times too large.
                for (o, scale) in scales.iter_mut().enumerate() {
                    *scale /= if o % wide < lanes { 1.0 } else { 256.0 };
                }
                panel.scales = scales;
                Values::Int8(panel)
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
            Values::Bf16(panel) | Values::Int8(panel) => {
                4 * (panel.units.len() + panel.scales.len())
            }
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

    /// Fills panels of `size` units, which begin as `empty`. `place(first)` gives the function that
    /// stores the element of an output and an input in the panel whose first output is `first`.
    fn panels<T, P>(self, size: usize, empty: T, place: impl Fn(usize) -> P + Sync) -> Panel<T>
    where
        T: Copy + Send + Sync,
        P: Fn(&mut [T], usize, usize, f32),
    {
        let mut units = vec![empty; self.count() * size];
        let parts = units.par_chunks_mut(size.max(1)).enumerate();
        parts.for_each(|(index, panel)| {
            let (outputs, place) = (self.outputs(index), place(index * self.wide));
            self.weight.rows(&outputs, self.input, |values| {
                for k in 0..self.input {
                    for (o, &w) in values.iter().skip(k).step_by(self.input).enumerate() {
                        place(panel, o, k, w);
                    }
                }
            });
        });
        Panel {
            units,
            size,
            scales: Vec::new(),
        }
    }

    /// Returns the largest size of a weight for each output, and 0 beyond the last output.
    fn largest(self) -> Vec<f32> {
        let mut largest = vec![0.0f32; self.count() * self.wide];
        let parts = largest.par_chunks_mut(self.wide).enumerate();
        parts.for_each(|(index, largest)| {
            let outputs = self.outputs(index);
            self.weight.rows(&outputs, self.input, |values| {
                let rows = values.chunks_exact(self.input.max(1));
                for (most, row) in largest.iter_mut().zip(rows) {
                    *most = row.iter().fold(0.0, |most, w| most.max(w.abs()));
                }
            });
        });
        largest
    }
}

struct PanelWidth;

impl WithSimd for PanelWidth {
    type Output = usize;

    fn with_simd<S: Simd>(self, _: S) -> usize {
        2 * S::F32_LANES
    }
}
