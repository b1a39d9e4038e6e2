//! The part of a file that has been received.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use collimate_files::sync_folder;

use super::check::{check, start};
use super::client::Subject;
use super::fault::Fault;
use super::hash::Hash;
use super::url::{encode, shown};
use super::{Job, failed};
use crate::HubError;
use crate::cache::size;
use crate::listing::Entry;

/// Number of bytes that are read at once.
const PIECE: usize = 128 << 10;

/// A file of which the first `received` bytes are on the disk.
///
/// Bytes are written at their own places, and the length is never above the size of the whole
/// file. So two writers without a lock write the same bytes to the same places.
pub(super) struct Part<'a> {
    job: &'a Job<'a>,
    name: &'a str,
    entry: &'a Entry,
    commit: &'a str,
    report: &'a dyn Fn(u64),
    path: PathBuf,
    file: File,
    hash: Hash,
    received: u64,
    /// The most bytes so far: a server that always starts again makes no progress.
    most: u64,
    /// False after a server has refused to continue in the middle of the file.
    ranges: bool,
}

impl<'a> Part<'a> {
    /// Opens the part that an earlier download has left, or an empty part.
    pub(super) fn open(
        job: &'a Job<'a>,
        commit: &'a str,
        name: &'a str,
        entry: &'a Entry,
        report: &'a dyn Fn(u64),
    ) -> Result<Self, HubError> {
        let path = job
            .folder
            .blobs()
            .join(format!("{}.incomplete", entry.etag()));
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed(&path))?;
        let mut part = Self {
            job,
            name,
            entry,
            commit,
            report,
            path,
            file,
            hash: Hash::new(entry),
            received: 0,
            most: 0,
            ranges: true,
        };
        part.read_old()?;
        Ok(part)
    }

    /// Computes the checksum of the bytes on the disk.
    fn read_old(&mut self) -> Result<(), HubError> {
        let fail = failed(&self.path);
        if self.file.metadata().map_err(&fail)?.len() > self.entry.size() {
            self.file.set_len(0).map_err(&fail)?;
        }
        let mut old = (&self.file).take(self.entry.size());
        let mut piece = vec![0; PIECE];
        loop {
            if self.job.stop.is_asked() {
                return Err(self.job.client.interrupted());
            }
            let count = match old.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(fail(error)),
            };
            self.hash.update(&piece[..count]);
            self.received += count as u64;
        }
        self.most = self.received;
        (self.report)(self.received);
        Ok(())
    }

    /// Receives the rest of the file. Attempts that bring new bytes start the count of attempts
    /// again.
    pub(super) fn receive(&mut self) -> Result<(), HubError> {
        let client = self.job.client;
        let url = self.url();
        while self.received < self.entry.size() {
            client.retry.run(client.stop, |attempt| {
                let before = self.most;
                match self.attempt(&url, attempt) {
                    Err(fault) if fault.again && self.most > before => {
                        tracing::info!(file = self.name, received = self.most, error = %fault.error,
                            "the connection ended; the download continues");
                        client.stop.wait(client.retry.first_wait);
                        Ok(())
                    }
                    result => result,
                }
            })?;
        }
        Ok(())
    }

    fn url(&self) -> String {
        let page = self.job.client.page();
        format!("{page}/resolve/{}/{}", self.commit, encode(self.name, "/"))
    }

    fn attempt(&mut self, url: &str, attempt: usize) -> Result<(), Fault> {
        let client = self.job.client;
        let offset = if self.ranges { self.received } else { 0 };
        let subject = Subject::File(self.name);
        let answer = match client.open(url, offset, subject, attempt) {
            Err(Fault {
                error: HubError::Status { status: 416, .. },
                ..
            }) if offset > 0 => {
                self.ranges = false;
                return self.attempt(url, attempt);
            }
            answer => answer?,
        };
        check(client, &answer, self.commit, self.entry)?;
        let Some(start) = start(client, &answer, offset, self.entry)? else {
            self.ranges = false;
            return Err(Fault::passing(HubError::Network {
                url: shown(&answer.url),
                attempts: attempt,
                problem: format!("the answer does not start at byte {offset}"),
            }));
        };
        if start != self.received {
            self.received = 0;
            self.hash = Hash::new(self.entry);
        }
        let at = answer.url.clone();
        let left = self.entry.size() - self.received;
        let body = answer.response.into_body().into_with_config();
        self.copy(body.reader(), left, &at, attempt)
    }

    fn copy(
        &mut self,
        mut body: impl Read,
        mut left: u64,
        url: &str,
        attempt: usize,
    ) -> Result<(), Fault> {
        let client = self.job.client;
        let seek = self.file.seek(SeekFrom::Start(self.received));
        seek.map_err(failed(&self.path))?;
        let mut piece = vec![0; PIECE];
        loop {
            if self.job.stop.is_asked() {
                return Err(client.interrupted().into());
            }
            let count = match body.read(&mut piece) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(client.lost(url, &error.into(), attempt)),
            };
            if count == 0 {
                break;
            }
            let Some(rest) = left.checked_sub(count as u64) else {
                let expected = format!("{} bytes", self.entry.size());
                return Err(self.other(expected, "more bytes".to_owned()).into());
            };
            left = rest;
            self.write(&piece[..count])?;
        }
        match left {
            0 => Ok(()),
            left => Err(client.lost(
                url,
                &io::Error::other(format!("the answer ended {left} bytes too early")).into(),
                attempt,
            )),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        self.file
            .write_all(bytes)
            .map_err(|error| self.unwritable(error))?;
        self.hash.update(bytes);
        self.received += bytes.len() as u64;
        self.most = self.most.max(self.received);
        (self.report)(self.received);
        Ok(())
    }

    fn unwritable(&self, error: io::Error) -> HubError {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => HubError::DiskFull {
                path: self.path.clone(),
                file: self.name.to_owned(),
                received: self.received,
                size: self.entry.size(),
            },
            _ => failed(&self.path)(error),
        }
    }

    /// Deletes the part and makes the error for content other than listed.
    fn other(&self, expected: String, got: String) -> HubError {
        // The first error is the one to report.
        let _ = fs::remove_file(&self.path);
        HubError::Checksum {
            file: self.name.to_owned(),
            expected,
            got,
        }
    }

    /// Checks the content and gives the content its final name.
    pub(super) fn finish(self, blob: &Path) -> Result<(), HubError> {
        let sum = self.hash.clone().finish();
        if sum != self.entry.etag() {
            let expected = format!("checksum {}", self.entry.etag());
            return Err(self.other(expected, format!("checksum {sum}")));
        }
        // The name must not be durable before the bytes are.
        self.file
            .sync_all()
            .map_err(|error| self.unwritable(error))?;
        match fs::rename(&self.path, blob) {
            // A process without a lock was faster.
            Err(_) if size(blob)? == Some(self.entry.size()) => {}
            renamed => renamed.map_err(failed(blob))?,
        }
        Ok(sync_folder(&self.job.folder.blobs())?)
    }
}
