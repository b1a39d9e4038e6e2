//! Opens a page in the user's browser.

use std::io::IsTerminal;
use std::process::{Command, Stdio};

use crate::common;

/// Returns true if a user is likely to see the screen of this computer.
pub(super) fn is_likely() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let desktop =
        cfg!(any(windows, target_os = "macos")) || set("DISPLAY") || set("WAYLAND_DISPLAY");
    std::io::stderr().is_terminal() && desktop && !set("SSH_CONNECTION")
}

/// Opens an address in the browser, or says that it has to be opened by hand.
pub(super) fn open(url: &str) {
    let (program, first): (_, &[&str]) = match std::env::consts::OS {
        "windows" => ("rundll32", &["url.dll,FileProtocolHandler"]),
        "macos" => ("open", &[]),
        _ => ("xdg-open", &[]),
    };
    let started = Command::new(program)
        .args(first)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = started {
        common::tell(&format!("{program}: {error}: open the address yourself"));
    }
}
