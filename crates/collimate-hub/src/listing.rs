//! The list of all files of a commit, as `huggingface_hub` 2.4 keeps it in the cache.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{HubError, RepoName, path};

/// Largest size of a listing in bytes.
const MOST_BYTES: u64 = 256 << 20;
/// Version of the format of the file.
const VERSION: u32 = 1;

/// The files of one commit. The order of the fields is that of the file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Listing {
    format_version: u32,
    files: BTreeMap<String, Entry>,
}

/// One file of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Size in bytes.
    size: u64,
    /// SHA-1 of the git object. For a file of LFS, the object is the pointer.
    blob_id: String,
    /// SHA-256 of a file of LFS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lfs_sha256: Option<String>,
    /// Size of a file of LFS in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lfs_size: Option<u64>,
    /// Key of the file in the Xet store. This crate only keeps the key for other readers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    xet_hash: Option<String>,
}

impl Entry {
    /// Makes an entry, or returns the problem of the numbers.
    pub(crate) fn new(
        size: u64,
        blob_id: String,
        lfs: Option<(String, u64)>,
        xet_hash: Option<String>,
    ) -> Result<Self, &'static str> {
        let (lfs_sha256, lfs_size) = lfs.unzip();
        let entry = Self {
            size,
            blob_id,
            lfs_sha256,
            lfs_size,
            xet_hash: xet_hash.filter(|hash| path::is_hex(hash, 64)),
        };
        match entry.problem() {
            None => Ok(entry),
            Some(problem) => Err(problem),
        }
    }

    fn problem(&self) -> Option<&'static str> {
        if !path::is_hex(&self.blob_id, 40) {
            return Some("the id of the git object is not a SHA-1");
        }
        match (&self.lfs_sha256, self.lfs_size) {
            (None, None) => None,
            (Some(sha256), Some(_)) if path::is_hex(sha256, 64) => None,
            _ => Some("the LFS file has no SHA-256 and size"),
        }
    }

    /// Returns the name of the content in the cache: SHA-256 for LFS, else the id of the git object.
    pub(crate) fn etag(&self) -> &str {
        self.lfs_sha256.as_ref().unwrap_or(&self.blob_id)
    }

    /// Returns true if the content is identified by a SHA-256.
    pub(crate) fn is_lfs(&self) -> bool {
        self.lfs_sha256.is_some()
    }

    /// Returns the size of the content in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.lfs_size.unwrap_or(self.size)
    }
}

impl Listing {
    pub(crate) fn new(files: BTreeMap<String, Entry>) -> Self {
        Self {
            format_version: VERSION,
            files,
        }
    }

    /// Reads a listing. A listing that is absent, of another version or damaged gives `None`.
    pub(crate) fn read(at: &Path) -> Option<Self> {
        let file = File::open(at).ok()?;
        let ignored = |problem: &dyn std::fmt::Display| {
            tracing::warn!(path = %at.display(), %problem, "listing of the cache ignored");
        };
        let length = file.metadata().ok()?.len();
        if length > MOST_BYTES {
            ignored(&"larger than 256 MiB");
            return None;
        }
        let reader = BufReader::new(file.take(MOST_BYTES));
        let listing: Self = serde_json::from_reader(reader)
            .inspect_err(|error| ignored(error))
            .ok()?;
        if listing.format_version != VERSION {
            ignored(&"the version of the format is unknown");
            return None;
        }
        match listing.files.values().find_map(Entry::problem) {
            None => Some(listing),
            Some(problem) => {
                ignored(&problem);
                None
            }
        }
    }

    /// Returns the content of the file in the cache.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let value = serde_json::to_vec_pretty(self);
        value.unwrap_or_default()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.files.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Makes the error for files that the repository lacks.
    pub(crate) fn lacks(&self, repo: &RepoName, wanted: &[String]) -> HubError {
        HubError::NoFile {
            repo: repo.to_string(),
            wanted: wanted.to_vec(),
            has: self.names().map(str::to_owned).collect(),
        }
    }
}
