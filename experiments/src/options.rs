//! Options of the command line.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use crate::{Cell, Plan};

/// A plan and its results.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Path of the plan
    #[arg(value_name = "PLAN.json")]
    plan: PathBuf,
    /// File of the results; by default docs/results/PLAN.jsonl
    #[arg(long, value_name = "FILE.jsonl")]
    results: Option<PathBuf>,
    /// Only cells whose name or id contains this text
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

impl PlanArgs {
    /// Returns the plan, its chosen cells and its results file.
    ///
    /// # Errors
    /// Returns an error if the plan cannot be read or no cell is chosen.
    pub fn read(&self) -> Result<(Plan, Vec<Cell>, PathBuf)> {
        let plan = Plan::read(&self.plan)?;
        let mut cells = plan.cells()?;
        if let Some(part) = &self.only {
            cells.retain(|cell| cell.name.contains(part) || cell.id.contains(part));
            ensure!(
                !cells.is_empty(),
                "--only {part} matches no cell: `list` shows the cells"
            );
        }
        let default = || PathBuf::from(format!("docs/results/{}.jsonl", plan.name));
        let results = self.results.clone().unwrap_or_else(default);
        Ok((plan, cells, results))
    }
}

/// Options of a run of a plan.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// Value of ${NAME} in the plan
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
    /// The program `collimate`; by default the one beside this program, or on PATH
    #[arg(long, value_name = "PATH")]
    pub(crate) program: Option<PathBuf>,
    /// Number of cells that run at a time, each with one thread if above 1; by default the number
    /// of cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Run failed cells again
    #[arg(long)]
    pub(crate) retry_failed: bool,
    /// Keep checkpoints and models of finished runs
    #[arg(long)]
    pub(crate) keep: bool,
    /// Folder of the runs: DIR/PLAN/ID/run, with the id of the cell
    #[arg(long, value_name = "DIR", default_value = "runs/experiments")]
    pub(crate) work: PathBuf,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
