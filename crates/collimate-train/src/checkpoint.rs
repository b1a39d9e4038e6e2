//! Checkpoint folders, each complete or absent.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use burn::tensor::{DType, TensorData};
use collimate_files::{UNFINISHED, atomic_write, entries, remove_unfinished_owned, sync_folder};
use safetensors::{Dtype, SafeTensors, View};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::TrainError;
use crate::params::Stored;

/// A number that is read back from text with exactly the same bits, which JSON numbers do not
/// guarantee. Use it in the state of a loop ([`LoopCheckpoints`](crate::LoopCheckpoints)).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Exact(pub f64);

impl Serialize for Exact {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:?}", self.0))
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// The best evaluation so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BestStep {
    pub(crate) step: u64,
    pub(crate) score: Exact,
}

/// State, besides tensors, that a run needs to continue. Random streams are keyed by the step and
/// need no state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    pub(crate) step: u64,
    pub(crate) total_steps: u64,
    pub(crate) epoch: u64,
    pub(crate) cursor: usize,
    pub(crate) finished: bool,
    pub(crate) tokens: u64,
    pub(crate) seconds: f64,
    pub(crate) best: Option<BestStep>,
    pub(crate) evaluations_without_best: u32,
    pub(crate) metrics_lines: usize,
    pub(crate) last_metrics: BTreeMap<String, Exact>,
    pub(crate) examples: usize,
    pub(crate) frozen: String,
    /// The objective's fingerprint; empty in checkpoints that were written without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) data: String,
    pub(crate) config: Value,
    pub(crate) optimizer_steps: BTreeMap<String, u64>,
}

/// The checkpoints of one stage.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoints {
    folder: PathBuf,
}

const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";

impl Checkpoints {
    /// Opens the folder, creates it if needed, and removes files that a killed process left
    /// half-written.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, TrainError> {
        fs::create_dir_all(&folder).map_err(TrainError::io(&folder))?;
        remove_unfinished_owned(&folder)?;
        Ok(Self { folder })
    }

    pub(crate) fn path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("step-{step:06}"))
    }

    /// Returns the steps that have a checkpoint, in rising order.
    pub(crate) fn steps(&self) -> Result<Vec<u64>, TrainError> {
        let mut steps: Vec<u64> = entries(&self.folder)?
            .iter()
            .filter_map(|path| {
                path.file_name()?
                    .to_str()?
                    .strip_prefix("step-")?
                    .parse()
                    .ok()
            })
            .collect();
        steps.sort_unstable();
        Ok(steps)
    }

    pub(crate) fn state<S: DeserializeOwned>(&self, step: u64) -> Result<S, TrainError> {
        let path = self.path(step).join(STATE);
        let text = fs::read(&path).map_err(TrainError::io(&path))?;
        serde_json::from_slice(&text).map_err(|error| TrainError::format(&path, error))
    }

    pub(crate) fn model(&self, step: u64) -> Result<HashMap<String, TensorData>, TrainError> {
        read_tensors(&self.path(step).join(MODEL))
    }

    pub(crate) fn optimizer(&self, step: u64) -> Result<HashMap<String, TensorData>, TrainError> {
        read_tensors(&self.path(step).join(OPTIMIZER))
    }

    /// Writes a checkpoint. Then removes every checkpoint that is neither the best nor among the
    /// last `keep_last`.
    pub(crate) fn save(
        &self,
        step: u64,
        state: &impl Serialize,
        model: &BTreeMap<String, Stored>,
        moments: &BTreeMap<String, Stored>,
        keep_last: usize,
        best: Option<u64>,
    ) -> Result<PathBuf, TrainError> {
        let target = self.path(step);
        if target.exists() {
            return Ok(target);
        }
        let name = format!("{UNFINISHED}{}-{step}", std::process::id());
        let unfinished = self.folder.join(name);
        // An earlier save of this step may have failed midway.
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(TrainError::io(&unfinished))?;
        }
        fs::create_dir(&unfinished).map_err(TrainError::io(&unfinished))?;
        write_tensors(&unfinished.join(MODEL), model)?;
        write_tensors(&unfinished.join(OPTIMIZER), moments)?;
        let state_path = unfinished.join(STATE);
        // The text is compact because a state may hold a rollout.
        let text =
            serde_json::to_vec(state).map_err(|error| TrainError::format(&state_path, error))?;
        atomic_write(&state_path, &text)?;
        fs::rename(&unfinished, &target).map_err(TrainError::io(&target))?;
        sync_folder(&self.folder)?;
        self.prune(keep_last, best)?;
        Ok(target)
    }

    /// Removes every checkpoint that is neither the best nor among the last `keep_last`.
    pub(crate) fn prune(&self, keep_last: usize, best: Option<u64>) -> Result<(), TrainError> {
        let steps = self.steps()?;
        let old = steps.len().saturating_sub(keep_last);
        for &step in steps[..old].iter().filter(|&&step| Some(step) != best) {
            self.discard(step)?;
        }
        Ok(())
    }

    /// Removes a checkpoint. It is renamed first, so that a half-removed folder is never read.
    fn discard(&self, step: u64) -> Result<(), TrainError> {
        let path = self.path(step);
        let name = format!("{UNFINISHED}{}-old-{step}", std::process::id());
        let aside = self.folder.join(name);
        fs::rename(&path, &aside).map_err(TrainError::io(&path))?;
        fs::remove_dir_all(&aside).map_err(TrainError::io(&aside))
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        match self.flat.dtype() {
            DType::F64 => Dtype::F64,
            DType::F16 => Dtype::F16,
            DType::BF16 => Dtype::BF16,
            _ => Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let data = self.flat.clone().into_data();
        let supported = matches!(
            data.dtype(),
            DType::F64 | DType::F32 | DType::F16 | DType::BF16
        );
        let data = if supported {
            data
        } else {
            data.convert_dtype(DType::F32)
        };
        Cow::Owned(data.as_bytes().to_vec())
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype().bitsize() / 8
    }
}

