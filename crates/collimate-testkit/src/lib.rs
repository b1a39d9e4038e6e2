//! Devices for tests, comparison, finite differences and keyed test data. The crate also enables
//! the single set of Burn features of the workspace.

mod compare;
mod data;
mod devices;
mod golden;

pub use compare::{assert_close, max_relative_error};
pub use data::{Noise, host, tensor};
pub use devices::{TEST_DEVICE, accelerator, devices, f64_devices, flex, ndarray};
pub use golden::{GoldenCase, finite_difference, read_golden};
