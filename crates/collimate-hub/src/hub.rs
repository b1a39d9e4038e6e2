//! The cache of a hub, and the hub behind the cache.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cache::{RepoFolder, State};
use crate::env::{Settings, endpoint};
use crate::token::TokenFrom;
use crate::{HubError, RepoName, Token, Wanted, Watch};

/// A hub and the local cache of its repositories.
///
/// # Examples
/// ```
/// use collimate_hub::{Hub, HubError, RepoKind, RepoName, Wanted, Watch};
///
/// let empty = std::env::temp_dir().join(format!("collimate-hub-{}", std::process::id()));
/// let hub = Hub::from_env()?.cache(empty).offline(true);
/// let name = RepoName::parse(RepoKind::Model, "Qwen/Qwen3-0.6B")?;
/// let wanted = Wanted::new().require("config.json");
/// assert_eq!(hub.cached(&name, &wanted)?, None);
/// let error = hub.folder(&name, &wanted, &Watch::default()).unwrap_err();
/// assert!(matches!(error, HubError::Offline { .. }), "{error}");
/// # Ok::<(), collimate_hub::HubError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Hub {
    pub(crate) cache: PathBuf,
    pub(crate) endpoint: String,
    pub(crate) token: TokenFrom,
    pub(crate) offline: bool,
    pub(crate) update: bool,
    pub(crate) symlinks: bool,
    pub(crate) timeout: Duration,
    pub(crate) retries: usize,
    pub(crate) first_wait: Duration,
}

impl Hub {
    /// Takes the options from the environment variables that `huggingface_hub` 2.4 reads. The
    /// README lists the variables.
    ///
    /// # Errors
    /// [`HubError::Setting`] if a variable is invalid.
    pub fn from_env() -> Result<Self, HubError> {
        Self::from_vars(&|name| std::env::var_os(name))
    }

