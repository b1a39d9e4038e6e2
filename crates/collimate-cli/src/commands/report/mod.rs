//! Rewrites the contents of a run folder as tables and plots.

mod curves;
mod tables;

use std::path::{Path, PathBuf};

use collimate::run::RunFolder;
use serde_json::{Value, json};

use crate::common::{self, Failure, REPORT};
use crate::templates::TEMPLATES;

/// File with the tables and plots of a run.
const OVERVIEW: &str = "overview.md";

/// Write the numbers of a run as tables and plots, from the files in its folder.
///
/// DIR/overview.md gets the stages of the run, the numbers of summary.json and a plot of every
/// metric in metrics.jsonl. The numbers are also printed. The run's own report.md stays as it is,
/// because it has text that no other file keeps. A run that was stopped has stages and plots, but
/// no summary yet.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run folder
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Print the stages and the numbers of summary.json as JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let dir = &args.dir;
    check(dir)?;
    let run = RunFolder::open(dir)?;
    let rows = run.metrics().rows()?;
    let summary = json(&dir.join("summary.json"))?;
    let stages = stages(dir, summary.is_some())?;

    let mut values = json!({
        "name": name(dir), "stages": stages, "summary": summary.as_ref().map(tables::of), "curves": [],
    });
    // The terminal version has no plots.
    let shown = TEMPLATES.render(OVERVIEW, &values, Vec::new())?;
    match args.json {
        true => {
            let numbers = json!({"stages": stages, "summary": summary});
            common::print(&(serde_json::to_string_pretty(&numbers)? + "\n"))?;
        }
        false => common::print(&(shown.as_markdown().to_owned() + "\n"))?,
    }
    let curves = curves::of(&rows);
    let names = curves.iter().map(|(name, _)| name.as_str());
    values["curves"] = names.collect();
    let path = TEMPLATES
        .render(OVERVIEW, &values, curves)?
        .write_as(dir, OVERVIEW)?;
    common::tell(&format!("wrote {}", path.display()));
    let own = dir.join(REPORT);
    match own.exists() {
        true => common::tell(&format!("the run's own report: {}", own.display())),
        false => common::tell(&format!(
            "{} has no {REPORT}: the run has not ended; continue it by --resume --out {}",
            dir.display(),
            dir.display()
        )),
    }
    Ok(())
}

/// Refuses a folder that no run created, before anything in it is changed.
fn check(dir: &Path) -> Result<(), Failure> {
    let shown = dir.display();
    if !dir.exists() {
        return Err(format!("{shown}: no such folder: name the folder of a run").into());
    }
    if !dir.is_dir() {
        return Err(format!("{shown} is a file: name the folder of a run").into());
    }
    for file in ["config.json", "journal.json"] {
        if !dir.join(file).is_file() {
            return Err(format!(
                "{shown} is not a run folder, because it has no {file}: name the folder that was \
                 the --out of a run"
            )
            .into());
        }
    }
    Ok(())
}

/// Returns the last part of the folder's path.
fn name(dir: &Path) -> String {
    let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let last = whole
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    last.unwrap_or_else(|| dir.display().to_string())
}

/// Lists the stages of the journal with their state. `ended` is true for a run that has ended.
fn stages(dir: &Path, ended: bool) -> Result<Vec<[String; 2]>, Failure> {
    let journal = json(&dir.join("journal.json"))?.unwrap_or_default();
    let listed = journal.get("stages").and_then(Value::as_array);
    let stage = |entry: &Value| {
        let name = entry.get("stage").and_then(Value::as_str).unwrap_or("?");
        // A training leaves checkpoints and no result in the journal.
        let kept = entry.get("result").is_some_and(|result| !result.is_null());
        let state = match (kept, ended) {
            (true, _) => "result in the journal",
            (false, true) => "done",
            (false, false) => "begun",
        };
        [name.to_owned(), state.to_owned()]
    };
    Ok(listed.into_iter().flatten().map(stage).collect())
}

/// Reads the JSON in a file; `None` if there is no such file.
fn json(path: &Path) -> Result<Option<Value>, Failure> {
    match std::fs::read(path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(format!("{}: not valid JSON: {error}", path.display()).into()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: cannot be read: {error}", path.display()).into()),
    }
}
