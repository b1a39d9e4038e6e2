//! The surroundings of a recipe.

use collimate_train::{FitContext, Interrupt, Progress};

use crate::RunFolder;

/// The run folder that a recipe writes to, the signals that stop it, and how it shows progress.
#[derive(Debug)]
pub struct RunContext<'a> {
    /// Folder of checkpoints, metrics, the journal and the report.
    pub run: &'a mut RunFolder,
    /// Asks the recipe to save and stop.
    pub interrupt: &'a Interrupt,
    /// Bars on a terminal, lines elsewhere, or nothing.
    pub progress: Progress,
}

impl<'a> RunContext<'a> {
    /// The surroundings of a recipe that shows bars on a terminal and lines elsewhere.
    pub fn new(run: &'a mut RunFolder, interrupt: &'a Interrupt) -> Self {
        Self {
            run,
            interrupt,
            progress: Progress::Auto,
        }
    }

    /// The surroundings of one training.
    pub fn fit(&self) -> FitContext<'_> {
        self.run
            .context(self.interrupt)
            .with_progress(self.progress)
    }
}
