//! The folder of a run.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Instant;

use collimate_files::{
    UNFINISHED, atomic_write, entries, remove_all_unfinished_owned, remove_unfinished_owned,
};
use collimate_train::{FitContext, Interrupt, Metrics, Progress, check_stage, first_difference};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::files::{read_json, to_json};
use crate::journal::{Entry, Journal};
use crate::{RunError, StageState};

/// Folder of event files in a run folder.
const EVENTS: &str = "tensorboard";

/// The folder of a run, with `config.json`, `journal.json`, `metrics.jsonl`, `summary.json`,
/// `report.md`, `report.html`, `plots/`, `checkpoints/` and `tensorboard/` (the metrics as event files:
/// `tensorboard --logdir RUN/tensorboard`).
///
/// Only one process at a time can hold the folder open. The lock is released when the process ends,
/// even if it is killed.
///
/// # Examples
/// ```
/// use collimate_run::{RunFolder, StageState};
/// use collimate_train::hash_json;
/// # fn main() -> Result<(), collimate_run::RunError> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("run");
/// let mut run = RunFolder::create(&path, &serde_json::json!({ "seed": 1 }))?;
/// let inputs = hash_json(&"the data and options of this stage");
/// assert_eq!(run.stage("score", &inputs)?, StageState::Fresh);
/// run.complete("score", &serde_json::json!({ "kept": 12 }))?;
/// drop(run);
///
/// let mut again = RunFolder::create(&path, &serde_json::json!({ "seed": 1 }))?;
/// let done = StageState::Done(serde_json::json!({ "kept": 12 }));
/// assert_eq!(again.stage("score", &inputs)?, done);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    journal: Journal,
    metrics: Metrics,
    opened: Instant,
    /// Seconds of earlier processes.
    before: f64,
    // Dropping the file releases the lock.
    _lock: File,
}

pub(crate) const LOCK: &str = "run.lock";

impl RunFolder {
    /// Creates the folder of a new run, or opens it to continue a run with the same configuration.
    ///
    /// # Errors
    /// If the folder belongs to a run with another configuration (the error names the first
    /// differing key), holds something else, is in use, or cannot be written.
    pub fn create(path: &Path, config: &impl Serialize) -> Result<Self, RunError> {
        fs::create_dir_all(path).map_err(RunError::io(path))?;
        let config_path = path.join("config.json");
        if !config_path.exists() {
            let foreign = entries(path)?.into_iter().find(|entry| {
                let name = entry.file_name().unwrap_or_default().to_string_lossy();
                name != LOCK && !name.starts_with(UNFINISHED)
            });
            if let Some(foreign) = foreign {
                let reason = "does not belong to a run: a run needs an empty folder or a new one";
                return Err(RunError::format(&foreign, reason));
            }
        }
        let lock = lock(path)?;
        let text = to_json(config, &config_path)?;
        if config_path.exists() {
            let before: Value = read_json(&config_path)?;
            // Parsed from text, so that the same rules apply to both sides.
            let now: Value = serde_json::from_slice(&text)
                .map_err(|error| RunError::format(&config_path, error))?;
            if let Some((key, before, now)) = first_difference(&before, &now) {
                return Err(RunError::Changed {
                    path: config_path,
                    key,
                    before,
                    now,
                });
            }
        } else {
            atomic_write(&config_path, &text)?;
        }
        Self::hold(path, lock)
    }

