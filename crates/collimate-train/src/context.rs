//! Where a fit reads and writes.

use std::path::PathBuf;

use crate::{Interrupt, Metrics, Progress};

/// Where a [`fit`](crate::fit) writes, and what may stop it.
#[derive(Debug, Clone, Default)]
pub struct FitContext<'a> {
    /// The folder in which the stage's folder of checkpoints is made; without it nothing is
    /// saved and nothing resumed.
    pub checkpoints: Option<PathBuf>,
    /// Where metrics are logged.
    pub metrics: Option<&'a Metrics>,
    /// How progress is shown.
    pub progress: Progress,
    /// What may stop the fit.
    pub interrupt: Interrupt,
}

impl FitContext<'_> {
    /// Nothing written, nothing shown.
    pub fn silent() -> Self {
        Self {
            progress: Progress::Silent,
            ..Self::default()
        }
    }

    /// The same with another way to show progress.
    #[must_use]
    pub fn with_progress(self, progress: Progress) -> Self {
        Self { progress, ..self }
    }
}
