//! Names of repositories.

use std::fmt;

use crate::HubError;
use crate::path;

/// Longest owner and longest name in bytes, as the hub allows.
const MOST_NAME: usize = 96;
/// Longest revision in bytes.
const MOST_REVISION: usize = 255;

/// Kind of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RepoKind {
    /// A model.
    Model,
    /// A data set.
    Dataset,
}

impl RepoKind {
    /// Returns the plural that the hub uses in the cache and in URLs of the API.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }

    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Dataset => "data set",
        }
    }
}

/// Name of a repository: `owner/name`, or `owner/name@revision`.
///
/// The revision is a branch, a tag, a reference such as `refs/convert/parquet`, or a commit. The
/// default is `main`. Every accepted name stays inside the cache folder.
///
/// # Examples
/// ```
/// use collimate_hub::{RepoKind, RepoName};
/// let name = RepoName::parse(RepoKind::Model, "Qwen/Qwen3-0.6B@main")?;
/// assert_eq!((name.owner(), name.name(), name.revision()), (Some("Qwen"), "Qwen3-0.6B", "main"));
/// assert!(RepoName::parse(RepoKind::Model, "gpt2").is_err());
/// assert_eq!(RepoName::without_owner(RepoKind::Model, "gpt2")?.to_string(), "gpt2");
/// assert!(RepoName::parse(RepoKind::Dataset, "../etc/passwd").is_err());
/// # Ok::<(), collimate_hub::HubError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepoName {
    kind: RepoKind,
    owner: Option<String>,
    name: String,
    revision: String,
}

impl RepoName {
    /// Reads `owner/name` or `owner/name@revision`.
    ///
    /// # Errors
    /// [`HubError::Name`] for any other text.
    pub fn parse(kind: RepoKind, text: &str) -> Result<Self, HubError> {
        let refuse = |problem: String| Err(refusal(text, problem));
        let (repository, revision) = split(text);
        let Some((owner, name)) = repository.split_once('/') else {
            return refuse("the form is owner/name or owner/name@revision".into());
        };
        if name.contains('/') {
            return refuse("it has more than one slash; the form is owner/name".into());
        }
        if let Some(problem) = part_problem("owner", owner).or_else(|| part_problem("name", name)) {
            return refuse(problem);
        }
        Self::build(kind, text, Some(owner), name, revision)
    }

    /// Reads the name of a repository without an owner: `name` or `name@revision`. The hub has a
    /// few such names, for example `gpt2`. [`RepoName::parse`] refuses them, because most such
    /// texts are names of local folders.
    ///
    /// # Errors
    /// [`HubError::Name`] for any other text.
    pub fn without_owner(kind: RepoKind, text: &str) -> Result<Self, HubError> {
        let (name, revision) = split(text);
        if let Some(problem) = part_problem("name", name) {
            return Err(refusal(text, problem));
        }
        Self::build(kind, text, None, name, revision)
    }

    fn build(
        kind: RepoKind,
        text: &str,
        owner: Option<&str>,
        name: &str,
        revision: Option<&str>,
    ) -> Result<Self, HubError> {
        let revision = revision.unwrap_or("main");
        if let Some(problem) = revision_problem(revision) {
            return Err(refusal(text, problem));
        }
        Ok(Self {
            kind,
            owner: owner.map(str::to_owned),
            name: name.to_owned(),
            revision: revision.to_owned(),
        })
    }

    /// Returns the same repository at another revision.
    ///
    /// # Errors
    /// [`HubError::Name`] if the revision is invalid.
    pub fn at(&self, revision: &str) -> Result<Self, HubError> {
        let text = format!("{}@{revision}", self.repository());
        let owner = self.owner.as_deref();
        Self::build(self.kind, &text, owner, &self.name, Some(revision))
    }

    /// Returns the kind of the repository.
    pub fn kind(&self) -> RepoKind {
        self.kind
    }

    /// Returns the user or organization, if the name has one.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Returns the name after the owner.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the revision: `main` unless the text had one.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Returns the revision if it is the full hash of a commit.
    pub fn commit(&self) -> Option<&str> {
        Some(self.revision.as_str()).filter(|revision| path::is_commit(revision))
    }

    /// Returns `owner/name`, or the name if there is no owner.
    pub fn repository(&self) -> String {
        match &self.owner {
            Some(owner) => format!("{owner}/{}", self.name),
            None => self.name.clone(),
        }
    }

    /// Returns the name of the repository's folder in the cache.
    pub(crate) fn folder(&self) -> String {
        let kind = self.kind.plural();
        match &self.owner {
            Some(owner) => format!("{kind}--{owner}--{}", self.name),
            None => format!("{kind}--{}", self.name),
        }
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository())?;
        match self.revision.as_str() {
            "main" => Ok(()),
            revision => write!(f, "@{revision}"),
        }
    }
}

fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once('@') {
        Some((repository, revision)) => (repository, Some(revision)),
        None => (text, None),
    }
}

fn refusal(text: &str, problem: String) -> HubError {
    HubError::Name {
        name: text.chars().take(MOST_NAME).collect(),
        problem,
    }
}

/// Returns the problem of an owner or a name under the rules of the hub.
fn part_problem(part: &str, text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let edge = |byte: Option<u8>| matches!(byte, Some(b'-' | b'.'));
    let bytes = text.as_bytes();
    let problem = match text {
        "" => "is empty",
        _ if text.len() > MOST_NAME => "has more than 96 characters",
        _ if !text.bytes().all(allowed) => "has characters other than letters, digits, - _ and .",
        _ if edge(bytes.first().copied()) || edge(bytes.last().copied()) => {
            "starts or ends with - or ."
        }
        _ if text.contains("--") || text.contains("..") => "has -- or ..",
        _ if part == "name" && text.ends_with(".git") => "ends with .git",
        _ => return None,
    };
    Some(format!("the {part} {problem}"))
}

/// Returns the problem of a revision: git's rules for references, and those of safe paths.
fn revision_problem(text: &str) -> Option<String> {
    let forbidden = |character: char| {
        character.is_whitespace()
            || matches!(
                character,
                ':' | '*' | '?' | '"' | '<' | '>' | '|' | '~' | '^' | '[' | '@'
            )
    };
    let problem = if text.len() > MOST_REVISION {
        "has more than 255 bytes"
    } else if let Some(problem) = path::problem(text) {
        return Some(format!("the revision {text:?} is unsafe: {problem}"));
    } else if text.chars().any(forbidden) {
        "has a space or one of : * ? \" < > | ~ ^ [ @"
    } else if text.contains("..") || text.starts_with('-') {
        "has .. or starts with -"
    } else if text
        .split('/')
        .any(|part| part.starts_with('.') || part.ends_with('.') || part.ends_with(".lock"))
    {
        "has a segment that starts or ends with . or ends with .lock"
    } else {
        return None;
    };
    Some(format!("the revision {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_those_of_the_hub() {
        let folder = |kind, text| RepoName::parse(kind, text).unwrap().folder();
        assert_eq!(folder(RepoKind::Model, "a-b/c_d.e"), "models--a-b--c_d.e");
        assert_eq!(folder(RepoKind::Dataset, "a/b"), "datasets--a--b");
        let name = RepoName::without_owner(RepoKind::Model, "gpt2@v1").unwrap();
        assert_eq!(
            (name.folder().as_str(), name.revision()),
            ("models--gpt2", "v1")
        );
    }
}
