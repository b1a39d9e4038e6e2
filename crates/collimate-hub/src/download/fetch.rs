//! One file of a commit: received once, then linked.

use super::link::link;
use super::lock::lock;
use super::part::Part;
use super::{Job, create};
use crate::cache::size;
use crate::listing::Entry;
use crate::{HubError, path};

/// Puts a file into the folder of the commit unless the file is there with its size.
pub(super) fn fetch(
    job: &Job<'_>,
    commit: &str,
    name: &str,
    entry: &Entry,
    report: &dyn Fn(u64),
) -> Result<(), HubError> {
    let at = path::join(&job.folder.snapshot(commit), name)?;
    if size(&at)? == Some(entry.size()) {
        report(entry.size());
        return Ok(());
    }
    let blobs = job.folder.blobs();
    create(&blobs)?;
    let blob = blobs.join(entry.etag());
    let _lock = lock(job.client, &job.folder.lock(entry.etag()))?;
    // Another process may have finished while this process waited.
    if size(&blob)? == Some(entry.size()) {
        report(entry.size());
    } else {
        let mut part = Part::open(job, commit, name, entry, report)?;
        part.receive()?;
        part.finish(&blob)?;
    }
    // The folders of a commit: the commit, `snapshots`, and those of the file's own path.
    let depth = 2 + name.matches('/').count();
    link(&blob, &at, depth, entry.size(), job.hub.symlinks)
}
