#![doc = include_str!("../README.md")]

mod files;
mod metric;
mod options;
mod or_null;
mod outcome;
mod pair;
mod prompt;
mod rng;
mod segment;
mod selection;
mod traits;

pub use files::{UNFINISHED, atomic_write, remove_unfinished, sync_folder};
pub use metric::metric_names;
pub use options::{OptionError, Range, check_options};
pub use or_null::OrNull;
pub use outcome::outcome;
pub use pair::PreferencePair;
pub use prompt::{Completion, Finish, Message, Prompt, Role};
pub use rng::{Key, Purpose};
pub use segment::{Segment, SegmentError, check_segments};
pub use selection::{Kept, LeaveReason, Left, Selection};
pub use traits::{Answers, GenerateError, Generator, Sampling, ScoreError, Scorer, hand_out};
