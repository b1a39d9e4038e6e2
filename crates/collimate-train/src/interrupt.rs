//! Stopping after the current step.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::{TrainError, signals};

/// A wish to stop, shared by everybody who clones it.
///
/// [`fit`](crate::fit) looks at it between steps: it then saves and returns
/// [`TrainError::Interrupted`].
///
/// # Examples
/// ```
/// let interrupt = collimate_train::Interrupt::new();
/// assert!(!interrupt.is_set());
/// interrupt.clone().set();
/// assert!(interrupt.is_set());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    flag: Arc<AtomicBool>,
    /// Number of the signal that came last; 0 before any has come.
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// One that nothing but [`set`](Self::set) sets.
    pub fn new() -> Self {
        Self::default()
    }

    /// The one that signals set. Every call returns the same one.
    ///
    /// | signal | the first sets the wish to stop | a later one ends the process at once, with status |
    /// |---|---|---|
    /// | SIGINT (Ctrl-C) | yes | 130 |
    /// | SIGTERM | yes | 143 |
    /// | SIGHUP (the terminal is closed) | yes | does nothing more |
    ///
    /// Signals within 0.1 seconds of the first count as one signal: `timeout` and schedulers send a
    /// signal to a process and again to the group of the process.
    ///
    /// A signal that is ignored when the process starts stays ignored, as `nohup` and `&` in a
    /// script without job control mean it; the other signals are handled all the same. Systems
    /// without signals have Ctrl-C alone.
    ///
    /// # Errors
    /// When the system refuses a thread or a handler.
    pub fn on_signals() -> Result<Self, TrainError> {
        static SIGNALS: OnceLock<Interrupt> = OnceLock::new();
        static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
        let interrupt = SIGNALS.get_or_init(Self::new).clone();
        match INSTALLED.get_or_init(|| signals::install(&interrupt.flag, &interrupt.signal)) {
            Ok(()) => Ok(interrupt),
            Err(reason) => Err(TrainError::objective(reason.clone())),
        }
    }

    /// Returns the number of the signal that asked to stop; nothing where [`set`](Self::set) did.
    pub fn signal(&self) -> Option<usize> {
        match self.signal.load(Ordering::SeqCst) {
            0 => None,
            number => Some(number),
        }
    }

    /// Asks to stop.
    pub fn set(&self) {
        self.flag.store(true, Ordering::SeqCst);
    }

    /// True if somebody asked to stop.
    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }
}
