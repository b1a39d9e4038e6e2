#![doc = include_str!("../README.md")]

mod json;
mod message;
mod options;
mod or_null;
mod outcome;
mod pair;
mod prompt;
mod rng;
mod segment;
mod selection;
mod traits;

pub use json::Json;
pub use message::{Message, Role};
pub use options::{OptionError, Range, check_options};
pub use or_null::OrNull;
pub use outcome::outcome;
pub use pair::PreferencePair;
pub use prompt::{Completion, Finish, Prompt};
pub use rng::{Key, Purpose};
pub use segment::{Segment, SegmentError, check_segments};
pub use selection::{Kept, LeaveReason, Left, Selection};
pub use traits::{Answers, GenerateError, Generator, Sampling, ScoreError, Scorer, hand_out};
