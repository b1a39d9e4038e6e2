#![doc = include_str!("../README.md")]

mod desk;
mod error;
mod event;
mod journal;
mod labels;
mod measure;
mod pairs;
mod queue;
#[cfg(feature = "server")]
mod server;
mod session;
mod text;

pub use desk::Desk;
pub use error::LabelError;
pub use event::{Choice, Decision, Event};
pub use journal::{Resumed, journal_path};
pub use labels::Label;
pub use measure::{Agreement, Measures, Progress, Share, Summary};
pub use pairs::{LabelPair, PairKey, PairSet};
pub use queue::{MAX_GAP, MIN_GAP};
#[cfg(feature = "server")]
pub use server::{Ended, Page, Server};
pub use session::{Session, SessionOptions, Shown, labeller_name};
