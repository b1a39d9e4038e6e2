//! What somebody who waits for completions gets to see.

use std::ops::ControlFlow;

use collimate_core::Completion;

/// Which completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Index of the prompt.
    pub prompt: usize,
    /// Which of its samples.
    pub sample: usize,
}

/// How far the work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerationProgress {
    /// Completions that are finished.
    pub finished: usize,
    /// Completions in all.
    pub total: usize,
    /// Tokens written, those of unfinished completions included.
    pub tokens: usize,
}

/// Sees completions while they grow, from whichever thread writes them, one call at a time. `()` sees
/// nothing. All threads wait for a call to return: what takes long, and everything that itself uses
/// the thread pool (tensors too), belongs behind a channel.
pub trait Watch: Send {
    /// More text of a completion: pieces joined are its text. Characters come whole, and nothing
    /// comes that a stop text could still take back.
    fn text(&mut self, place: Place, piece: &str) {
        let _ = (place, piece);
    }

    /// A completion that is finished, in the order in which they finish.
    fn finished(&mut self, place: Place, completion: &Completion) {
        let _ = (place, completion);
    }

    /// Called after every step, every prompt read, and every completion that ends with its first
    /// token; `Break` ends the work with
    /// [`GenerateError::Interrupted`](collimate_core::GenerateError::Interrupted), unless every
    /// completion is finished.
    fn progress(&mut self, progress: GenerationProgress) -> ControlFlow<()> {
        let _ = progress;
        ControlFlow::Continue(())
    }
}

impl Watch for () {}
