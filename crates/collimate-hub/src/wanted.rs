//! The files that a caller needs of a repository.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::listing::Listing;
use crate::{HubError, RepoName, path};

type Predicate = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The files that a caller needs of a repository. Paths have `/` between the segments.
///
/// The files are named (required, one of several, or optional) or chosen by a predicate. If a named
/// file is an index (`*.safetensors.index.json`), the shards that the index lists are required too.
///
/// # Examples
/// ```
/// use collimate_hub::Wanted;
/// let wanted = Wanted::new()
///     .require("config.json")
///     .require_one_of(["model.safetensors", "model.safetensors.index.json"])
///     .allow("generation_config.json")
///     .matching(|path| !path.contains('/') && path.starts_with("tokenizer"));
/// # let _ = wanted;
/// ```
#[derive(Clone, Default)]
pub struct Wanted {
    required: Vec<String>,
    one_of: Vec<Vec<String>>,
    optional: Vec<String>,
    matching: Vec<Predicate>,
}

impl Wanted {
    /// Wants no file yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wants every file of the repository.
    pub fn everything() -> Self {
        Self::new().matching(|_| true)
    }

    /// Wants a file that must exist.
    pub fn require(mut self, path: impl Into<String>) -> Self {
        self.required.push(path.into());
        self
    }

    /// Wants the first file of a list that exists. One of the files must exist.
    pub fn require_one_of<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.one_of
            .push(paths.into_iter().map(Into::into).collect());
        self
    }

    /// Wants a file if the repository has it.
    pub fn allow(mut self, path: impl Into<String>) -> Self {
        self.optional.push(path.into());
        self
    }

    /// Wants every file whose path satisfies a predicate. Several predicates add up.
    pub fn matching(mut self, wants: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.matching.push(Arc::new(wants));
        self
    }

    /// Checks that the named paths are safe.
    pub(crate) fn check(&self) -> Result<(), HubError> {
        let one_of = self.one_of.iter().flatten();
        self.required
            .iter()
            .chain(one_of)
            .chain(&self.optional)
            .try_for_each(|name| path::check(name))
    }

    /// Returns true if only the list of all files tells which files are wanted.
    pub(crate) fn has_predicate(&self) -> bool {
        !self.matching.is_empty()
    }

    /// Returns the groups of names of which one must exist.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &[String]> {
        let single = self.required.iter().map(std::slice::from_ref);
        single.chain(self.one_of.iter().map(Vec::as_slice))
    }

    /// Returns the names of files that need not exist.
    pub(crate) fn optional(&self) -> &[String] {
        &self.optional
    }

    /// Returns the named files among those that `exists` knows.
    ///
    /// # Errors
    /// Returns the first group without a file.
    pub(crate) fn named(&self, exists: impl Fn(&str) -> bool) -> Result<BTreeSet<&str>, &[String]> {
        let mut chosen = BTreeSet::new();
        for group in self.groups() {
            match group.iter().find(|name| exists(name)) {
                Some(name) => chosen.insert(name.as_str()),
                None => return Err(group),
            };
        }
        let optional = self.optional.iter().map(String::as_str);
        chosen.extend(optional.filter(|name| exists(name)));
        Ok(chosen)
    }

    /// Chooses files of a listing: the named files, and all files.
    pub(crate) fn choose<'a>(
        &'a self,
        repo: &RepoName,
        listing: &'a Listing,
    ) -> Result<(BTreeSet<&'a str>, BTreeSet<&'a str>), HubError> {
        let named = self
            .named(|name| listing.has(name))
            .map_err(|group| listing.lacks(repo, group))?;
        let mut all = named.clone();
        let matches = |name: &&str| self.matching.iter().any(|wants| wants(name));
        all.extend(listing.names().filter(matches));
        // A server can list any path, so the chosen paths are checked.
        all.iter().try_for_each(|name| path::check(name))?;
        Ok((named, all))
    }
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wanted")
            .field("required", &self.required)
            .field("one_of", &self.one_of)
            .field("optional", &self.optional)
            .field("predicates", &self.matching.len())
            .finish()
    }
}
