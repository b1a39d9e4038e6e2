//! The name of a file in the folder of a commit.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use collimate_files::sync_folder;

use super::{create, failed};
use crate::HubError;
use crate::cache::size;

/// Makes `at` show the content of `blob`: by a relative symbolic link, or by moving the content if
/// links are off or the system has none. `depth` is the number of folders from `at` up to the
/// folder of the repository.
pub(super) fn link(
    blob: &Path,
    at: &Path,
    depth: usize,
    bytes: u64,
    symlinks: bool,
) -> Result<(), HubError> {
    if size(at)? == Some(bytes) {
        return Ok(());
    }
    if let Some(folder) = at.parent() {
        create(folder)?;
    }
    if symlinks && symlink(blob, at, depth).map_err(failed(at))? {
        return Ok(sync(at)?);
    }
    // The rename replaces a broken link or an old file in one step.
    fs::rename(blob, at).map_err(failed(at))?;
    Ok(sync(at)?)
}

/// Returns false if the system refuses symbolic links.
fn symlink(blob: &Path, at: &Path, depth: usize) -> io::Result<bool> {
    let mut target = PathBuf::new();
    target.extend(std::iter::repeat_n("..", depth));
    target.push("blobs");
    target.push(blob.file_name().unwrap_or_default());
    match fs::remove_file(at) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match system_link(&target, at) {
        Ok(()) => Ok(true),
        // A process without a lock was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(true),
        Err(error) => {
            tracing::warn!(path = %at.display(), %error, "no symbolic links; the file is moved");
            Ok(false)
        }
    }
}

#[cfg(unix)]
fn system_link(target: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

#[cfg(windows)]
fn system_link(target: &Path, at: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, at)
}

#[cfg(not(any(unix, windows)))]
fn system_link(_: &Path, _: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

fn sync(at: &Path) -> Result<(), collimate_files::FileError> {
    sync_folder(at.parent().unwrap_or(at))
}