    /// Takes the options from variables that a function returns.
    ///
    /// # Errors
    /// [`HubError::Setting`] if a variable is invalid.
    pub fn from_vars(get: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, HubError> {
        let settings = Settings::read(get)?;
        Ok(Self {
            cache: settings.cache,
            endpoint: settings.endpoint,
            token: settings.token,
            offline: settings.offline,
            update: false,
            symlinks: settings.symlinks,
            timeout: settings.timeout.unwrap_or(Duration::from_secs(30)),
            retries: 5,
            first_wait: Duration::from_secs(1),
        })
    }

    /// Sets the folder of the cache. The folder need not exist.
    pub fn cache(mut self, cache: impl Into<PathBuf>) -> Self {
        self.cache = cache.into();
        self
    }

    /// Sets the URL of the hub.
    ///
    /// # Errors
    /// [`HubError::Setting`] unless the URL starts with `http://` or `https://` and has neither a
    /// user nor a query.
    pub fn endpoint(mut self, url: &str) -> Result<Self, HubError> {
        self.endpoint = endpoint("endpoint", url)?;
        Ok(self)
    }

    /// Sets the token, or sends none.
    pub fn token(mut self, token: Option<Token>) -> Self {
        self.token = token.map_or(TokenFrom::Nowhere, TokenFrom::Value);
        self
    }

    /// If true, the network is never used.
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// If true, the hub is asked for the newest commit of a branch or tag, even if the cache holds
    /// an older commit with all wanted files. The default is false.
    pub fn update(mut self, update: bool) -> Self {
        self.update = update;
        self
    }

    /// Sets the longest silence of a server. The default is 30 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the number of repetitions of a failed request and the first wait, which doubles each
    /// time. The default is 5 repetitions and 1 second. A download that receives new bytes starts
    /// the count again.
    pub fn retries(mut self, retries: usize, first_wait: Duration) -> Self {
        self.retries = retries;
        self.first_wait = first_wait;
        self
    }

    /// Returns the folder of the cache.
    pub fn cache_folder(&self) -> &Path {
        &self.cache
    }

    /// Returns the local folder of a repository if the cache holds every required file. The network
    /// is not used.
    ///
    /// If the cache holds the hub's list of files, all wanted files must be there, each with its
    /// size. Without the list, files that are optional or chosen by a predicate may be absent.
    ///
    /// # Errors
    /// [`HubError::NoFile`] if the list says that the repository lacks a required file. Other
    /// errors if a wanted path is unsafe, or the cache is unreadable or damaged.
    pub fn cached(&self, repo: &RepoName, wanted: &Wanted) -> Result<Option<PathBuf>, HubError> {
        let state = self.state(repo, wanted)?;
        Ok(state.filter(State::is_usable).map(|state| state.folder))
    }

    /// Returns the local folder of a repository with all wanted files, and downloads the files that
    /// are missing.
    ///
    /// The network is not used if the cache certainly holds all wanted files. If the cache holds
    /// every required file, but not the hub's list of files, the hub is asked for the list. If the
    /// hub then does not answer, refuses access or no longer has the commit, the cached folder is
    /// returned with a warning in the log.
    ///
    /// # Errors
    /// [`HubError::Offline`] if files are missing and the network may not be used, or the crate is
    /// built without the feature `download`. Other errors name the file or URL and the remedy.
    pub fn folder(
        &self,
        repo: &RepoName,
        wanted: &Wanted,
        watch: &Watch<'_>,
    ) -> Result<PathBuf, HubError> {
        let state = self.state(repo, wanted);
        let moves = repo.commit().is_none();
        let network = cfg!(feature = "download") && !self.offline;
        let state = match state {
            Ok(Some(state)) if state.is_complete() && !(self.update && moves) => {
                return Ok(state.folder);
            }
            // A branch may have a newer commit with a file that the cached commit lacks.
            Err(HubError::NoFile { .. }) if moves && network => None,
            state => state?,
        };
        let usable = state.as_ref().filter(|state| state.is_usable());
        if !network {
            let Some(usable) = usable else {
                return Err(self.absent(repo, wanted, state));
            };
            unverified(repo, usable, &"the network is not used");
            return Ok(usable.folder.clone());
        }
        // Only the list of files is missing, so the cached commit stays.
        let commit = usable
            .filter(|_| !self.update)
            .map(|state| state.commit.as_str());
        match (self.download(repo, commit, wanted, watch), usable) {
            (Err(error), Some(usable)) if cache_serves(&error) => {
                unverified(repo, usable, &error);
                Ok(usable.folder.clone())
            }
            (result, _) => result,
        }
    }

    fn state(&self, repo: &RepoName, wanted: &Wanted) -> Result<Option<State>, HubError> {
        wanted.check()?;
        RepoFolder::new(&self.cache, repo).state(wanted)
    }

    fn absent(&self, repo: &RepoName, wanted: &Wanted, state: Option<State>) -> HubError {
        let missing = match state {
            Some(state) => state.missing,
            None => {
                let groups = wanted.groups().map(|group| group.join(" or "));
                let missing: Vec<String> = groups.collect();
                match missing.is_empty() {
                    true => vec!["the revision".to_owned()],
                    false => missing,
                }
            }
        };
        HubError::Offline {
            repo: repo.to_string(),
            cache: self.cache.clone(),
            missing,
            remedy: match cfg!(feature = "download") {
                true => {
                    "unset HF_HUB_OFFLINE to download, or copy the cache from a machine that \
                         has the files"
                }
                false => {
                    "this build cannot download: download with another client, or build with \
                          the feature download"
                }
            },
        }
    }

    #[cfg(not(feature = "download"))]
    fn download(
        &self,
        repo: &RepoName,
        _: Option<&str>,
        wanted: &Wanted,
        _: &Watch<'_>,
    ) -> Result<PathBuf, HubError> {
        Err(self.absent(repo, wanted, None))
    }
}

/// Returns true for errors that say nothing against the files in the cache.
fn cache_serves(error: &HubError) -> bool {
    matches!(
        error,
        HubError::Network { .. }
            | HubError::Refused { .. }
            | HubError::Status { .. }
            | HubError::NoRepository { .. }
            | HubError::NoRevision { .. }
    )
}

fn unverified(repo: &RepoName, state: &State, reason: &dyn std::fmt::Display) {
    if !state.is_complete() {
        let unknown = state.unknown.join(", ");
        tracing::warn!(%repo, %unknown, %reason, "the cache may lack optional files");
    } else {
        tracing::warn!(%repo, %reason, "the hub may have a newer commit");
    }
}
