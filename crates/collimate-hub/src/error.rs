//! Errors of names, of the cache and of downloads.

use std::path::PathBuf;

use collimate_files::FileError;
use thiserror::Error;

/// Number of file names that an error lists.
const MOST_NAMES: usize = 6;

/// Reason why a repository has no usable local folder. No variant contains the token or the query
/// of a signed URL.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HubError {
    /// A text is not the name of a repository.
    #[error("{name:?} is not a repository name: {problem}")]
    Name {
        /// The text.
        name: String,
        /// The problem and the expected form.
        problem: String,
    },
    /// A path of a file in a repository is unsafe or not a relative path.
    #[error("{path:?} is not a path inside a repository: {problem}")]
    Path {
        /// The path.
        path: String,
        /// The problem.
        problem: &'static str,
    },
    /// An environment variable, or an option with the same meaning, has an invalid value.
    #[error("{name}: {problem}")]
    Setting {
        /// Name of the variable or option.
        name: String,
        /// The problem and the remedy. The value of a token is never shown.
        problem: String,
    },
    /// Files are missing in the cache and the network may not be used.
    #[error("{repo} is not complete in the cache {}: {} {}; {remedy}", .cache.display(),
        names(.missing), is_are(.missing, "missing"))]
    Offline {
        /// Name of the repository, with the revision.
        repo: String,
        /// Folder of the cache.
        cache: PathBuf,
        /// The missing files.
        missing: Vec<String>,
        /// The remedy.
        remedy: &'static str,
    },
    /// The hub refuses access: status 401 or 403.
    #[error("{repo}: the hub refuses access ({status}): {advice}{}", said(.message))]
    Refused {
        /// Name of the repository, with the revision.
        repo: String,
        /// HTTP status.
        status: u16,
        /// The probable cause and the remedy.
        advice: String,
        /// Message of the hub, shortened.
        message: String,
    },
    /// The hub has no such repository: status 404.
    #[error(
        "{endpoint} has no {kind} {repo}: check the name; a private repository also needs \
        HF_TOKEN"
    )]
    NoRepository {
        /// URL of the hub.
        endpoint: String,
        /// `model` or `data set`.
        kind: &'static str,
        /// Name of the repository.
        repo: String,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{repo} has no revision {revision:?}: check the branch, tag or commit after the @")]
    NoRevision {
        /// Name of the repository.
        repo: String,
        /// The revision.
        revision: String,
    },
    /// The repository has none of the required files.
    #[error("{repo} has no file {}; the repository has {}", .wanted.join(" or "), names(.has))]
    NoFile {
        /// Name of the repository, with the revision.
        repo: String,
        /// The required file, or the alternatives.
        wanted: Vec<String>,
        /// Files of the repository.
        has: Vec<String>,
    },
    /// The hub answered with another status.
    #[error("{url} answered {status} after {}{}", times(*.attempts), said(.message))]
    Status {
        /// URL, without the query.
        url: String,
        /// HTTP status.
        status: u16,
        /// Number of attempts.
        attempts: usize,
        /// Message of the server, shortened.
        message: String,
    },
    /// No complete answer arrived.
    #[error("{url} gave no complete answer after {}: {problem}; check the network and HF_ENDPOINT, \
        or set HF_HUB_OFFLINE=1 to use the cache only", times(*.attempts))]
    Network {
        /// URL, without the query.
        url: String,
        /// Number of attempts.
        attempts: usize,
        /// Description of the last failure.
        problem: String,
    },
    /// A redirect cannot be followed.
    #[error("{url} redirects to {target}: {problem}")]
    Redirect {
        /// URL, without the query.
        url: String,
        /// Target, without the query.
        target: String,
        /// The problem.
        problem: &'static str,
    },
    /// An answer does not have the form of a hub's answer.
    #[error("{url} gave an answer that is not a hub's: {problem}; check HF_ENDPOINT")]
    Answer {
        /// URL, without the query.
        url: String,
        /// The problem.
        problem: String,
    },
    /// The received bytes are not the bytes that the hub lists. The part file is deleted.
    #[error(
        "{file}: the received bytes have {got}, but the hub lists {expected}; the download \
        was deleted, run the command again"
    )]
    Checksum {
        /// Path of the file in the repository.
        file: String,
        /// Checksum or size that the hub lists.
        expected: String,
        /// Checksum or size of the received bytes.
        got: String,
    },
    /// The disk is full. The received bytes are kept, and the next download continues them.
    #[error("{}: the disk is full at byte {received} of {size} of {file}; free space or set \
        HF_HUB_CACHE to another disk, then run the command again", .path.display())]
    DiskFull {
        /// Path of the part file.
        path: PathBuf,
        /// Path of the file in the repository.
        file: String,
        /// Number of bytes on the disk.
        received: u64,
        /// Number of bytes of the whole file.
        size: u64,
    },
    /// A file in the cache has content that no hub client writes.
    #[error("{}: {problem}; delete the file and run the command again", .path.display())]
    Content {
        /// Path of the file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// The caller asked to stop. The received bytes are kept, and the next download continues them.
    #[error("{repo}: interrupted; run the command again to continue the download")]
    Interrupted {
        /// Name of the repository, with the revision.
        repo: String,
    },
    /// The system refuses a file operation.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Joins the first names of a list.
fn names(list: &[String]) -> String {
    let shown = list.len().min(MOST_NAMES);
    let mut text = list[..shown].join(", ");
    match list.len() - shown {
        0 if list.is_empty() => text.push_str("no file"),
        0 => {}
        more => text.push_str(&format!(" and {more} more")),
    }
    text
}

fn is_are(list: &[String], state: &str) -> String {
    match list.len() {
        0 | 1 => format!("is {state}"),
        _ => format!("are {state}"),
    }
}

fn times(attempts: usize) -> String {
    match attempts {
        1 => "1 attempt".to_owned(),
        many => format!("{many} attempts"),
    }
}

fn said(message: &str) -> String {
    match message {
        "" => String::new(),
        text => format!("; the server says: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_shortened() {
        let list = |count: usize| (0..count).map(|i| i.to_string()).collect::<Vec<_>>();
        assert_eq!(names(&list(0)), "no file");
        assert_eq!(names(&list(2)), "0, 1");
        assert_eq!(names(&list(9)), "0, 1, 2, 3, 4, 5 and 3 more");
    }
}
