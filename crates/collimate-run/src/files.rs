//! Hashes of files, and files of JSON.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::RunError;

/// Returns the blake3 hash of a file, in hex.
///
/// # Errors
/// If the file cannot be read, or is a pipe or another stream. Reading a stream would take its
/// bytes away from the next reader.
pub fn hash_file(path: &Path) -> Result<String, RunError> {
    // Checked before the file is opened, because opening a pipe waits for a writer.
    let kind = fs::metadata(path).map_err(RunError::io(path))?;
    if !kind.is_file() && !kind.is_dir() {
        let reason = "a pipe or a device has no lasting bytes to hash: write it to a file first";
        return Err(RunError::format(path, reason));
    }
    let mut file = File::open(path).map_err(RunError::io(path))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(RunError::io(path))? {
            0 => return Ok(hasher.finalize().to_hex().to_string()),
            read => hasher.update(&buffer[..read]),
        };
    }
}

pub(crate) fn to_json(value: &impl Serialize, path: &Path) -> Result<Vec<u8>, RunError> {
    let mut text =
        serde_json::to_vec_pretty(value).map_err(|error| RunError::format(path, error))?;
    text.push(b'\n');
    Ok(text)
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, RunError> {
    let text = fs::read(path).map_err(RunError::io(path))?;
    serde_json::from_slice(&text).map_err(|error| RunError::format(path, error))
}
