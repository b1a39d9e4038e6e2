//! Errors of labelling, each on one line.

use std::path::PathBuf;

use collimate_core::OptionError;
use collimate_files::FileError;
use thiserror::Error;

/// An error of a labelling session or of the files beside it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LabelError {
    /// An option out of range.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// An invalid name of a labeller.
    #[error("labeller {name:?}: {allowed}")]
    Name {
        /// The name.
        name: String,
        /// The names that are allowed.
        allowed: &'static str,
    },
    /// No pair to label.
    #[error("no pair to label: give rows with a prompt and two different answers")]
    NoPairs,
    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A journal line that does not follow from the lines above it.
    #[error("{}, line {line}: {what}", .path.display())]
    Journal {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Description of the fault and its remedy.
        what: String,
    },
    /// An event that does not fit the session.
    #[error("{0}")]
    Misfit(String),
    /// A journal that another program is writing.
    #[error(
        "{}: another labelling session writes this file: stop that session, or give another --out",
        .path.display()
    )]
    Locked {
        /// The journal.
        path: PathBuf,
    },
    /// A file of labels without the journal that it comes from.
    #[error(
        "{}: the file exists, but its journal {} does not: give another --out, so that no label is \
         lost",
        .path.display(),
        .journal.display()
    )]
    Unknown {
        /// The file of labels.
        path: PathBuf,
        /// The journal that is missing.
        journal: PathBuf,
    },
    /// A decision on a pair that is no longer the next pair to decide.
    #[error("this pair is no longer the current one: another tab has decided or undone a pair")]
    Stale,
    /// A decision or undo if no pair is left to decide or no decision is left to take back.
    #[error("nothing is left to {0}")]
    Nothing(&'static str),
    /// An address that other computers can reach.
    #[error("address {0}: only this computer may reach the page: give 127.0.0.1 or ::1")]
    NotLoopback(std::net::IpAddr),
    /// A port that is not available.
    #[error("port {port}: {why}: give another --port, or 0 for any free port")]
    Port {
        /// The port.
        port: u16,
        /// Reason given by the system.
        why: std::io::Error,
    },
    /// Random numbers are not available from the system.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}
