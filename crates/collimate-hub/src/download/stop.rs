//! The wish to stop, also while a server is silent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ureq::Agent;

use crate::Watch;

/// Time between two questions to the caller.
const EVERY: Duration = Duration::from_millis(100);

/// Says that the caller wants to stop. Clones say the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<State>);

#[derive(Debug, Default)]
struct State {
    asked: AtomicBool,
    done: Mutex<bool>,
    /// Signals that `done` is true.
    end: Condvar,
}

/// Ends the watching thread when the work ends, also by a panic of the caller's function.
struct Ending<'a>(&'a State);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        *self.0.done.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.end.notify_all();
    }
}

impl Stop {
    /// Runs `work` while another thread asks the caller. If the caller wants to stop, the
    /// connections of `agent` are closed, so that no silent server delays the end.
    pub(super) fn watched<T>(
        &self,
        watch: &Watch<'_>,
        agent: Agent,
        work: impl FnOnce() -> T,
    ) -> T {
        let Some(asks) = watch.stop_function() else {
            return work();
        };
        thread::scope(|scope| {
            let state = &*self.0;
            let _ending = Ending(state);
            scope.spawn(move || {
                let mut done = state.done.lock().unwrap_or_else(PoisonError::into_inner);
                while !*done {
                    if asks() {
                        state.asked.store(true, Ordering::SeqCst);
                        agent.shutdown();
                        return;
                    }
                    let waited = state.end.wait_timeout(done, EVERY);
                    done = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            });
            work()
        })
    }

    /// Returns true if the caller wants to stop.
    pub(super) fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst)
    }

    /// Waits for a time, or until the caller wants to stop.
    pub(super) fn wait(&self, time: Duration) {
        let end = Instant::now().checked_add(time);
        while !self.is_asked() {
            let left = match end {
                Some(end) => end.saturating_duration_since(Instant::now()),
                None => EVERY,
            };
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(EVERY));
        }
    }
}
