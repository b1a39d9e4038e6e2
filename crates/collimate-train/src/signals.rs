//! Signals that ask a process to stop, each registered separately.

use std::ffi::c_int;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

#[cfg(unix)]
use signal_hook::consts::SIGHUP;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Time after the first signal within which further signals count as copies of it.
const ONE_SIGNAL: Duration = Duration::from_millis(100);

/// A signal, and the exit status if a later signal ends the process.
struct Asked {
    name: &'static str,
    number: c_int,
    /// `None`: a later signal changes nothing. A closed terminal sends more than one SIGHUP.
    status: Option<c_int>,
}

const ASKED: &[Asked] = &[
    Asked {
        name: "SIGINT",
        number: SIGINT,
        status: Some(130),
    },
    Asked {
        name: "SIGTERM",
        number: SIGTERM,
        status: Some(143),
    },
    #[cfg(unix)]
    Asked {
        name: "SIGHUP",
        number: SIGHUP,
        status: None,
    },
];

/// Makes every signal that is not ignored set the flag and store its number. If only some signals
/// cannot be registered, standard error names them. If none can be registered, returns an error.
pub(crate) fn install(stop: &Arc<AtomicBool>, came: &Arc<AtomicUsize>) -> Result<(), String> {
    let ignored = ignored();
    let armed = Arc::new(AtomicBool::new(false));
    let bell =
        Bell::new(stop, &armed).map_err(|error| format!("signals cannot be caught: {error}"))?;
    let wanted = ASKED
        .iter()
        .filter(|asked| ignored & bit(asked.number) == 0);
    let mut refused = Vec::new();
    let mut registered = 0;
    for asked in wanted {
        match register(asked, (stop, came), &armed, &bell) {
            Ok(()) => registered += 1,
            Err(error) => {
                refused.push(format!("no handler can be set for {}: {error}", asked.name))
            }
        }
    }
    let refused = refused.join("; ");
    if registered == 0 && !refused.is_empty() {
        return Err(refused);
    }
    if !refused.is_empty() {
        let _ = writeln!(io::stderr(), "warning: {refused}");
    }
    Ok(())
}

fn register(
    asked: &Asked,
    (stop, came): (&Arc<AtomicBool>, &Arc<AtomicUsize>),
    armed: &Arc<AtomicBool>,
    bell: &Bell,
) -> io::Result<()> {
    // Actions run in the order of registration. The shutdown comes first, when it is not yet armed,
    // so the first signal does not end the process.
    if let Some(status) = asked.status {
        flag::register_conditional_shutdown(asked.number, status, Arc::clone(armed))?;
    }
    let number = usize::try_from(asked.number).unwrap_or_default();
    flag::register_usize(asked.number, Arc::clone(came), number)?;
    flag::register(asked.number, Arc::clone(stop))?;
    bell.register(asked.number)
}

/// Answers the first signal, outside the handler, where more calls are allowed. Prints a line for
/// the user; shortly afterwards a second signal ends the process.
fn answer(armed: &AtomicBool) {
    // A closed standard error must not end the process here.
    let _ = writeln!(
        io::stderr(),
        "stopping after this step; a second signal stops at once"
    );
    std::thread::sleep(ONE_SIGNAL);
    armed.store(true, Ordering::SeqCst);
}

fn thread(body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(body).map(drop)
}

/// Wakes the thread that answers a signal.
#[cfg(unix)]
struct Bell(std::os::unix::net::UnixStream);

#[cfg(unix)]
impl Bell {
    fn new(_: &Arc<AtomicBool>, armed: &Arc<AtomicBool>) -> io::Result<Self> {
        let (mut heard, rung) = std::os::unix::net::UnixStream::pair()?;
        let armed = Arc::clone(armed);
        thread(move || {
            while io::Read::read_exact(&mut heard, &mut [0]).is_ok() {
                if !armed.load(Ordering::SeqCst) {
                    answer(&armed);
                }
            }
        })?;
        Ok(Self(rung))
    }

    fn register(&self, signal: c_int) -> io::Result<()> {
        signal_hook::low_level::pipe::register(signal, self.0.try_clone()?).map(drop)
    }
}

/// Without pipes that a handler may write to, the thread polls the flag.
#[cfg(not(unix))]
struct Bell;

#[cfg(not(unix))]
impl Bell {
    fn new(stop: &Arc<AtomicBool>, armed: &Arc<AtomicBool>) -> io::Result<Self> {
        let (stop, armed) = (Arc::clone(stop), Arc::clone(armed));
        thread(move || {
            while !stop.load(Ordering::SeqCst) {
                std::thread::sleep(ONE_SIGNAL);
            }
            answer(&armed);
        })?;
        Ok(Self)
    }

    fn register(&self, _: c_int) -> io::Result<()> {
        Ok(())
    }
}

fn bit(signal: c_int) -> u64 {
    u32::try_from(signal - 1)
        .ok()
        .and_then(|place| 1_u64.checked_shl(place))
        .unwrap_or(0)
}

/// Returns the signals that this process ignores, one bit each. The standard library cannot tell,
/// so the function reads lists of the system: `/proc` on Linux, `ps` elsewhere. Without a list, no
/// signal counts as ignored.
#[cfg(unix)]
fn ignored() -> u64 {
    let listed = match std::fs::read_to_string("/proc/self/status") {
        Ok(status) => in_status(&status),
        Err(_) => None,
    };
    listed.or_else(by_ps).unwrap_or(0)
}

#[cfg(not(unix))]
fn ignored() -> u64 {
    0
}

#[cfg(unix)]
fn in_status(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    u64::from_str_radix(line?.trim(), 16).ok()
}

#[cfg(unix)]
fn by_ps() -> Option<u64> {
    let process = std::process::id().to_string();
    let output = std::process::Command::new("ps")
        .args(["-o", "ignored=", "-p", &process])
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    u64::from_str_radix(text.trim(), 16).ok()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_systems_list() {
        let status = "Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001003\nSigCgt:\t0\n";
        let mask = in_status(status).unwrap();
        assert_eq!(mask & bit(SIGHUP), 1);
        assert_eq!(mask & bit(SIGINT), 2);
        assert_eq!(mask & bit(SIGTERM), 0);
        assert_eq!(in_status("Name:\tx\n"), None);
        // The standard library ignores SIGPIPE.
        let pipe = bit(signal_hook::consts::SIGPIPE);
        assert_eq!(ignored() & pipe, pipe);
        if cfg!(target_os = "linux")
            && let Some(mask) = by_ps()
        {
            assert_eq!(mask & pipe, pipe);
        }
    }
}
