//! Invariants between the methods of one run.

mod anchored;
mod methods;
mod options;
mod refused;
mod setup;
