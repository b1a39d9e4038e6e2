//! The folder of results.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use collimate::files::atomic_write;
use collimate::run::Report;
use serde::Serialize;
use serde_json::Value;

use crate::common::{self, Failure, REPORT};

const SUMMARY: &str = "summary.json";

/// Destinations of the results: standard output, and --out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places<'a> {
    pub(crate) out: Option<&'a Out>,
    /// If true, the summary is printed instead of tables.
    pub(crate) json: bool,
}

impl Places<'_> {
    /// Prints the tables, or the summary.
    pub(crate) fn print(self, tables: &str, summary: &impl Serialize) -> Result<(), Failure> {
        match self.json {
            true => common::print(&(serde_json::to_string_pretty(summary)? + "\n")),
            false => common::print(tables),
        }
    }
}

/// The folder of --out, which must not hold results yet.
#[derive(Debug, Clone)]
pub(crate) struct Out(PathBuf);

impl Out {
    /// Checks the folder without creating it, so that a run that is refused later leaves nothing
    /// behind.
    pub(crate) fn check(path: Option<&Path>) -> Result<Option<Self>, Failure> {
        let Some(path) = path else {
            return Ok(None);
        };
        let shown = path.display();
        if path.is_file() {
            return Err(format!("--out {shown} is a file: name a folder").into());
        }
        if path.join(SUMMARY).exists() {
            return Err(format!("--out {shown} holds other results: give another --out").into());
        }
        if let Some(file) = path.ancestors().find(|above| above.is_file()) {
            return Err(format!(
                "--out {shown}: {} is a file: name a folder below a folder",
                file.display()
            )
            .into());
        }
        common::check_writable_folder(path)?;
        Ok(Some(Self(path.to_owned())))
    }

    /// Returns the path of a file in the folder, which is created if necessary.
    pub(crate) fn file(&self, name: &str) -> Result<PathBuf, Failure> {
        let failed = |error| format!("--out {}: {error}", self.0.display());
        std::fs::create_dir_all(&self.0).map_err(failed)?;
        Ok(self.0.join(name))
    }

    /// Writes JSON lines.
    pub(crate) fn lines(
        &self,
        name: &str,
        rows: impl Iterator<Item = Value>,
    ) -> Result<(), Failure> {
        let mut text = String::new();
        for row in rows {
            writeln!(text, "{row}")?;
        }
        Ok(atomic_write(&self.file(name)?, text.as_bytes())?)
    }

    /// Writes the report, then the summary. A folder with a summary is therefore complete.
    pub(crate) fn finish(&self, report: &Report, summary: &impl Serialize) -> Result<(), Failure> {
        let path = self.file(SUMMARY)?;
        report.write(&self.0)?;
        let text = serde_json::to_string_pretty(summary)? + "\n";
        atomic_write(&path, text.as_bytes())?;
        common::tell(&format!("report: {}", self.0.join(REPORT).display()));
        Ok(())
    }
}
