//! An answer that is shown while it is written.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use collimate::lm::{GenerationProgress, Place, Watch};

use crate::common::{self, Failure};

/// Shows an answer and keeps its text.
pub(super) struct Reply {
    stop: Arc<AtomicBool>,
    /// If true, blanks before the text are dropped, because a model without a chat template begins
    /// its answer with a blank.
    trim: bool,
    /// Letter to show before the answer; taken once it is shown.
    mark: Option<&'static str>,
    text: String,
    /// Reason why standard output accepts no more text.
    lost: Option<String>,
}

impl Reply {
    /// Creates an answer without text.
    pub(super) fn new(stop: Arc<AtomicBool>, trim: bool, mark: Option<&'static str>) -> Self {
        Self {
            stop,
            trim,
            mark,
            text: String::new(),
            lost: None,
        }
    }

    /// Ends the line and returns the text.
    pub(super) fn finish(mut self) -> Result<String, Failure> {
        self.write("\n");
        match self.lost {
            Some(lost) => Err(lost.into()),
            None if self.trim => Ok(self.text.trim_end().to_owned()),
            None => Ok(self.text),
        }
    }

    fn write(&mut self, text: &str) {
        let mark = self.mark.take().map(|mark| format!("{mark}: "));
        let text = mark.unwrap_or_default() + text;
        if self.lost.is_none() {
            self.lost = common::print(&text).err().map(|error| error.to_string());
        }
    }
}

impl Watch for Reply {
    fn text(&mut self, _: Place, piece: &str) {
        let piece = match self.trim && self.text.is_empty() {
            true => piece.trim_start(),
            false => piece,
        };
        self.text.push_str(piece);
        self.write(piece);
    }

    fn progress(&mut self, _: GenerationProgress) -> ControlFlow<()> {
        match self.lost.is_some() || self.stop.load(Ordering::SeqCst) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}
