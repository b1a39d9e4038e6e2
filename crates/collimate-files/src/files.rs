//! Files that hold either their old content or the new one, never half of it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::FileError;

/// Prefix of files that a killed process may leave behind; such names are never read.
pub const UNFINISHED: &str = ".unfinished-";

/// Replaces the file `path` by `bytes`. A reader sees the old content or the new one, even after a
/// crash.
///
/// The bytes go to a neighbour whose name starts with [`UNFINISHED`] and holds the process id. The
/// neighbour is synced and renamed, and then the folder is synced. After an error the neighbour is
/// removed. The writer holds a lock on the neighbour, so that [`remove_unfinished`] in another
/// thread or process leaves the neighbour alone.
///
/// # Errors
/// Returns an error if the folder does not exist or cannot be written.
///
/// # Examples
/// ```
/// let path = std::env::temp_dir().join(format!("collimate-{}.txt", std::process::id()));
/// collimate_files::atomic_write(&path, b"old")?;
/// collimate_files::atomic_write(&path, b"new")?;
/// assert_eq!(std::fs::read(&path)?, b"new");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn atomic_write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    atomic_write_with(path, |file| file.write_all(bytes))
}

/// Replaces the file `path` by the bytes that `write` writes, part by part, so that the whole
/// content is never in memory. Otherwise works as [`atomic_write`] does. The writer has no buffer.
///
/// # Errors
/// Returns the error of `write`, or an error if the folder does not exist or cannot be written.
pub fn atomic_write_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FileError> {
    replace(path, write).map_err(FileError::at(path))
}

fn replace(
    path: &Path,
    write_parts: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    // Two threads that write the same path must not share the neighbour.
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let write = WRITES.fetch_add(1, Ordering::Relaxed);
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let process = std::process::id();
    let unfinished = folder.join(format!("{UNFINISHED}{process}-{write}-{name}"));
    let write_and_rename = || {
        let mut file = create_locked(&unfinished)?;
        write_parts(&mut file)?;
        file.sync_all()?;
        // The lock is released with the file, after the rename.
        fs::rename(&unfinished, path)
    };
    write_and_rename().inspect_err(|_| {
        // The remains are of no use, and the first error is the one to report.
        let _ = fs::remove_file(&unfinished);
    })?;
    sync(folder)
}

/// Creates a file under a lock. If the file system has no locks, the file has none.
fn create_locked(path: &Path) -> io::Result<File> {
    loop {
        let file = File::create(path)?;
        let locked = file.try_lock();
        // A cleaner may have come between creation and lock. Then it holds the lock, or has removed
        // the name.
        if !matches!(locked, Err(TryLockError::WouldBlock)) && path.exists() {
            return Ok(file);
        }
    }
}

/// Removes the files in `folder` that a killed [`atomic_write`] has left behind, and returns their
/// paths. Subfolders and symbolic links stay as they are. A folder that does not exist counts as clean.
///
/// A file is removed if its name starts with [`UNFINISHED`] and no writer holds its lock. The
/// system drops the lock with the writing process, so the rule holds on every system, for process
/// ids that are used again, and for folders that machines share. If the file system has no locks,
/// no file is removed.
///
/// # Errors
/// Returns an error if the folder cannot be read, or a file cannot be removed.
///
/// # Examples
/// ```
/// let folder = std::env::temp_dir().join(format!("collimate-clean-{}", std::process::id()));
/// std::fs::create_dir_all(&folder)?;
/// std::fs::write(folder.join(".unfinished-4242-0-model.safetensors"), b"half")?;
/// assert_eq!(collimate_files::remove_unfinished(&folder)?.len(), 1);
/// assert_eq!(std::fs::read_dir(&folder)?.count(), 0);
/// # std::fs::remove_dir(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn remove_unfinished(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    remove_files(folder).map_err(FileError::at(folder))
}

fn remove_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut removed = Vec::new();
    for entry in entries {
        let entry = entry?;
        let named = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        let path = entry.path();
        if named && entry.file_type()?.is_file() && remove_unlocked(&path)? {
            removed.push(path);
        }
    }
    removed.sort();
    Ok(removed)
}

