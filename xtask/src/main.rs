//! Commands of the project: `cargo xtask check` runs the same steps as `.ci/run`, `cargo xtask examples` runs the
//! examples, `cargo xtask gpu` runs tests on a GPU device, and `cargo xtask rows` measures commands on long files.

mod examples;
mod gpu;
mod layers;
mod licences;
mod links;
mod prose;
mod readmes;
mod rows;
mod steps;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser};

/// Tasks of the collimate workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Run every check, cheapest first, and stop at the first failure
    Check(Check),
    /// Run every example without arguments, print its seconds, and stop at the first failure
    Examples(examples::Examples),
    /// Run the tests of operations, losses, models and trainings on a GPU device
    Gpu(gpu::Gpu),
    /// Measure memory and speed of commands on files of up to ten million rows
    Rows(rows::Rows),
}

#[derive(Debug, Args)]
struct Check {
    /// Run only this step (may be given several times; the order stays that of --list)
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// List the steps with a description of each, and run nothing
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let result = match Task::parse() {
        Task::Check(options) => check(&options),
        Task::Examples(options) => examples::run(&options),
        Task::Gpu(options) => gpu::run(&options),
        Task::Rows(options) => rows::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn check(options: &Check) -> Result<(), String> {
    let steps = steps::all();
    if let Some(unknown) = options
        .only
        .iter()
        .find(|name| steps.iter().all(|step| step.name != name.as_str()))
    {
        let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
        let names = names.join(", ");
        return Err(format!(
            "there is no step {unknown:?}; the steps are {names}"
        ));
    }
    if options.list {
        for step in &steps {
            println!("{:10} {}", step.name, step.about);
        }
        return Ok(());
    }
    let chosen: Vec<&steps::Step> = steps
        .iter()
        .filter(|step| options.only.is_empty() || options.only.iter().any(|n| n == step.name))
        .collect();
    let workspace = steps::Workspace::find()?;
    let begin = Instant::now();
    for (index, step) in chosen.iter().enumerate() {
        println!(
            "[{}/{}] {}: {}",
            index + 1,
            chosen.len(),
            step.name,
            step.about
        );
        let start = Instant::now();
        let result = (step.run)(&workspace);
        let seconds = start.elapsed().as_secs_f64();
        result.map_err(|why| {
            let name = step.name;
            format!("step {name} failed after {seconds:.1} s: {why}\nagain: cargo xtask check --only {name}")
        })?;
        println!(
            "[{}/{}] {}: ok in {seconds:.1} s",
            index + 1,
            chosen.len(),
            step.name
        );
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("all {} steps ok in {seconds:.1} s", chosen.len());
    Ok(())
}
