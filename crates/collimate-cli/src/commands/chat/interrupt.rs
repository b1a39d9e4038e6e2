//! Ctrl-C stops an answer and not the program.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::Failure;

/// Flags that stop an answer.
pub(super) struct Stop {
    /// Set by Ctrl-C; asks the answer to stop.
    wish: Arc<AtomicBool>,
    /// True while an answer is being written.
    busy: Arc<AtomicBool>,
}

impl Stop {
    /// Lets Ctrl-C in a terminal stop answers. Without a terminal, Ctrl-C ends the program, as
    /// scripts expect.
    pub(super) fn new(terminal: bool) -> Result<Self, Failure> {
        let stop = Self {
            wish: Arc::new(AtomicBool::new(false)),
            busy: Arc::new(AtomicBool::new(false)),
        };
        if terminal {
            stop.listen()
                .map_err(|error| format!("Ctrl-C cannot be caught: {error}"))?;
        }
        Ok(stop)
    }

    /// Marks the start of an answer, and returns the flag that stops it.
    pub(super) fn begin(&self) -> Arc<AtomicBool> {
        self.wish.store(false, Ordering::SeqCst);
        self.busy.store(true, Ordering::SeqCst);
        Arc::clone(&self.wish)
    }

    /// Marks the end of an answer.
    pub(super) fn end(&self) {
        self.busy.store(false, Ordering::SeqCst);
    }

    #[cfg(unix)]
    fn listen(&self) -> std::io::Result<()> {
        use signal_hook::consts::SIGINT;

        signal_hook::flag::register(SIGINT, Arc::clone(&self.wish))?;
        // At the prompt sign there is no answer to stop, so say how to end the program.
        let (mut heard, rung) = std::os::unix::net::UnixStream::pair()?;
        signal_hook::low_level::pipe::register(SIGINT, rung)?;
        let busy = Arc::clone(&self.busy);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                while std::io::Read::read_exact(&mut heard, &mut [0]).is_ok() {
                    if !busy.load(Ordering::SeqCst) {
                        crate::common::tell("\nCtrl-D or /quit ends");
                        // If this fails, the next answer reports the failure.
                        let _ = crate::common::print(super::input::SIGN);
                    }
                }
            })?;
        Ok(())
    }

    #[cfg(not(unix))]
    fn listen(&self) -> std::io::Result<()> {
        Ok(())
    }
}
