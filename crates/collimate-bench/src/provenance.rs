//! Which code a result comes from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use collimate::run::hash_file;
use serde::{Deserialize, Serialize};

use crate::BenchError;

/// Where result rows lie; they change while a sweep runs and are no code.
const RESULTS: &str = "docs/results";

/// The code of a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Build {
    pub(crate) commit: Option<String>,
    pub(crate) dirty: bool,
    pub(crate) binary: String,
}

/// A program as it was when the sweep began: a copy, so that a build that runs beside the sweep
/// does not exchange it between two cells.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) build: Build,
}

impl Program {
    pub(crate) fn snapshot(name: &str, bin_dir: &Path, folder: &Path) -> Result<Self, BenchError> {
        let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        let source = bin_dir.join(&file);
        if !source.is_file() {
            return Err(BenchError::Program {
                name: name.to_owned(),
                folder: bin_dir.to_owned(),
            });
        }
        fs::create_dir_all(folder).map_err(BenchError::io(folder))?;
        let path = folder.join(format!("{}-{file}", std::process::id()));
        fs::copy(&source, &path).map_err(BenchError::io(&source))?;
        let path = path.canonicalize().map_err(BenchError::io(&path))?;
        let mut binary = hash_file(&path)?;
        binary.truncate(12);
        let exclude = format!(":(top,exclude){RESULTS}");
        let status = ["status", "--porcelain", "--untracked-files=no", "--", ":/"];
        let build = Build {
            commit: git(&["rev-parse", "HEAD"]),
            dirty: git(&[&status[..], &[&exclude]].concat()).is_some_and(|text| !text.is_empty()),
            binary,
        };
        Ok(Self { path, build })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A copy that stays behind costs space only.
        let _ = fs::remove_file(&self.path);
    }
}

/// Standard output of git; nothing where there is no repository.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(args)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// Commits a results file and nothing else.
pub(crate) fn commit(file: &Path, message: &str) -> Result<(), String> {
    let file = file.display().to_string();
    for args in [
        &["add", "--", &file][..],
        &["commit", "--quiet", "-m", message, "--", &file][..],
    ] {
        let mut command = Command::new("git");
        command.args(args).stdin(Stdio::null());
        crate::work::own_group(&mut command);
        let output = command.output().map_err(|error| format!("git: {error}"))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let line = text.lines().next_back().unwrap_or("no reason given");
            return Err(format!("git {}: {line}", args[0]));
        }
    }
    Ok(())
}
