#![doc = include_str!("../README.md")]

mod cell;
mod error;
mod hide;
mod overlap;
mod plan;
mod progress;
mod provenance;
mod results;
pub mod speed;
mod summary;
mod sweep;
mod tables;
mod trace;
mod work;

pub use cell::{Cell, Variables};
pub use error::BenchError;
pub use overlap::{overlap_table, selected};
pub use plan::{CellSpec, Plan};
pub use results::{Results, Row};
pub use summary::{Group, Summary};
pub use sweep::{Outcome, Sweep, SweepOptions};
pub use tables::{cell_list, cell_table};
pub use trace::{TraceOptions, trace};
