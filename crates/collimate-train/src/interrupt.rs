//! Requests to stop after the current step.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::{TrainError, signals};

/// A request to stop. Clones share the request.
///
/// [`fit`](crate::fit) checks it between steps. Once it is set, `fit` saves and returns
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
    /// Number of the latest signal; 0 before the first.
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Creates a request that only [`set`](Self::set) sets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the request that signals set. Every call returns the same request.
    ///
    /// | signal | the first sets the request | a later one ends the process at once, with status |
    /// |---|---|---|
    /// | SIGINT (Ctrl-C) | yes | 130 |
    /// | SIGTERM | yes | 143 |
    /// | SIGHUP (the terminal is closed) | yes | does nothing more |
    ///
    /// Signals within 0.1 seconds of the first count as one signal: `timeout` and schedulers send a
    /// signal to a process and again to the process group.
    ///
    /// A signal that is ignored when the process starts stays ignored, as `nohup` and `&` in a
    /// script without job control intend. The other signals are still handled. Systems without
    /// signals have Ctrl-C only.
    ///
    /// # Errors
    /// The system refuses a thread or all signal handlers.
    pub fn on_signals() -> Result<Self, TrainError> {
        static SIGNALS: OnceLock<Interrupt> = OnceLock::new();
        static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
        let interrupt = SIGNALS.get_or_init(Self::new).clone();
        match INSTALLED.get_or_init(|| signals::install(&interrupt.flag, &interrupt.signal)) {
            Ok(()) => Ok(interrupt),
            Err(reason) => Err(TrainError::objective(reason.clone())),
        }
    }

    /// Returns the number of the signal that asked to stop, or `None` if no signal did.
    pub fn signal(&self) -> Option<usize> {
        match self.signal.load(Ordering::SeqCst) {
            0 => None,
            number => Some(number),
        }
    }

    /// Requests a stop.
    pub fn set(&self) {
        self.flag.store(true, Ordering::SeqCst);
    }

    /// Returns true if a stop was requested.
    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }
}
