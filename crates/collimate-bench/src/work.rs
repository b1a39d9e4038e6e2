//! The folder of a cell while it runs.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use collimate::files::atomic_write;
use collimate::train::Interrupt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::provenance::Build;
use crate::{BenchError, Cell, Variables};

/// How often a child is looked after.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Folders of a finished run that are worth their space.
const KEEP: [&str; 1] = ["plots"];

/// What is known of a cell that was started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) cell: String,
    pub(crate) build: Build,
    pub(crate) seconds: f64,
}

/// `DIR/<plan>/<id>`: `run/` (the program's run folder), `stdout.log`, `stderr.log`, `config.json`
/// and `started.json`. Held by one runner at a time.
#[derive(Debug)]
pub(crate) struct CellFolder {
    path: PathBuf,
    lock: File,
}

impl CellFolder {
    /// The folder, or nothing if another runner, or a program that outlived its runner, has it.
    pub(crate) fn open(path: PathBuf) -> Result<Option<Self>, BenchError> {
        fs::create_dir_all(&path).map_err(BenchError::io(&path))?;
        let lock_path = path.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&lock_path)
            .map_err(BenchError::io(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { path, lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(BenchError::io(&lock_path)(error)),
        }
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.path.join("run")
    }

    /// Whether the program can go on where it was. What was killed before it wrote its options is
    /// cleared away: programs refuse a folder that is not theirs.
    pub(crate) fn can_resume(&self) -> Result<bool, BenchError> {
        let run = self.run();
        if run.join("config.json").exists() {
            return Ok(true);
        }
        if run.exists() {
            fs::remove_dir_all(&run).map_err(BenchError::io(&run))?;
        }
        Ok(false)
    }

    pub(crate) fn started(&self) -> Option<Started> {
        let text = fs::read(self.path.join("started.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    pub(crate) fn note(&self, started: &Started) -> Result<(), BenchError> {
        self.write("started.json", started)
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), BenchError> {
        let path = self.path.join(name);
        let text = serde_json::to_vec_pretty(value)
            .map_err(|error| BenchError::io(&path)(std::io::Error::other(error)))?;
        Ok(atomic_write(&path, &text)?)
    }

    /// The arguments of the cell's next start, with its options written to a file.
    pub(crate) fn arguments(
        &self,
        cell: &Cell,
        variables: &Variables,
        resume: bool,
    ) -> Result<Vec<String>, BenchError> {
        if !cell.config.is_empty() {
            let config = variables.fill_json(&Value::Object(cell.config.clone()))?;
            self.write("config.json", &config)?;
        }
        arguments(&self.path, cell, variables, resume)
    }

    /// Starts the program. The lock is its standard input: it stays locked for as long as the
    /// program lives, even if the runner does not.
    pub(crate) fn spawn(
        &self,
        program: &Path,
        args: &[String],
        threads: Option<usize>,
    ) -> Result<(Child, u64), BenchError> {
        let open = |name: &str| {
            let path = self.path.join(name);
            let file = File::options().create(true).append(true).open(&path);
            file.map_err(BenchError::io(&path))
        };
        let (stdout, stderr) = (open("stdout.log")?, open("stderr.log")?);
        let before = stderr.metadata().map_or(0, |meta| meta.len());
        let stdin = self.lock.try_clone().map_err(BenchError::io(&self.path))?;
        let mut command = Command::new(program);
        command
            .args(args)
            .stdin(Stdio::from(stdin))
            .stdout(stdout)
            .stderr(stderr);
        if let Some(threads) = threads {
            command.env("RAYON_NUM_THREADS", threads.to_string());
        }
        own_group(&mut command);
        let child = command.spawn().map_err(BenchError::io(program))?;
        Ok((child, before))
    }

    /// The last line of standard error since `from`.
    pub(crate) fn last_error(&self, from: u64) -> Option<String> {
        let mut file = File::open(self.path.join("stderr.log")).ok()?;
        file.seek(SeekFrom::Start(from)).ok()?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).ok()?;
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
        Some(line.to_owned())
    }

    /// Removes what is large and was only needed to go on: checkpoints and models.
    pub(crate) fn tidy(&self) -> Result<(), BenchError> {
        let run = self.run();
        for entry in fs::read_dir(&run).map_err(BenchError::io(&run))? {
            let entry = entry.map_err(BenchError::io(&run))?;
            let path = entry.path();
            if path.is_dir() && !KEEP.iter().any(|name| entry.file_name() == *name) {
                fs::remove_dir_all(&path).map_err(BenchError::io(&path))?;
            }
        }
        Ok(())
    }
}

/// The arguments of a cell whose folder is `folder`.
pub(crate) fn arguments(
    folder: &Path,
    cell: &Cell,
    variables: &Variables,
    resume: bool,
) -> Result<Vec<String>, BenchError> {
    let mut args = cell
        .args
        .iter()
        .map(|arg| variables.fill(arg))
        .collect::<Result<Vec<_>, _>>()?;
    if !cell.config.is_empty() {
        args.push("--config".to_owned());
        args.push(folder.join("config.json").display().to_string());
    }
    args.push("--out".to_owned());
    args.push(folder.join("run").display().to_string());
    if resume {
        args.push("--resume".to_owned());
    }
    Ok(args)
}

/// Waits for a program; once somebody asks to stop, asks the program too and waits on.
pub(crate) fn wait(child: &mut Child, interrupt: &Interrupt) -> std::io::Result<ExitStatus> {
    let mut asked = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if interrupt.is_set() && !asked {
            asked = true;
            ask_to_stop(child);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Whether a program ended because it was asked to, not by itself.
pub(crate) fn was_stopped(status: ExitStatus) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        // SIGHUP, SIGINT, SIGTERM.
        if matches!(status.signal(), Some(1 | 2 | 15)) {
            return true;
        }
    }
    // As a shell and our programs report the same.
    matches!(status.code(), Some(130 | 143))
}

/// Puts a program into a process group of its own. A Ctrl-C then reaches it only through its
/// runner: exactly once (programs stop without saving when asked twice), and likewise when the
/// runner alone is asked to end.
pub(crate) fn own_group(command: &mut Command) {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        command.process_group(0);
    }
    #[cfg(not(unix))]
    let _ = command;
}

fn ask_to_stop(child: &Child) {
    #[cfg(unix)]
    {
        // The standard library can only kill. Nothing more can be done if there is no shell: the
        // program then runs to its end. Not SIGINT: a script's background programs ignore that.
        let _ = Command::new("sh")
            .args(["-c", "kill -TERM \"$1\"", "sh", &child.id().to_string()])
            .stdin(Stdio::null())
            .status();
    }
    #[cfg(not(unix))]
    let _ = child;
}
