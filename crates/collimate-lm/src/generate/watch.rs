//! Interface for watching completions while they grow.

use std::ops::ControlFlow;

use collimate_core::Completion;

/// Position of a completion in the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Index of the prompt.
    pub prompt: usize,
    /// Index of the sample among the prompt's samples.
    pub sample: usize,
}

/// Progress of generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerationProgress {
    /// Number of finished completions.
    pub finished: usize,
    /// Total number of completions.
    pub total: usize,
    /// Number of tokens generated, including tokens of unfinished completions.
    pub tokens: usize,
}

/// Watches completions while they grow. Any thread may call, but only one call runs at a time. `()`
/// ignores all calls. All threads wait for a call to return. Slow work, and everything that uses
/// the thread pool (tensors too), should therefore go through a channel.
pub trait Watch: Send {
    /// Receives the next piece of a completion's text; the joined pieces are the text. Characters
    /// are complete, and no piece holds text that a stop text could still take back.
    fn text(&mut self, place: Place, piece: &str) {
        let _ = (place, piece);
    }

    /// Receives a finished completion. Completions arrive in the order in which they finish.
    fn finished(&mut self, place: Place, completion: &Completion) {
        let _ = (place, completion);
    }

    /// Called after every step, every prompt read, and every completion that ends with its first
    /// token. `Break` ends the work with
    /// [`GenerateError::Interrupted`](collimate_core::GenerateError::Interrupted), unless every
    /// completion is finished.
    fn progress(&mut self, progress: GenerationProgress) -> ControlFlow<()> {
        let _ = progress;
        ControlFlow::Continue(())
    }
}

impl Watch for () {}
