//! The program `collimate`, with its hash and commit.

use std::env::{self, consts};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// Folder of the result rows: they change while experiments run, and they are not code.
const RESULTS: &str = "docs/results";

/// A copy of the program as it was when the runner started. A build during the experiment therefore
/// does not change the program between two cells.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) binary: String,
    pub(crate) commit: Option<String>,
    pub(crate) dirty: bool,
    pub(crate) machine: String,
}

impl Program {
    /// Copies the given program; otherwise the one beside this program; otherwise the first on `PATH`.
    pub(crate) fn copy(given: Option<&Path>, folder: &Path) -> Result<Self> {
        let source = given.map_or_else(find, |given| Ok(given.to_owned()))?;
        let named = || source.display().to_string();
        let path = folder.join(format!("collimate{}", consts::EXE_SUFFIX));
        fs::copy(&source, &path).with_context(named)?;
        let mut hasher = blake3::Hasher::new();
        let file = File::open(&path).with_context(named)?;
        hasher.update_reader(file).with_context(named)?;
        let exclude = format!(":(top,exclude){RESULTS}");
        let changes = [
            "status",
            "--porcelain",
            "--untracked-files=no",
            "--",
            ":/",
            &exclude,
        ];
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            path: path.canonicalize().with_context(named)?,
            binary: hasher.finalize().to_hex()[..12].to_owned(),
            commit: git(&["rev-parse", "HEAD"]),
            dirty: git(&changes).is_some_and(|text| !text.is_empty()),
            machine: format!("{} {}, {cores} cores", consts::OS, consts::ARCH),
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A copy that remains costs only space.
        let _ = fs::remove_file(&self.path);
    }
}

fn find() -> Result<PathBuf> {
    let name = format!("collimate{}", consts::EXE_SUFFIX);
    let beside = env::current_exe().map(|own| own.with_file_name(&name));
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join(&name));
    let found = beside
        .into_iter()
        .chain(on_path)
        .find(|file| file.is_file());
    found.with_context(|| {
        format!(
            "{name} is neither beside this program nor on PATH: build it by `cargo build -p \
             collimate-cli`, or give --program PATH"
        )
    })
}

/// Returns the standard output of git; `None` outside a repository.
fn git(args: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.args(args).env("GIT_OPTIONAL_LOCKS", "0");
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.trim().to_owned())
}
