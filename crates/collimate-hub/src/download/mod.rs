//! Downloads into the cache.

mod api;
mod check;
mod client;
mod fault;
mod fetch;
mod hash;
mod link;
mod lock;
mod part;
mod refusal;
mod retry;
mod stop;
mod url;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use collimate_files::{FileError, atomic_write, remove_unfinished};

use self::api::{commit, listing};
use self::client::Client;
use self::fetch::fetch;
use self::stop::Stop;
use crate::cache::RepoFolder;
use crate::index::{is_index, shards};
use crate::listing::Listing;
use crate::{Hub, HubError, Progress, RepoName, Wanted, Watch, path};

/// Content of the file that tells backup programs to skip the cache.
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This file marks the folder as a cache. See https://bford.info/cachedir/\n";

impl Hub {
    /// Downloads what the cache lacks, and returns the folder of the commit. Without `known` the hub
    /// is asked for the commit.
    pub(crate) fn download(
        &self,
        repo: &RepoName,
        known: Option<&str>,
        wanted: &Wanted,
        watch: &Watch<'_>,
    ) -> Result<PathBuf, HubError> {
        let token = self.token.token()?;
        let stop = Stop::default();
        let client = Client::new(self, repo, token, &stop);
        let agent = client.agent();
        stop.watched(watch, agent, || {
            let job = Job {
                hub: self,
                repo,
                folder: RepoFolder::new(&self.cache, repo),
                client: &client,
                stop: &stop,
                watch,
            };
            job.run(known, wanted)
        })
    }
}

/// One download of one repository.
struct Job<'a> {
    hub: &'a Hub,
    repo: &'a RepoName,
    folder: RepoFolder,
    client: &'a Client<'a>,
    stop: &'a Stop,
    watch: &'a Watch<'a>,
}

impl Job<'_> {
    /// Writes the listing, then the files, and the reference last: at every moment a reader finds
    /// either a whole file or none, and a reference only to a complete download.
    fn run(&self, known: Option<&str>, wanted: &Wanted) -> Result<PathBuf, HubError> {
        let commit = match self.repo.commit().or(known) {
            Some(commit) => commit.to_owned(),
            None => commit(self.client)?,
        };
        let listing = self.listing(&commit)?;
        let (named, all) = wanted.choose(self.repo, &listing)?;
        let snapshot = self.folder.snapshot(&commit);
        create(&snapshot)?;
        // An index is small and names the files that follow.
        let (indexes, others): (Vec<&str>, Vec<&str>) = all
            .iter()
            .partition(|name| named.contains(*name) && is_index(name));
        for (number, name) in (1..).zip(&indexes) {
            self.file(&commit, &listing, name, number, all.len())?;
        }
        let mut rest: BTreeSet<String> = others.iter().map(|&name| name.to_owned()).collect();
        for index in &indexes {
            rest.extend(shards(index, &path::join(&snapshot, index)?)?);
        }
        for name in &indexes {
            rest.remove(*name);
        }
        let files = indexes.len() + rest.len();
        for (number, name) in (indexes.len() + 1..).zip(&rest) {
            self.file(&commit, &listing, name, number, files)?;
        }
        self.note_absent(wanted, &listing, &commit)?;
        self.write_reference(&commit)?;
        Ok(snapshot)
    }

    /// Returns the listing of a commit, from the cache if it is there. A commit never changes.
    fn listing(&self, commit: &str) -> Result<Listing, HubError> {
        let at = self.folder.listing_path(commit);
        if let Some(listing) = Listing::read(&at) {
            return Ok(listing);
        }
        let listing = listing(self.client, commit)?;
        self.tag_cache()?;
        replace(&at, &listing.to_json())?;
        Ok(listing)
    }

    fn file(
        &self,
        commit: &str,
        listing: &Listing,
        name: &str,
        number: usize,
        files: usize,
    ) -> Result<(), HubError> {
        let Some(entry) = listing.get(name) else {
            return Err(listing.lacks(self.repo, &[name.to_owned()]));
        };
        let report = |received: u64| {
            self.watch.report(&Progress {
                file: name,
                number,
                files,
                received,
                size: entry.size(),
            });
        };
        fetch(self, commit, name, entry, &report)
    }

    fn tag_cache(&self) -> Result<(), HubError> {
        let tag = self.folder.cache().join("CACHEDIR.TAG");
        match tag.exists() {
            true => Ok(()),
            false => replace(&tag, TAG.as_bytes()),
        }
    }

    /// Marks named files that the commit lacks, as `huggingface_hub` does after a 404.
    fn note_absent(
        &self,
        wanted: &Wanted,
        listing: &Listing,
        commit: &str,
    ) -> Result<(), HubError> {
        let named = wanted.groups().flatten().chain(wanted.optional());
        for name in named.filter(|name| !listing.has(name)) {
            let mark = self.folder.no_exist(commit, name)?;
            if !mark.exists() {
                if let Some(folder) = mark.parent() {
                    create(folder)?;
                }
                fs::write(&mark, "").map_err(failed(&mark))?;
            }
        }
        Ok(())
    }

    fn write_reference(&self, commit: &str) -> Result<(), HubError> {
        if self.repo.commit().is_some() {
            return Ok(());
        }
        let at = self.folder.reference()?;
        match fs::read(&at) {
            Ok(old) if old == commit.as_bytes() => Ok(()),
            _ => replace(&at, commit.as_bytes()),
        }
    }
}

/// Writes a small file whole, creates the folder if needed, and removes what killed writers left.
fn replace(at: &Path, bytes: &[u8]) -> Result<(), HubError> {
    if let Some(folder) = at.parent() {
        create(folder)?;
        remove_unfinished(folder)?;
    }
    Ok(atomic_write(at, bytes)?)
}

fn create(folder: &Path) -> Result<(), HubError> {
    fs::create_dir_all(folder).map_err(failed(folder))
}

/// Makes the error of an operation on a file.
fn failed(path: &Path) -> impl Fn(std::io::Error) -> HubError + '_ {
    move |source| {
        HubError::File(FileError {
            path: path.to_owned(),
            source,
        })
    }
}
