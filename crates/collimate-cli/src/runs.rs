//! Run folders and signals, for every command that trains.

use std::path::{Path, PathBuf};

use collimate::data::adapter_chain;
use collimate::nn::Backbone;
use collimate::recipes::RecipeError;
use collimate::run::{RunError, RunFolder, hash_file};
use collimate::train::{Interrupt, TrainConfig, TrainError, hash_json};
use serde::Serialize;

use crate::common::{self, Failure, Interrupted};

/// Opens the folder of a run. A resumed run must find its data files and the files of its model
/// folders unchanged.
pub(crate) fn open<'p>(
    out: &Path,
    config: &impl Serialize,
    data: impl Iterator<Item = &'p PathBuf>,
    models: impl Iterator<Item = &'p PathBuf>,
) -> Result<(RunFolder, Vec<HashedFile>), Failure> {
    let mut run = RunFolder::create(out, config)?;
    let mut parts = Vec::new();
    for dir in models {
        parts.extend(model_files(dir));
    }
    let data: Vec<PathBuf> = data.filter(|path| path.exists()).cloned().collect();
    let hash = |path: &PathBuf| hash_file(path);
    let of_data = data.iter().map(hash).collect::<Result<Vec<String>, _>>()?;
    let of_models = parts.iter().map(hash).collect::<Result<Vec<String>, _>>()?;
    let hashes: Vec<&String> = of_data.iter().chain(&of_models).collect();
    run.stage("files", &hash_json(&hashes))
        .map_err(|error| match error {
            RunError::StageChanged { .. } => Failure::from(format!(
                "{}: the data or model files have changed since the run was started: restore the \
                 old files, or give another --out",
                out.display()
            )),
            error => error.into(),
        })?;
    common::tell(&format!("run folder: {}", out.display()));
    let files = data.into_iter().zip(of_data);
    let files = files.map(|(path, blake3)| HashedFile { path, blake3 });
    Ok((run, files.collect()))
}

/// A data file of a run.
#[derive(Debug, Clone)]
pub(crate) struct HashedFile {
    pub(crate) path: PathBuf,
    /// BLAKE3 hash of the contents, in hexadecimal digits.
    pub(crate) blake3: String,
}

/// Refuses data that a run could not read a second time: `--resume` reads and hashes the data
/// again.
pub(crate) fn check_lasting<'p>(
    files: impl IntoIterator<Item = &'p PathBuf>,
) -> Result<(), Failure> {
    for path in files {
        // A file that does not exist, or is a folder, is reported by the reader.
        let Ok(metadata) = path.metadata() else {
            continue;
        };
        let of_process =
            path.starts_with("/proc") || path.starts_with("/dev") && !path.starts_with("/dev/shm");
        if metadata.is_dir() || metadata.is_file() && !of_process {
            continue;
        }
        return Err(format!(
            "{} is {}, but a run reads its data again on --resume: write the data to a file first",
            path.display(),
            stream_name(&metadata)
        )
        .into());
    }
    Ok(())
}

fn stream_name(metadata: &std::fs::Metadata) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = metadata.file_type();
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    match metadata.is_file() {
        true => "a stream of this process",
        false => "not a file on disk",
    }
}

/// Returns the files that define a model folder, and those of the base model of an adapter, sorted.
pub(crate) fn model_files(dir: &Path) -> Vec<PathBuf> {
    // A base model that cannot be found, or a circle, is an error when the model is loaded.
    let chain = adapter_chain(dir).unwrap_or_else(|_| vec![dir.to_owned()]);
    chain.iter().flat_map(|dir| files_of(dir)).collect()
}

fn files_of(dir: &Path) -> Vec<PathBuf> {
    // A GGUF file.
    if dir.is_file() {
        return vec![dir.to_owned()];
    }
    let found = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let of_model = |path: &PathBuf| {
        let kind = path.extension().and_then(|kind| kind.to_str());
        path.is_file() && matches!(kind, Some("json" | "safetensors" | "jinja"))
    };
    let mut files: Vec<PathBuf> = found.map(|e| e.path()).filter(of_model).collect();
    files.sort();
    files
}

/// Returns the interrupt that the signals set. If signals are unavailable, prints a warning and
/// returns an interrupt that no signal sets.
pub(crate) fn interrupt() -> Interrupt {
    Interrupt::on_signals().unwrap_or_else(|error| {
        common::tell(&format!(
            "warning: {error}: if the run is stopped, the steps since the last checkpoint are lost"
        ));
        Interrupt::new()
    })
}

/// Turns an interrupt into a message that says how to continue. Other errors stay as they are.
pub(crate) fn stopped(error: RecipeError, resume: &str) -> Failure {
    let RecipeError::Train(TrainError::Interrupted { stage, step, saved }) = &error else {
        return error.into();
    };
    let saved = match saved {
        Some(path) => format!("saved in {}", path.display()),
        None => "this stage will start from its beginning".to_owned(),
    };
    Interrupted(format!(
        "interrupted after step {step} of stage {stage} ({saved}); continue with: {resume}"
    ))
    .into()
}

/// Refuses sequences that are longer than the model allows.
pub(crate) fn check_length(length: usize, model: &impl Backbone) -> Result<(), Failure> {
    let most = model.max_positions();
    if length > most {
        return Err(format!(
            "max_length is {length}, but the model takes at most {most} tokens: give --max-length \
             {most}"
        )
        .into());
    }
    Ok(())
}

/// Warns if the warm-up is not shorter than the whole training over this number of rows.
pub(crate) fn warn_of_warmup(train: &TrainConfig, rows: usize) {
    let steps = train.total_steps(rows);
    let warmup = train.warmup_of(steps);
    if steps > 0 && warmup >= steps {
        common::tell(&format!(
            "warning: {}: the warm-up has {warmup} steps and the training only {steps}, so the \
             learning rate never reaches {:e}: lower warmup_steps, or train longer",
            train.stage, train.learning_rate
        ));
    }
}

/// Returns true if a training differs from `default` in more than the seed.
pub(crate) fn changed(train: &TrainConfig, default: &TrainConfig) -> bool {
    let seed = default.seed;
    let seeded = TrainConfig {
        seed,
        ..train.clone()
    };
    seeded != *default
}
