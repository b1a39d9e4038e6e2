//! Beginning and continuing of a build, and the lock of the builder.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use collimate_files::{UNFINISHED, entries, remove_unfinished, sync_folder};

use super::builder::StoreBuilder;
use super::description::{self, Description, Found};
use super::row::StoredRow;
use super::token_store::TokenStore;
use super::{IDS, LOCK, PROGRESS, ROWS, STORE, unreadable, unwritable, wrong};
use crate::error::DataError;

/// Content of the folder in which a store should be built.
#[derive(Debug)]
pub enum Begun<T> {
    /// The store is complete.
    Complete(TokenStore<T>),
    /// The store has to be built, or built further.
    Building(StoreBuilder<T>),
}

impl<T: StoredRow> StoreBuilder<T> {
    /// Opens the store in a folder, or begins to build the store, or continues where an earlier
    /// build has ended. Creates the folder if it is missing.
    ///
    /// `key` stands for everything that determines the rows ([`StoreKey`](super::StoreKey)
    /// makes one). A store, or a part of a store, of another key, another kind of rows or another
    /// version is replaced. Other files are never deleted, except the remains of
    /// [`atomic_write`](collimate_files::atomic_write).
    ///
    /// # Errors
    /// [`DataError::Store`] for a folder with other files, for a damaged store, and if another
    /// builder is at work in the folder. [`DataError::Io`] if a file cannot be read or written.
    pub fn begin(dir: impl AsRef<Path>, key: &str) -> Result<Begun<T>, DataError> {
        let dir = dir.as_ref();
        // A complete store needs no lock, and the folder may be read-only.
        if let Some(store) = complete(dir, key)? {
            tidy(dir);
            return Ok(Begun::Complete(store));
        }
        fs::create_dir_all(dir).map_err(unwritable(dir))?;
        check_own(dir)?;
        let lock = lock(dir)?;
        // Another process may have finished in the meantime.
        if let Some(store) = complete(dir, key)? {
            return Ok(Begun::Complete(store));
        }
        remove_unfinished(dir).map_err(|e| unwritable(&e.path)(e.source))?;
        let begun = match description::read(&dir.join(PROGRESS))? {
            Some(Found::Known(begun)) if begun.key == key && begun.holds::<T>() => Some(begun),
            _ => None,
        };
        // The files belong to the progress only if no other store is left.
        let begun = match begun {
            Some(begun) if begun.consumed > 0 && !dir.join(STORE).exists() => begun,
            _ => replace::<T>(dir, key)?,
        };
        StoreBuilder::open(dir, begun, lock).map(Begun::Building)
    }
}

/// Returns the complete store in a folder, if the store has the given key and kind of rows.
fn complete<T: StoredRow>(dir: &Path, key: &str) -> Result<Option<TokenStore<T>>, DataError> {
    match description::read(&dir.join(STORE))? {
        Some(Found::Known(about)) if about.key == key && about.holds::<T>() => {
            TokenStore::open(dir).map(Some)
        }
        _ => Ok(None),
    }
}

/// Removes the progress that a builder has left that was killed after its last step.
fn tidy(dir: &Path) {
    let progress = dir.join(PROGRESS);
    if progress.exists()
        && let Ok(_lock) = lock(dir)
        // Another build may have begun in the meantime.
        && dir.join(STORE).exists()
        && let Err(error) = fs::remove_file(&progress)
    {
        tracing::debug!(path = %progress.display(), %error, "cannot be removed");
    }
}

/// Refuses a folder with files, if no description of a store is among them.
fn check_own(dir: &Path) -> Result<(), DataError> {
    let described = [STORE, PROGRESS].map(|name| description::read(&dir.join(name)));
    for found in described {
        if found?.is_some() {
            return Ok(());
        }
    }
    // A builder that was killed at once has left only its lock and an unfinished description.
    let listed = entries(dir).map_err(|e| unreadable(&e.path)(e.source))?;
    let foreign = listed.iter().find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name != LOCK && !name.starts_with(UNFINISHED)
    });
    match foreign {
        None => Ok(()),
        Some(path) => Err(wrong(
            dir,
            format!(
                "the folder holds {}, and no token store: choose an empty folder",
                path.file_name().unwrap_or_default().display()
            ),
        )),
    }
}

/// Takes the lock of the builder. The lock ends with the file or the process.
fn lock(dir: &Path) -> Result<File, DataError> {
    let path = dir.join(LOCK);
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(unwritable(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let what = "another process builds this token store: wait until it has finished, or \
                        choose another folder";
            return Err(wrong(dir, what));
        }
        Err(TryLockError::Error(error)) => {
            tracing::warn!(lock = %path.display(), %error, "the file system has no locks");
        }
    }
    Ok(file)
}

/// Replaces the store or the part of a store in a folder by an empty part.
///
/// At every step the folder holds a description, so that a later call finds a folder of its own.
/// The old data files are removed, not cut: a reader that has opened them keeps them.
fn replace<T: StoredRow>(dir: &Path, key: &str) -> Result<Box<Description>, DataError> {
    let begun = Description::empty::<T>(key);
    begun.write(&dir.join(PROGRESS))?;
    remove(&dir.join(STORE))?;
    // The description of the old store must be gone for good before its files are.
    sync_folder(dir).map_err(|e| unwritable(&e.path)(e.source))?;
    remove(&dir.join(IDS))?;
    remove(&dir.join(ROWS))?;
    Ok(Box::new(begun))
}

/// Removes a file, if it exists.
pub(super) fn remove(path: &Path) -> Result<(), DataError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(unwritable(path)(error)),
        _ => Ok(()),
    }
}
