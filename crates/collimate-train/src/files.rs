//! Files that are either the old or the new one, never half of it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::TrainError;

pub(crate) use collimate_core::UNFINISHED;

/// [`collimate_core::atomic_write`] with an error that names the file.
///
/// # Errors
/// When the folder cannot be written.
pub fn atomic_write(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    collimate_core::atomic_write(path, bytes).map_err(TrainError::io(path))
}

/// The blake3 hash of a file, in hex.
///
/// # Errors
/// When it cannot be read, or is a pipe or another stream: reading one takes its bytes away from
/// whoever reads it next.
pub fn hash_file(path: &Path) -> Result<String, TrainError> {
    // Asked before it is opened: opening a pipe waits for a writer.
    let kind = fs::metadata(path).map_err(TrainError::io(path))?;
    if !kind.is_file() && !kind.is_dir() {
        let reason = "a pipe or a device has no lasting bytes to hash: write it to a file first";
        return Err(TrainError::format(path, reason));
    }
    let mut file = File::open(path).map_err(TrainError::io(path))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(TrainError::io(path))? {
            0 => return Ok(hasher.finalize().to_hex().to_string()),
            read => hasher.update(&buffer[..read]),
        };
    }
}

/// The blake3 hash of a value's JSON text, in hex: what a stage's inputs are told apart by.
///
/// # Panics
/// When the value cannot be written as JSON (a map whose keys are not texts).
///
/// # Examples
/// ```
/// let a = collimate_train::hash_json(&("sft", 1e-5, [1, 2]));
/// assert_eq!(a.len(), 64);
/// assert_ne!(a, collimate_train::hash_json(&("sft", 1e-5, [2, 1])));
/// ```
pub fn hash_json(value: &impl Serialize) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut text = std::io::BufWriter::with_capacity(1 << 16, &mut hasher);
    serde_json::to_writer(&mut text, value).expect("stage inputs have text keys");
    text.flush().expect("a hasher takes everything");
    drop(text);
    hasher.finalize().to_hex().to_string()
}

pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

pub(crate) fn to_json(value: &impl Serialize, path: &Path) -> Result<Vec<u8>, TrainError> {
    let mut text =
        serde_json::to_vec_pretty(value).map_err(|error| TrainError::format(path, error))?;
    text.push(b'\n');
    Ok(text)
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, TrainError> {
    let text = fs::read(path).map_err(TrainError::io(path))?;
    serde_json::from_slice(&text).map_err(|error| TrainError::format(path, error))
}

/// Removes what killed processes left in a folder: half-written files
/// ([`collimate_core::remove_unfinished`]) and, as only the owner of a run writes folders in it,
/// half-written folders.
pub(crate) fn remove_unfinished(folder: &Path) -> Result<(), TrainError> {
    collimate_core::remove_unfinished(folder).map_err(TrainError::io(folder))?;
    for path in entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(UNFINISHED) && is_folder(&path)? {
            fs::remove_dir_all(&path).map_err(TrainError::io(&path))?;
        }
    }
    Ok(())
}

/// [`remove_unfinished`] in a folder and all folders below it.
pub(crate) fn remove_all_unfinished(folder: &Path) -> Result<(), TrainError> {
    remove_unfinished(folder)?;
    for path in entries(folder)? {
        if is_folder(&path)? {
            remove_all_unfinished(&path)?;
        }
    }
    Ok(())
}

/// True if a path is a folder and no link to one: what a link names belongs to others. What has
/// gone in the meantime is none.
fn is_folder(path: &Path) -> Result<bool, TrainError> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(found.is_dir()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(TrainError::io(path)(error)),
    }
}

/// What a folder contains, sorted; nothing when there is no such folder.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(TrainError::io(folder)(error)),
    };
    let mut paths = listing
        .map(|entry| {
            entry
                .map(|entry| entry.path())
                .map_err(TrainError::io(folder))
        })
        .collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}
