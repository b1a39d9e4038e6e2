//! The folder of one repository in the cache.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use collimate_files::FileError;

use crate::index::{is_index, shards};
use crate::listing::Listing;
use crate::{HubError, RepoName, Wanted, path};

/// Largest size of a file of `refs` in bytes.
const MOST_REF: u64 = 4096;

/// Paths of one repository in the cache.
#[derive(Debug, Clone)]
pub(crate) struct RepoFolder {
    cache: PathBuf,
    root: PathBuf,
    name: RepoName,
}

/// State of one commit in the cache.
#[derive(Debug)]
pub(crate) struct State {
    /// The commit.
    pub(crate) commit: String,
    /// Folder of the commit.
    pub(crate) folder: PathBuf,
    /// Wanted files that are absent.
    pub(crate) missing: Vec<String>,
    /// Wishes that only the hub's list of files can decide.
    pub(crate) unknown: Vec<String>,
}

impl State {
    /// Returns true if every wanted file is there for certain.
    pub(crate) fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.unknown.is_empty()
    }

    /// Returns true if every required file is there.
    pub(crate) fn is_usable(&self) -> bool {
        self.missing.is_empty()
    }
}

impl RepoFolder {
    pub(crate) fn new(cache: &Path, name: &RepoName) -> Self {
        Self {
            cache: cache.to_owned(),
            root: cache.join(name.folder()),
            name: name.clone(),
        }
    }

    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    pub(crate) fn listing_path(&self, commit: &str) -> PathBuf {
        self.root.join("trees").join(format!("{commit}.json"))
    }

    pub(crate) fn reference(&self) -> Result<PathBuf, HubError> {
        path::join(&self.root.join("refs"), self.name.revision())
    }

    /// Returns the place of the empty file that says that a commit lacks a file.
    pub(crate) fn no_exist(&self, commit: &str, name: &str) -> Result<PathBuf, HubError> {
        path::join(&self.root.join(".no_exist").join(commit), name)
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub(crate) fn lock(&self, etag: &str) -> PathBuf {
        let locks = self.cache.join(".locks").join(self.name.folder());
        locks.join(format!("{etag}.lock"))
    }

    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// Returns the commit of the revision, if the cache knows the commit.
    pub(crate) fn commit(&self) -> Result<Option<String>, HubError> {
        if let Some(commit) = self.name.commit() {
            return Ok(Some(commit.to_owned()));
        }
        let at = self.reference()?;
        let fail = |source| {
            HubError::File(FileError {
                path: at.clone(),
                source,
            })
        };
        let file = match File::open(&at) {
            Err(error) if is_absent(&error) => return Ok(None),
            file => file.map_err(fail)?,
        };
        if file.metadata().map_err(fail)?.is_dir() {
            return Ok(None);
        }
        let mut text = String::new();
        file.take(MOST_REF)
            .read_to_string(&mut text)
            .map_err(fail)?;
        match text.trim() {
            commit if path::is_commit(commit) => Ok(Some(commit.to_owned())),
            // The name joins a path, so any other text is refused.
            _ => Err(HubError::Content {
                path: at,
                problem: "the file does not hold the hash of a commit".into(),
            }),
        }
    }

    /// Compares the cache with the wanted files. Returns `None` if the cache has no folder of the
    /// revision.
    pub(crate) fn state(&self, wanted: &Wanted) -> Result<Option<State>, HubError> {
        let Some(commit) = self.commit()? else {
            return Ok(None);
        };
        let folder = self.snapshot(&commit);
        if !folder.is_dir() {
            return Ok(None);
        }
        let (missing, unknown) = match Listing::read(&self.listing_path(&commit)) {
            Some(listing) => (self.listed(&folder, wanted, &listing)?, Vec::new()),
            None => self.unlisted(&folder, &commit, wanted)?,
        };
        Ok(Some(State {
            commit,
            folder,
            missing,
            unknown,
        }))
    }

    /// Returns the wanted files that a folder lacks, by a complete list of files with their sizes.
    fn listed(
        &self,
        folder: &Path,
        wanted: &Wanted,
        listing: &Listing,
    ) -> Result<Vec<String>, HubError> {
        let (named, all) = wanted.choose(&self.name, listing)?;
        let present = |name: &str| -> Result<bool, HubError> {
            let size = size(&path::join(folder, name)?)?;
            Ok(size.is_some() && size == listing.get(name).map(|entry| entry.size()))
        };
        let mut missing = Vec::new();
        for name in &all {
            if !present(name)? {
                missing.push((*name).to_owned());
            }
        }
        for index in named.into_iter().filter(|name| is_index(name)) {
            if missing.iter().any(|name| name == index) {
                continue;
            }
            for shard in shards(index, &path::join(folder, index)?)? {
                if !listing.has(&shard) {
                    return Err(listing.lacks(&self.name, &[shard]));
                }
                if !present(&shard)? && !missing.contains(&shard) {
                    missing.push(shard);
                }
            }
        }
        Ok(missing)
    }

    /// Returns the named files that a folder lacks, and the wishes that stay unknown without a list.
    fn unlisted(
        &self,
        folder: &Path,
        commit: &str,
        wanted: &Wanted,
    ) -> Result<(Vec<String>, Vec<String>), HubError> {
        let exists = |name: &str| {
            let at = path::join(folder, name).ok();
            at.is_some_and(|at| matches!(size(&at), Ok(Some(_))))
        };
        let mut missing: Vec<String> = wanted
            .groups()
            .filter(|group| !group.iter().any(|name| exists(name)))
            .map(|group| group.join(" or "))
            .collect();
        let mut unknown = Vec::new();
        for name in wanted.optional().iter().filter(|name| !exists(name)) {
            if !self.no_exist(commit, name)?.is_file() {
                unknown.push(name.clone());
            }
        }
        if wanted.has_predicate() {
            unknown.push("files chosen by a predicate".to_owned());
        }
        for index in wanted.named(exists).unwrap_or_default() {
            if is_index(index) {
                let shards = shards(index, &path::join(folder, index)?)?;
                missing.extend(shards.into_iter().filter(|shard| !exists(shard)));
            }
        }
        Ok((missing, unknown))
    }
}

/// Returns the size of a file behind any links, or `None` if there is no such file.
pub(crate) fn size(at: &Path) -> Result<Option<u64>, HubError> {
    match fs::metadata(at) {
        Ok(found) => Ok(found.is_file().then_some(found.len())),
        Err(error) if is_absent(&error) => Ok(None),
        Err(source) => Err(HubError::File(FileError {
            path: at.to_owned(),
            source,
        })),
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
