//! Finished and unfinished stages of a run.

use std::path::Path;

use collimate_files::atomic_write;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RunError;
use crate::files::{read_json, to_json};

/// State of a stage.
#[derive(Debug, Clone, PartialEq)]
pub enum StageState {
    /// Finished earlier, with this result.
    Done(Value),
    /// Never started before.
    Fresh,
    /// Started but not finished.
    Resume,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) stage: String,
    pub(crate) inputs: String,
    pub(crate) result: Option<Value>,
}

/// Stages in the order in which they were started.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Journal {
    pub(crate) stages: Vec<Entry>,
    /// Wall-clock seconds of all processes of the run, up to the last write of this file.
    #[serde(default)]
    pub(crate) seconds: f64,
}

impl Journal {
    pub(crate) fn read(path: &Path) -> Result<Self, RunError> {
        if path.exists() {
            read_json(path)
        } else {
            Ok(Self::default())
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), RunError> {
        Ok(atomic_write(path, &to_json(self, path)?)?)
    }

    pub(crate) fn entry(&mut self, stage: &str) -> Option<&mut Entry> {
        self.stages.iter_mut().find(|entry| entry.stage == stage)
    }
}
