//! Locks between processes that download the same file.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use super::client::Client;
use super::{create, failed};
use crate::HubError;

/// Time between two attempts.
const EVERY: Duration = Duration::from_millis(100);

/// Waits for the lock that `huggingface_hub` takes for the same file. The lock ends when the value
/// is dropped or the process ends.
///
/// If the file system has no locks, two processes may download the same file at the same time. Both
/// then write the same bytes to the same places, so the file stays right.
pub(super) fn lock(client: &Client<'_>, at: &Path) -> Result<File, HubError> {
    if let Some(folder) = at.parent() {
        create(folder)?;
    }
    let file = File::options()
        .create(true)
        .append(true)
        .open(at)
        .map_err(failed(at))?;
    let mut waits = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if client.stop.is_asked() => {
                return Err(client.interrupted());
            }
            Err(TryLockError::WouldBlock) => {
                if !waits {
                    tracing::info!(lock = %at.display(), "another process downloads the file");
                    waits = true;
                }
                client.stop.wait(EVERY);
            }
            Err(TryLockError::Error(error)) => {
                tracing::warn!(lock = %at.display(), %error, "the file system has no locks");
                return Ok(file);
            }
        }
    }
}
