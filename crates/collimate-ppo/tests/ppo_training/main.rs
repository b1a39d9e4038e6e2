//! Trainings of a tiny policy: invariants, exact resume, refused inputs.

mod invariants;
mod learning;
mod refused;
mod resumed;
mod setup;
