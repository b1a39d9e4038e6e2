//! Threads that take jobs from one queue.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use crate::RemoteError;

/// Cancellation flag. Setting it wakes all waiting threads.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    asked: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub(crate) fn set(&self) {
        *self.lock() = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_set(&self) -> bool {
        *self.lock()
    }

    /// Waits until the time is over or the flag is set.
    pub(crate) fn wait(&self, time: Duration) {
        drop(
            self.changed
                .wait_timeout_while(self.lock(), time, |asked| !*asked),
        );
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `work` for the jobs from 0 to `jobs` on at most `threads` threads, and passes each result
/// to `each` on the caller's thread as soon as it arrives.
///
/// After `each` breaks, no further job begins, but running jobs finish and their results are passed
/// on. Returns true if `each` broke. A job that returns `None` was cancelled and has no result.
///
/// # Errors
/// No thread can be started.
pub(crate) fn run<T: Send>(
    jobs: usize,
    threads: usize,
    stop: &Stop,
    work: impl Fn(usize) -> Option<T> + Sync,
    mut each: impl FnMut(T) -> ControlFlow<()>,
) -> Result<bool, RemoteError> {
    let next = AtomicUsize::new(0);
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| {
        for started in 0..threads.min(jobs) {
            let sender = sender.clone();
            let (next, work) = (&next, &work);
            let thread = move || {
                while !stop.is_set() {
                    let job = next.fetch_add(1, Ordering::Relaxed);
                    if job >= jobs {
                        break;
                    }
                    if let Some(result) = work(job)
                        && sender.send(result).is_err()
                    {
                        // The receiver is gone, because the callback panicked.
                        stop.set();
                    }
                }
            };
            if let Err(error) = thread::Builder::new().spawn_scoped(scope, thread) {
                if started == 0 {
                    return Err(RemoteError::Local {
                        message: format!("no thread can be started: {error}"),
                    });
                }
                tracing::warn!(started, wanted = threads, %error, "fewer threads than concurrency");
                break;
            }
        }
        drop(sender);
        let mut stopped = false;
        for result in results {
            if each(result).is_break() {
                stop.set();
                stopped = true;
            }
        }
        Ok(stopped)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_wish_to_stop_ends_a_wait_at_once() {
        let stop = Stop::default();
        stop.wait(Duration::from_millis(1));
        assert!(!stop.is_set());
        let begin = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| stop.set());
            stop.wait(Duration::from_secs(3600));
        });
        assert!(begin.elapsed() < Duration::from_secs(60));
        assert!(stop.is_set());
    }

    #[test]
    fn a_panic_of_the_callback_ends_the_threads() {
        let done = AtomicUsize::new(0);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let work = |job: usize| {
                done.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(1));
                Some(job)
            };
            run(10_000, 2, &Stop::default(), work, |_| panic!("on purpose"))
        }));
        assert!(caught.is_err());
        assert!(done.load(Ordering::Relaxed) < 9_000);
    }
}
