#![doc = include_str!("../README.md")]

mod cell;
mod instructions;
mod options;
mod overlap;
mod plan;
mod plot;
mod program;
mod results;
mod runner;
mod step;
mod summary;
mod tables;
mod work;

pub use cell::Cell;
pub use instructions::{InstructionArgs, instructions};
pub use options::{PlanArgs, RunArgs};
pub use overlap::overlap_table;
pub use plan::{Group, Plan};
pub use plot::{PlotArgs, plot};
pub use results::{Curve, Row, read_rows};
pub use runner::run;
pub use step::Step;
pub use summary::summary;
pub use tables::cell_list;
