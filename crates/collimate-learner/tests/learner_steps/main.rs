//! Steps and runs in Burn's Learner.

mod refused;
mod runs;
mod setup;
mod steps;
