//! Work on one cell: starts the program, and makes a row of the files that it leaves.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::program::Program;
use crate::tables::fields_line;
use crate::{Cell, Row};

/// Folder of a finished run that is kept.
const PLOTS: &str = "plots";

/// The work folder of a plan, and the program that fills it.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    pub(crate) plan: &'a str,
    pub(crate) threads: Option<usize>,
    pub(crate) program: Program,
    pub(crate) folder: PathBuf,
    /// The locked file in the folder.
    pub(crate) lock: File,
}

/// A running program.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) cell: &'a Cell,
    pub(crate) child: Child,
    resumed: bool,
    started: Instant,
    asked: bool,
}

impl Work<'_> {
    fn path(&self, id: &str, name: &str) -> PathBuf {
        self.folder.join(id).join(name)
    }

    /// Starts the program for a cell, or resumes it.
    pub(crate) fn start<'a>(&self, cell: &'a Cell, args: &[String]) -> Result<Run<'a>> {
        let path = |name| self.path(&cell.id, name);
        let resumed = path("run/config.json").exists();
        let start = || {
            fs::create_dir_all(path(""))?;
            if !resumed {
                fs::write(path("began"), &self.program.binary)?;
            }
            let mut command = Command::new(&self.program.path);
            command.arg(&cell.command).args(args);
            if let Some(text) = cell.config_text() {
                fs::write(path("config.json"), text)?;
                command.arg("--config").arg(path("config.json"));
            }
            command.arg("--out").arg(path("run"));
            command.args(resumed.then_some("--resume"));
            if let Some(threads) = self.threads {
                command.env("RAYON_NUM_THREADS", threads.to_string());
            }
            // In its own process group the program gets Ctrl-C only through the runner. If it is
            // asked twice, it stops without saving.
            #[cfg(unix)]
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
            // The lock is the standard input of the program, so the folder stays locked for as long
            // as the program lives, even if the runner does not.
            command
                .stdin(self.lock.try_clone()?)
                .stdout(File::create(path("stdout.log"))?)
                .stderr(File::create(path("stderr.log"))?)
                .spawn()
        };
        Ok(Run {
            cell,
            child: start().with_context(|| path("").display().to_string())?,
            resumed,
            started: Instant::now(),
            asked: false,
        })
    }

    /// Makes the row of a program that has ended; none if the program was asked to stop.
    pub(crate) fn row(
        &self,
        run: &Run<'_>,
        status: ExitStatus,
        asked: bool,
    ) -> Result<Option<Row>> {
        let cell = run.cell;
        // Statuses with which a shell and `collimate` report a program that was asked to stop.
        let asked = asked || matches!(status.code(), Some(130 | 143));
        if !status.success() && asked {
            return Ok(None);
        }
        let binary = self.program.binary.clone();
        let began = fs::read_to_string(self.path(&cell.id, "began")).ok();
        let fields = match status.success() {
            true => self.fields(cell)?,
            false => BTreeMap::new(),
        };
        Ok(Some(Row {
            plan: self.plan.to_owned(),
            id: cell.id.clone(),
            cell: cell.name.clone(),
            axes: cell.axes.clone(),
            commit: self.program.commit.clone(),
            dirty: self.program.dirty,
            began: began.filter(|began| *began != binary),
            binary,
            resumed: run.resumed,
            machine: self.program.machine.clone(),
            threads: self.threads,
            seconds: (run.started.elapsed().as_secs_f64() * 10.0).round() / 10.0,
            status: status.code(),
            fields,
        }))
    }

    /// Returns the kept numbers of a finished run.
    fn fields(&self, cell: &Cell) -> Result<BTreeMap<String, Value>> {
        let path = self.path(&cell.id, "run/summary.json");
        let named = || path.display().to_string();
        let text = fs::read(&path).with_context(named)?;
        let fields = cell.select(&serde_json::from_slice(&text).with_context(named)?);
        if let Some(name) = cell.keep.keys().find(|name| !fields.contains_key(*name)) {
            eprintln!("{}: {} has no number {name}", cell.name, named());
        }
        Ok(fields)
    }

    /// Writes a row as a line for the terminal. The last line of standard error may contain paths
    /// of this machine, so results do not hold it.
    pub(crate) fn line(&self, row: &Row) -> String {
        let log = self.path(&row.id, "stderr.log");
        let text = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let last = text.lines().rfind(|line| !line.trim().is_empty());
        let result = match row.is_ok() {
            true => fields_line(&row.fields),
            false => format!("FAILED, {}: {}", log.display(), last.unwrap_or_default()),
        };
        format!("{} in {:.0} s: {result}", row.cell, row.seconds)
    }

    /// Removes checkpoints and models, which are large and were needed only to resume.
    pub(crate) fn tidy(&self, cell: &Cell) -> Result<()> {
        for entry in fs::read_dir(self.path(&cell.id, "run"))? {
            let entry = entry?;
            if entry.path().is_dir() && entry.file_name() != PLOTS {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Run<'_> {
    /// Asks the program to stop, once.
    pub(crate) fn ask_to_stop(&mut self) {
        if !self.asked {
            self.asked = true;
            // The standard library can only kill. Without this program `collimate` runs to its end.
            let id = self.child.id().to_string();
            let _ = Command::new("kill").args(["-TERM", &id]).status();
        }
    }
}
