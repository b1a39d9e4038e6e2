//! Stopping after the current step.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::TrainError;

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
}

impl Interrupt {
    /// One that nothing but [`set`](Self::set) sets.
    pub fn new() -> Self {
        Self::default()
    }

    /// The one that Ctrl-C and SIGTERM set. A second signal ends the process at once, with
    /// status 130. Every call returns the same one.
    ///
    /// # Errors
    /// When the process already has another handler.
    pub fn on_signals() -> Result<Self, TrainError> {
        static SIGNALS: OnceLock<Interrupt> = OnceLock::new();
        let interrupt = SIGNALS.get_or_init(Self::new).clone();
        static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
        let shared = interrupt.clone();
        let installed = INSTALLED.get_or_init(|| {
            ctrlc::try_set_handler(move || {
                if shared.flag.swap(true, Ordering::SeqCst) {
                    std::process::exit(130);
                }
                // A closed standard error must not end the process here.
                let _ = writeln!(
                    std::io::stderr(),
                    "stopping after this step; once more: stop now"
                );
            })
            .map_err(|error| format!("no handler for Ctrl-C: {error}"))
        });
        match installed {
            Ok(()) => Ok(interrupt),
            Err(reason) => Err(TrainError::objective(reason.clone())),
        }
    }

    /// Asks to stop.
    pub fn set(&self) {
        self.flag.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked to stop.
    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }
}