/// Writes tensors to a file. Only one tensor at a time is copied to the host. Without metadata the
/// order of the header is fixed.
fn write_tensors(path: &Path, tensors: &BTreeMap<String, Stored>) -> Result<(), TrainError> {
    safetensors::serialize_to_file(tensors.iter().map(|(k, v)| (k, v.clone())), None, path)
        .map_err(|error| TrainError::format(path, error))?;
    // The file is opened for writing because Windows does not sync a file that was opened for
    // reading.
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file| file.sync_all())
        .map_err(TrainError::io(path))
}

fn read_tensors(path: &Path) -> Result<HashMap<String, TensorData>, TrainError> {
    let bytes = fs::read(path).map_err(TrainError::io(path))?;
    let tensors =
        SafeTensors::deserialize(&bytes).map_err(|error| TrainError::format(path, error))?;
    let mut read = HashMap::new();
    for (name, view) in tensors.iter() {
        let dtype = match view.dtype() {
            Dtype::F64 => DType::F64,
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => {
                return Err(TrainError::format(
                    path,
                    format!("{name} has dtype {other:?}"),
                ));
            }
        };
        let data = TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), dtype);
        read.insert(name.to_owned(), data);
    }
    Ok(read)
}

/// Returns the first key, in alphabetical order, in which two JSON values differ, and both values
/// as text: `(key, before, now)`. Keys of inner objects are joined by dots. Equal values give
/// `None`.
///
/// # Examples
/// ```
/// use serde_json::json;
/// let before = json!({ "a": 1, "b": { "c": [1, 2] } });
/// let now = json!({ "a": 1, "b": { "c": [1, 3] } });
/// let difference = collimate_train::first_difference(&before, &now);
/// assert_eq!(difference, Some(("b.c".into(), "[1,2]".into(), "[1,3]".into())));
/// assert_eq!(collimate_train::first_difference(&now, &now), None);
/// ```
pub fn first_difference(before: &Value, now: &Value) -> Option<(String, String, String)> {
    if let (Value::Object(before), Value::Object(now)) = (before, now) {
        let mut keys: Vec<&String> = before.keys().chain(now.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        return keys.into_iter().find_map(|key| {
            let old = before.get(key).unwrap_or(&Value::Null);
            let new = now.get(key).unwrap_or(&Value::Null);
            let (inner, old, new) = first_difference(old, new)?;
            let key = if inner.is_empty() {
                key.clone()
            } else {
                format!("{key}.{inner}")
            };
            Some((key, old, new))
        });
    }
    (before != now).then(|| (String::new(), before.to_string(), now.to_string()))
}
