//! Bounds of sizes that a configuration may name. Above them, a size is a mistake and not a model.

/// Number of parameters: 4 TiB in f32.
pub(crate) const MOST_PARAMETERS: u128 = 1 << 40;

/// Number of layers where a list has an entry for each.
pub(crate) const MOST_LAYERS: usize = 1 << 16;
