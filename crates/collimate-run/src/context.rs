//! Context in which a recipe runs.

use collimate_train::{FitContext, Interrupt, Progress};

use crate::RunFolder;

/// The run folder that a recipe writes to, the signals that stop it, and its progress display.
#[derive(Debug)]
pub struct RunContext<'a> {
    /// Folder of checkpoints, metrics, the journal and the report.
    pub run: &'a mut RunFolder,
    /// Asks the recipe to save and stop.
    pub interrupt: &'a Interrupt,
    /// Progress display: bars on a terminal, lines elsewhere, or nothing.
    pub progress: Progress,
}

impl<'a> RunContext<'a> {
    /// Returns the context of a recipe that shows bars on a terminal and lines elsewhere.
    pub fn new(run: &'a mut RunFolder, interrupt: &'a Interrupt) -> Self {
        Self {
            run,
            interrupt,
            progress: Progress::Auto,
        }
    }

    /// Returns the context of one training.
    pub fn fit(&self) -> FitContext<'_> {
        self.run
            .context(self.interrupt)
            .with_progress(self.progress)
    }
}
