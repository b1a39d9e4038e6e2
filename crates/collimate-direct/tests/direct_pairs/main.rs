//! Direct alignment on pairs and on single completions.

mod anchored;
mod numbers;
mod objective;
mod reference_files;
mod refused;
mod setup;
mod steps;
mod unpaired;
