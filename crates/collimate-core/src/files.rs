//! Files that are either the old or the new one, never half of it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Prefix of what a killed process may leave behind; such names are never read.
pub const UNFINISHED: &str = ".unfinished-";

/// Replaces the file `path` by `bytes`: a reader, and a crash, sees the old content or the new.
///
/// The bytes go to a neighbour whose name starts with [`UNFINISHED`] and holds the process id;
/// it is synced and renamed, and the folder is synced. After an error the neighbour is removed.
///
/// # Errors
/// When the folder does not exist or cannot be written.
///
/// # Examples
/// ```
/// let path = std::env::temp_dir().join(format!("collimate-{}.txt", std::process::id()));
/// collimate_core::atomic_write(&path, b"old")?;
/// collimate_core::atomic_write(&path, b"new")?;
/// assert_eq!(std::fs::read(&path)?, b"new");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn atomic_write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Two threads that write one path must not share the neighbour.
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let write = WRITES.fetch_add(1, Ordering::Relaxed);
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let process = std::process::id();
    let unfinished = folder.join(format!("{UNFINISHED}{process}-{write}-{name}"));
    let replace = || {
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&unfinished, path)
    };
    replace().inspect_err(|_| {
        // What is left of it is of no use, and the first error is the one to tell.
        let _ = fs::remove_file(&unfinished);
    })?;
    sync_folder(folder)
}

/// Makes renames and new names in a folder last. Not every system can open a folder: elsewhere
/// than on Unix nothing is done.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty folder of this test's own, removed when dropped.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("collimate-core-{name}-{}", std::process::id());
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
