//! Progress of a download, and the wish to stop one.

use std::fmt;

/// State of a download, passed to [`Watch::progress`] after each piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// Path of the file in the repository.
    pub file: &'a str,
    /// Number of the file, from 1.
    pub number: usize,
    /// Number of files that are downloaded. The number grows once, when the shards of an index
    /// are known.
    pub files: usize,
    /// Number of bytes of the file on the disk, including earlier downloads.
    pub received: u64,
    /// Size of the whole file in bytes.
    pub size: u64,
}

/// Callbacks of a caller who waits for a download. The default has none.
///
/// # Examples
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use collimate_hub::Watch;
///
/// let interrupted = AtomicBool::new(false);
/// let stop = || interrupted.load(Ordering::Relaxed);
/// let bar = |at: &collimate_hub::Progress<'_>| eprintln!("{} {}/{}", at.file, at.received, at.size);
/// let watch = Watch::default().progress(&bar).stop(&stop);
/// # let _ = watch;
/// ```
#[derive(Clone, Copy, Default)]
pub struct Watch<'a> {
    progress: Option<&'a dyn Fn(&Progress<'_>)>,
    stop: Option<&'a (dyn Fn() -> bool + Sync)>,
}

impl<'a> Watch<'a> {
    /// Sets the function that learns the progress. The function runs on the caller's thread.
    pub fn progress(self, progress: &'a dyn Fn(&Progress<'_>)) -> Self {
        Self {
            progress: Some(progress),
            ..self
        }
    }

    /// Sets the function that says if the download must stop. The function is called about ten
    /// times a second, also while the network is silent, and from another thread.
    pub fn stop(self, stop: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self {
            stop: Some(stop),
            ..self
        }
    }

    pub(crate) fn report(&self, progress: &Progress<'_>) {
        if let Some(report) = self.progress {
            report(progress);
        }
    }

    pub(crate) fn stop_function(&self) -> Option<&'a (dyn Fn() -> bool + Sync)> {
        self.stop
    }
}

impl fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("progress", &self.progress.is_some())
            .field("stop", &self.stop.is_some())
            .finish()
    }
}
