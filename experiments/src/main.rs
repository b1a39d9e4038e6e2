//! Runs the experiments of the documentation: `collimate-experiments --help`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use collimate_experiments::{
    InstructionArgs, PlanArgs, PlotArgs, RunArgs, cell_list, instructions, overlap_table, plot,
    read_rows, run, summary,
};

/// Runs plans of experiments with the program `collimate`, and summarises their results.
#[derive(Debug, Parser)]
#[command(name = "collimate-experiments", version)]
enum Task {
    /// Run the cells of a plan that have no result yet
    Run(RunArgs),
    /// Print the cells of a plan: state, numbers and command of each
    List(PlanArgs),
    /// Print mean and spread over seeds of the results of a plan
    Summary(PlanArgs),
    /// Draw a kept metric of all cells of a plan as an SVG file
    Plot(PlotArgs),
    /// Add instructions that a program can check to prompts, for `collimate eval instructions`
    Instructions(InstructionArgs),
    /// Compare the offline pairs that runs of SeRA selected (Jaccard similarity)
    Overlap {
        /// Files selections/NAME-ITERATION.jsonl of runs over the same pairs
        #[arg(value_name = "FILE.jsonl", num_args = 2.., required = true)]
        files: Vec<PathBuf>,
    },
}

impl Task {
    fn execute(&self) -> Result<ExitCode> {
        let text = match self {
            Self::Run(args) => return run(args),
            Self::List(args) => {
                let (_, cells, results) = args.read()?;
                cell_list(&cells, &read_rows(&results)?)
            }
            Self::Summary(args) => {
                let (plan, cells, results) = args.read()?;
                let mut rows = read_rows(&results)?;
                rows.retain(|row| row.plan == plan.name);
                summary(&plan, &cells, &rows)
            }
            Self::Plot(args) => return plot(args),
            Self::Instructions(args) => return instructions(args),
            Self::Overlap { files } => overlap_table(files)?,
        };
        // A reader may have seen enough and closed the pipe.
        let _ = std::io::stdout().write_all(text.as_bytes());
        Ok(ExitCode::SUCCESS)
    }
}

fn main() -> ExitCode {
    Task::parse().execute().unwrap_or_else(|error| {
        eprintln!("error: {}", format!("{error:#}").replace('\n', " "));
        ExitCode::FAILURE
    })
}
