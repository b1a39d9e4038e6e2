//! Surroundings of a fit: checkpoints, metrics, progress and interrupt.

use std::path::PathBuf;

use crate::{Interrupt, Metrics, Progress};

/// Outputs of a [`fit`](crate::fit), and the interrupt that can stop it.
#[derive(Debug, Clone, Default)]
pub struct FitContext<'a> {
    /// Folder that holds the stage's folder of checkpoints. With `None` nothing is saved or
    /// resumed.
    pub checkpoints: Option<PathBuf>,
    /// Log for metrics.
    pub metrics: Option<&'a Metrics>,
    /// Display of progress.
    pub progress: Progress,
    /// Interrupt that can stop the fit.
    pub interrupt: Interrupt,
}

impl FitContext<'_> {
    /// Returns a context that writes nothing and shows nothing.
    pub fn silent() -> Self {
        Self {
            progress: Progress::Silent,
            ..Self::default()
        }
    }

    /// Returns the context with another display of progress.
    #[must_use]
    pub fn with_progress(self, progress: Progress) -> Self {
        Self { progress, ..self }
    }
}
