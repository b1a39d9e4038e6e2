//! Cleaning of folders that one process owns.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::{FileError, UNFINISHED, remove_unfinished};

/// Removes the half-written files ([`remove_unfinished`]) and the half-written folders in `folder`.
///
/// Only the process that owns `folder` may call this: no lock shows if another process still writes
/// a folder.
///
/// # Errors
/// Returns an error if the folder cannot be read, or something in it cannot be removed.
///
/// # Examples
/// ```
/// let folder = std::env::temp_dir().join(format!("collimate-owned-{}", std::process::id()));
/// std::fs::create_dir_all(folder.join(".unfinished-4242-7"))?;
/// collimate_files::remove_unfinished_owned(&folder)?;
/// assert_eq!(std::fs::read_dir(&folder)?.count(), 0);
/// # std::fs::remove_dir(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn remove_unfinished_owned(folder: &Path) -> Result<(), FileError> {
    remove_unfinished(folder)?;
    for path in entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(UNFINISHED) && is_folder(&path)? {
            fs::remove_dir_all(&path).map_err(FileError::at(&path))?;
        }
    }
    Ok(())
}

/// Calls [`remove_unfinished_owned`] for a folder and all folders below it. Links to folders are
/// not followed.
///
/// # Errors
/// Returns an error if a folder cannot be read, or something in it cannot be removed.
pub fn remove_all_unfinished_owned(folder: &Path) -> Result<(), FileError> {
    remove_unfinished_owned(folder)?;
    for path in entries(folder)? {
        if is_folder(&path)? {
            remove_all_unfinished_owned(&path)?;
        }
    }
    Ok(())
}

/// Returns the sorted paths of a folder's entries; none if the folder does not exist.
///
/// # Errors
/// Returns an error if the folder cannot be read.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(FileError::at(folder)(error)),
    };
    let mut paths = listing
        .map(|entry| {
            entry
                .map(|entry| entry.path())
                .map_err(FileError::at(folder))
        })
        .collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

/// Returns true if a path is a folder. A link to a folder does not count, because the linked folder
/// may belong to others. A path that was removed in the meantime does not count either.
fn is_folder(path: &Path) -> Result<bool, FileError> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(found.is_dir()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(FileError::at(path)(error)),
    }
}
