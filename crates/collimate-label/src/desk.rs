//! A session with its files. A decision is on disk before the request is answered.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use collimate_files::{FileError, atomic_write};

use crate::error::LabelError;
use crate::event::{Choice, Event};
use crate::journal::{Journal, Resumed, journal_path};
use crate::measure::Progress;
use crate::session::{Session, Shown};

/// A session with its journal and its file of labels.
///
/// Every decision carries the token of the pair that was shown. A token is valid for one decision.
/// A second tab, a double click or the back button of a browser can therefore neither decide twice
/// nor decide another pair.
#[derive(Debug)]
pub struct Desk {
    session: Session,
    journal: Journal,
    out: PathBuf,
    secret: [u8; 32],
}

impl Desk {
    /// Opens the file of labels `out` and its journal, and continues where the journal ends.
    ///
    /// # Errors
    /// [`LabelError::Locked`] while another program labels into the same file;
    /// [`LabelError::Unknown`] for a file of labels without a journal; [`LabelError::Journal`] for
    /// a journal of other pairs or with an invalid line; [`LabelError::File`].
    pub fn open(mut session: Session, out: &Path) -> Result<(Self, Resumed), LabelError> {
        let path = journal_path(out);
        if out.exists() && !path.exists() {
            return Err(LabelError::Unknown {
                path: out.to_owned(),
                journal: path,
            });
        }
        let (journal, resumed) = Journal::open(&path, &mut session)?;
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| LabelError::Random(error.to_string()))?;
        let desk = Self {
            session,
            journal,
            out: out.to_owned(),
            secret,
        };
        if resumed.events > 0 {
            // The program may have been killed between the journal and the labels.
            desk.write_labels()?;
        }
        Ok((desk, resumed))
    }

    /// Returns the session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Returns the progress of a labeller.
    pub fn progress(&mut self, labeller: &str) -> Progress {
        self.session.progress(labeller)
    }

    /// Returns the file of labels.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// Returns the next pair for the labeller; `None` after the last.
    pub fn next(&mut self, labeller: &str) -> Option<Shown<'_>> {
        self.session.next(labeller)
    }

    /// Returns the token of the labeller's next decision or undo.
    pub fn token(&self, labeller: &str) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(&self.session.version(labeller).to_le_bytes());
        hasher.update(labeller.as_bytes());
        hasher.finalize().to_hex()[..32].to_owned()
    }

    /// Records a decision on the pair that was shown with the token.
    ///
    /// # Errors
    /// [`LabelError::Stale`] for the token of an earlier pair; [`LabelError::Nothing`] after the
    /// last pair; [`LabelError::File`] if the decision or the labels cannot be written.
    pub fn decide(
        &mut self,
        labeller: &str,
        token: &str,
        choice: Choice,
        seconds: f64,
    ) -> Result<(), LabelError> {
        self.check(labeller, token)?;
        let event = self.session.decision(labeller, choice, seconds, now())?;
        self.keep(&event)
    }

    /// Takes back the labeller's last decision.
    ///
    /// # Errors
    /// As [`Desk::decide`].
    pub fn undo(&mut self, labeller: &str, token: &str) -> Result<(), LabelError> {
        self.check(labeller, token)?;
        let event = self.session.undoing(labeller, now())?;
        self.keep(&event)
    }

    fn check(&self, labeller: &str, token: &str) -> Result<(), LabelError> {
        match self.token(labeller) == token {
            true => Ok(()),
            false => Err(LabelError::Stale),
        }
    }

    /// Applies an event to the journal first, then to memory, then to the labels.
    fn keep(&mut self, event: &Event) -> Result<(), LabelError> {
        self.journal.append(event)?;
        self.session.apply(event)?;
        self.write_labels()
    }

    fn write_labels(&self) -> Result<(), LabelError> {
        let mut text = Vec::new();
        for label in self.session.labels() {
            serde_json::to_writer(&mut text, &label).map_err(|error| FileError {
                path: self.out.clone(),
                source: io::Error::from(error),
            })?;
            text.push(b'\n');
        }
        Ok(atomic_write(&self.out, &text)?)
    }
}

/// Returns the seconds since 1970, or 0 if the clock of the machine is set to an earlier time.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
