//! The direct alignment losses: golden values, and which law holds for which loss.

mod anchored;
mod batch;
mod golden;
mod laws;
mod refused;
mod unpaired;
