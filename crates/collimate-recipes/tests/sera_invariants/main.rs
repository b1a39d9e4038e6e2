//! What must hold between the methods of one run.

mod methods;
mod options;
mod refused;
mod setup;
