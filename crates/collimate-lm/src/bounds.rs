//! Upper bounds of sizes in a configuration. A larger size is treated as a mistake.

/// Largest number of parameters: 4 TiB in f32.
pub(crate) const MOST_PARAMETERS: u128 = 1 << 40;

/// Largest number of layers if a list has an entry for each layer.
pub(crate) const MOST_LAYERS: usize = 1 << 16;
