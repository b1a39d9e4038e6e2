#![doc = include_str!("../README.md")]

mod json;
mod message;
mod options;
mod or_null;
mod outcome;
mod pair;
mod passes;
mod permutation;
mod prompt;
mod rng;
mod segment;
mod selection;
mod top_cut;
mod top_search;
mod traits;

pub use json::Json;
pub use message::{Message, Role};
pub use options::{OptionError, Range, check_options};
pub use or_null::OrNull;
pub use outcome::outcome;
pub use pair::PreferencePair;
pub use passes::Passes;
pub use permutation::Permutation;
pub use prompt::{Completion, Finish, Prompt};
pub use rng::{Key, KeyRng, Purpose};
pub use segment::{Segment, SegmentError, check_segments};
pub use selection::{Kept, LeaveReason, Left, Selection, Verdict};
pub use top_cut::TopCut;
pub use top_search::TopSearch;
pub use traits::{Answers, GenerateError, Generator, Sampling, ScoreError, Scorer, hand_out};