    /// Opens the folder of an earlier run with any configuration.
    ///
    /// # Errors
    /// If there is no run, or the run is in use.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        let config_path = path.join("config.json");
        fs::metadata(&config_path).map_err(RunError::io(&config_path))?;
        Self::hold(path, lock(path)?)
    }

    fn hold(path: &Path, lock: File) -> Result<Self, RunError> {
        // Includes the folders of saved models, because users pass these on.
        remove_all_unfinished_owned(path)?;
        let journal = Journal::read(&path.join("journal.json"))?;
        Ok(Self {
            before: journal.seconds,
            journal,
            metrics: Metrics::open(&path.join("metrics.jsonl"))?.with_events(&path.join(EVENTS)),
            path: path.to_owned(),
            opened: Instant::now(),
            _lock: lock,
        })
    }

    /// Returns the wall-clock seconds that all processes of the run have had the folder open.
    ///
    /// Of a killed process, only the time up to its last start or end of a stage is counted.
    pub fn seconds(&self) -> f64 {
        self.before + self.opened.elapsed().as_secs_f64()
    }

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns a folder inside the run's folder, and creates it if necessary. Removes unfinished
    /// files that a killed process left in it.
    ///
    /// # Errors
    /// If the folder cannot be created or read.
    pub fn folder(&self, name: &str) -> Result<PathBuf, RunError> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(RunError::io(&path))?;
        remove_unfinished_owned(&path)?;
        Ok(path)
    }

    /// Returns the folder of checkpoints. Each stage has its own folder in it.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Returns the metrics in `metrics.jsonl`.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Returns the context of a fit that saves checkpoints and metrics in this folder, and resumes
    /// from them.
    pub fn context(&self, interrupt: &Interrupt) -> FitContext<'_> {
        FitContext {
            checkpoints: Some(self.checkpoints()),
            metrics: Some(self.metrics()),
            progress: Progress::Auto,
            interrupt: interrupt.clone(),
        }
    }

    /// Reads the run's configuration.
    ///
    /// # Errors
    /// If `config.json` does not hold a value of type `C`.
    pub fn config<C: DeserializeOwned>(&self) -> Result<C, RunError> {
        read_json(&self.path.join("config.json"))
    }

    /// Starts a stage, or returns the state of a stage that was started before. `inputs` is a hash
    /// of everything that the stage depends on ([`hash_json`](collimate_train::hash_json),
    /// [`hash_file`](crate::hash_file)).
    ///
    /// # Errors
    /// If the stage was started with other inputs. To run it with the new inputs, call
    /// [`redo`](Self::redo) first.
    pub fn stage(&mut self, name: &str, inputs: &str) -> Result<StageState, RunError> {
        check_stage(name)?;
        if let Some(entry) = self.journal.entry(name) {
            if entry.inputs != inputs {
                let (stage, run) = (name.to_owned(), self.path.clone());
                return Err(RunError::StageChanged { stage, run });
            }
            return Ok(match &entry.result {
                Some(result) => StageState::Done(result.clone()),
                None => StageState::Resume,
            });
        }
        self.journal.stages.push(Entry {
            stage: name.to_owned(),
            inputs: inputs.to_owned(),
            result: None,
        });
        self.write_journal()?;
        Ok(StageState::Fresh)
    }

    /// Records a stage's result.
    ///
    /// # Errors
    /// If the stage was not started, or the journal cannot be written.
    pub fn complete(&mut self, name: &str, result: &impl Serialize) -> Result<(), RunError> {
        let path = self.path.join("journal.json");
        let result =
            serde_json::to_value(result).map_err(|error| RunError::format(&path, error))?;
        match self.journal.entry(name) {
            Some(entry) => entry.result = Some(result),
            None => {
                return Err(RunError::format(
                    &path,
                    format!("stage {name} was not started"),
                ));
            }
        }
        self.write_journal()
    }

    /// Forgets a stage: removes its journal entry, metrics and checkpoints.
    ///
    /// # Errors
    /// If a file cannot be written or removed.
    pub fn redo(&mut self, name: &str) -> Result<(), RunError> {
        check_stage(name)?;
        let checkpoints = self.checkpoints().join(name);
        if checkpoints.exists() {
            fs::remove_dir_all(&checkpoints).map_err(RunError::io(&checkpoints))?;
        }
        self.metrics.rewind(name, 0)?;
        self.journal.stages.retain(|entry| entry.stage != name);
        self.write_journal()
    }

    /// Writes `summary.json`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_summary(&self, summary: &impl Serialize) -> Result<(), RunError> {
        let path = self.path.join("summary.json");
        Ok(atomic_write(&path, &to_json(summary, &path)?)?)
    }

    fn write_journal(&mut self) -> Result<(), RunError> {
        self.journal.seconds = self.seconds();
        self.journal.write(&self.path.join("journal.json"))
    }
}

/// Locks a run folder. The system drops the lock when the process ends, so a killed run never
/// blocks its folder.
pub(crate) fn lock(path: &Path) -> Result<File, RunError> {
    let lock_path = path.join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(RunError::io(&lock_path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RunError::Locked {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(RunError::io(&lock_path)(error)),
    }
}
