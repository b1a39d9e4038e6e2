//! Direct alignment on pairs and on single completions.

mod anchored;
mod objective;
mod reference_files;
mod refused;
mod setup;
mod steps;
mod unpaired;