/// Returns true if the file was removed. A file that is locked, or whose lock is unknown, stays.
fn remove_unlocked(path: &Path) -> io::Result<bool> {
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    // Opened for writing, because some systems lock no other file.
    let file = match File::options().append(true).open(path) {
        // The writer has renamed the file in the meantime.
        Err(error) if gone(&error) => return Ok(false),
        file => file?,
    };
    if file.try_lock().is_err() {
        return Ok(false);
    }
    match fs::remove_file(path) {
        Err(error) if !gone(&error) => Err(error),
        removed => Ok(removed.is_ok()),
    }
}

/// Makes renames and new names in a folder durable. On systems other than Unix this does nothing,
/// because not every system can open a folder.
///
/// # Errors
/// Returns an error if the folder cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> Result<(), FileError> {
    sync(folder).map_err(FileError::at(folder))
}

fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty folder for one test, removed when dropped.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("collimate-files-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn entries(&self) -> usize {
            fs::read_dir(&self.0).unwrap().count()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_new_content_replaces_the_old_and_nothing_else_stays() {
        let folder = Folder::new("replace");
        let path = folder.0.join("file.json");
        atomic_write(&path, b"old").unwrap();
        atomic_write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(folder.entries(), 1);
    }

    #[test]
    fn an_error_between_two_parts_keeps_the_old_content() {
        let folder = Folder::new("parts");
        let path = folder.0.join("file");
        atomic_write(&path, b"old").unwrap();
        atomic_write_with(&path, |file| {
            file.write_all(b"first part")?;
            Err(io::ErrorKind::StorageFull.into())
        })
        .unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(folder.entries(), 1);
        atomic_write_with(&path, |file| {
            file.write_all(b"first, ")?;
            file.write_all(b"second")
        })
        .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"first, second");
        assert_eq!(folder.entries(), 1);
    }

    #[test]
    fn an_error_leaves_no_neighbour() {
        let folder = Folder::new("error");
        let path = folder.0.join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), b"x").unwrap();
        atomic_write(&path, b"a file cannot replace a folder").unwrap_err();
        assert_eq!(folder.entries(), 1);
        atomic_write(&folder.0.join("no/such"), b"x").unwrap_err();
        assert_eq!(folder.entries(), 1);
    }

    #[test]
    fn parts_of_dead_writers_go_and_those_of_living_ones_stay() {
        let folder = Folder::new("clean");
        let path = |name: &str| folder.0.join(name);
        // The id of this process, as when ids are used again, and another one.
        let own = format!("{UNFINISHED}{}-0-model.safetensors", std::process::id());
        for name in [&own, ".unfinished-4242-7-config.json", "model.safetensors"] {
            fs::write(path(name), b"x").unwrap();
        }
        fs::create_dir(path(".unfinished-4242-8")).unwrap();
        let living = create_locked(&path(".unfinished-4242-9-a")).unwrap();
        let removed = remove_unfinished(&folder.0).unwrap();
        let mut expected = vec![path(&own), path(".unfinished-4242-7-config.json")];
        expected.sort();
        assert_eq!(removed, expected);
        assert_eq!(folder.entries(), 3);
        drop(living);
        assert_eq!(remove_unfinished(&folder.0).unwrap().len(), 1);
        assert_eq!(remove_unfinished(&path("nowhere")).unwrap().len(), 0);
    }

    #[test]
    fn cleaning_disturbs_no_writer() {
        let folder = Folder::new("beside");
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    remove_unfinished(&folder.0).unwrap();
                }
            });
            for round in 0..200u32 {
                let bytes = round.to_le_bytes();
                atomic_write(&folder.0.join("file"), &bytes).unwrap();
                assert_eq!(fs::read(folder.0.join("file")).unwrap(), bytes);
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(folder.entries(), 1);
    }

    #[test]
    fn threads_that_write_one_path_leave_one_whole_content() {
        let folder = Folder::new("threads");
        let path = folder.0.join("file");
        std::thread::scope(|scope| {
            for byte in b'a'..b'e' {
                let path = &path;
                scope.spawn(move || atomic_write(path, &[byte; 10_000]).unwrap());
            }
        });
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes, vec![bytes[0]; 10_000]);
        assert_eq!(folder.entries(), 1);
    }
}
