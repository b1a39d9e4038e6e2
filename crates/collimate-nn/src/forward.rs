//! Options of a forward pass: adapters on or off, with or without dropout.

use std::collections::HashMap;

use burn::tensor::Tensor;
use collimate_core::{Key, Purpose};
use collimate_ops::{DropMask, dropped};
use rand::Rng;
use rayon::prelude::*;

/// Switches low-rank adapters on or off for a forward pass.
///
/// `Off` gives the model that the adapters were attached to. It can serve as the reference model
/// without a second copy of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Adapters {
    /// The adapted model.
    #[default]
    On,
    /// The model without its adapters.
    Off,
}

/// Options of one forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forward {
    /// Switch of the adapters.
    pub adapters: Adapters,
    /// Key of the dropout masks; `None` means no dropout.
    pub dropout: Option<Key>,
}

impl Forward {
    /// Adapters on, no dropout.
    pub const EVAL: Self = Self {
        adapters: Adapters::On,
        dropout: None,
    };

    /// Adapters off, no dropout: the reference model of an adapted model.
    pub const REFERENCE: Self = Self {
        adapters: Adapters::Off,
        dropout: None,
    };

    /// Returns options with adapters on and dropout masks drawn from `key`.
    pub fn train(key: Key) -> Self {
        Self {
            adapters: Adapters::On,
            dropout: Some(key),
        }
    }

    /// Returns the options for part `index` (a layer, a projection). Each part draws different
    /// masks.
    #[must_use]
    pub fn part(self, index: u64) -> Self {
        Self {
            dropout: self.dropout.map(|key| key.with(index)),
            ..self
        }
    }
}

/// Options of a forward pass, with the example that each row belongs to.
///
/// The masks of each example are drawn from a separate stream, so they do not depend on the other
/// examples of the batch. Without examples all rows share one stream.
#[derive(Debug, Clone, Copy)]
pub struct RowForward<'a> {
    /// Switch of the adapters, and key of the masks.
    pub options: Forward,
    /// Example of each row.
    examples: Option<&'a [u64]>,
}

impl From<Forward> for RowForward<'_> {
    fn from(options: Forward) -> Self {
        Self {
            options,
            examples: None,
        }
    }
}

impl<'a> RowForward<'a> {
    /// Creates options for rows of these examples, one per row. With `None`, one stream serves all
    /// rows.
    pub fn new(options: Forward, examples: Option<&'a [u64]>) -> Self {
        Self { options, examples }
    }

    /// Returns the options for part `index`, as [`Forward::part`] does.
    #[must_use]
    pub fn part(self, index: u64) -> Self {
        Self {
            options: self.options.part(index),
            ..self
        }
    }

    /// Applies inverted dropout to `x`; see [`dropout`]. Returns `x` itself if the pass has no
    /// dropout.
    ///
    /// # Panics
    /// Panics if the number of examples differs from the number of rows of `x`.
    ///
    /// # Shapes
    /// `x: [tokens, width]`, result likewise.
    pub fn drop(self, x: Tensor<2>, probability: f64) -> Tensor<2> {
        match self.mask(x.dims(), probability) {
            Some(mask) => dropped(x, &mask),
            None => x,
        }
    }

    /// Draws the mask that [`Self::drop`] applies to rows of this shape, or returns `None` if the
    /// pass has no dropout.
    ///
    /// # Panics
    /// Panics if the number of examples differs from the number of rows.
    pub(crate) fn mask(self, shape: [usize; 2], probability: f64) -> Option<DropMask> {
        let key = self.options.dropout.filter(|_| probability > 0.0)?;
        let [rows, width] = shape;
        let mut bytes = vec![0; 2 * rows * width];
        match self.examples {
            None => key.rng(Purpose::Dropout).fill_bytes(&mut bytes),
            Some(examples) => {
                assert_eq!(rows, examples.len(), "one example per row");
                let mut lines: HashMap<u64, Vec<&mut [u8]>> = HashMap::new();
                for (row, example) in bytes.chunks_exact_mut((2 * width).max(1)).zip(examples) {
                    lines.entry(*example).or_default().push(row);
                }
                lines.into_par_iter().for_each(|(example, rows)| {
                    let mut stream = key.with(example).rng(Purpose::Dropout);
                    rows.into_iter().for_each(|row| stream.fill_bytes(row));
                });
            }
        }
        Some(DropMask::new(shape, probability, &bytes))
    }
}

/// Applies inverted dropout with a mask drawn on the host from `key`.
///
/// The same key and shape give the same mask on every device. `probability` is rounded to a
/// multiple of 1/65536.
///
/// # Shapes
/// `x: [tokens, width]`, result likewise.
pub fn dropout(x: Tensor<2>, probability: f64, key: Key) -> Tensor<2> {
    RowForward::from(Forward::train(key)).drop(x, probability)
}
