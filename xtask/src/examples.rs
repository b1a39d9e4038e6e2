//! Runs the examples.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;

use crate::steps::Workspace;

/// Lines of output that are shown of each example.
const SHOWN: usize = 12;

#[derive(Debug, Args)]
pub(crate) struct Examples {
    /// Run only this example (may be given several times)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// List the names, and run nothing
    #[arg(long)]
    list: bool,
}

/// Builds all examples, and runs each in an empty folder.
pub(crate) fn run(options: &Examples) -> Result<(), String> {
    let workspace = Workspace::find()?;
    let all = names(&workspace);
    if let Some(unknown) = options.only.iter().find(|name| !all.contains(*name)) {
        let all = all.join(", ");
        return Err(format!(
            "there is no example {unknown:?}; the examples are {all}"
        ));
    }
    if options.list {
        println!("{}", all.join("\n"));
        return Ok(());
    }
    // With the features of `cargo test --workspace`, whose build is there already.
    workspace.cargo(&["build", "--workspace", "--examples"])?;
    let chosen: Vec<&String> = all
        .iter()
        .filter(|name| options.only.is_empty() || options.only.contains(name))
        .collect();
    let mut table = String::new();
    let mut total = Duration::ZERO;
    for name in chosen {
        println!("{name}");
        let took = example(&workspace, name)?;
        println!("{name}: ok in {:.1} s", took.as_secs_f64());
        table += &format!("{name:<20} {:>6.1} s\n", took.as_secs_f64());
        total += took;
    }
    println!("\n{table}{:<20} {:>6.1} s", "all", total.as_secs_f64());
    Ok(())
}

/// The examples of the package of examples.
fn names(workspace: &Workspace) -> Vec<String> {
    let packages = workspace.own.workspace_packages();
    let of_examples = packages
        .iter()
        .find(|package| package.name.as_str() == "collimate-examples");
    let targets = of_examples.map_or(&[][..], |package| package.targets.as_slice());
    let mut names: Vec<String> = targets
        .iter()
        .filter(|target| target.is_example())
        .map(|target| target.name.clone())
        .collect();
    names.sort();
    names
}

fn example(workspace: &Workspace, name: &str) -> Result<Duration, String> {
    let target = workspace.target();
    let folder = target.join("examples").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let program = target
        .join("debug/examples")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let start = Instant::now();
    let output = Command::new(&program)
        .current_dir(&folder)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let took = start.elapsed();
    show(&String::from_utf8_lossy(&output.stdout));
    match output.status.success() {
        true => Ok(took),
        false => Err(format!("example {name}: {}", output.status)),
    }
}

/// Prints the last lines of an example's output.
fn show(text: &str) {
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(SHOWN)..] {
        println!("  {line}");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_an_example() {
        let workspace = Workspace::find().unwrap();
        let names = names(&workspace);
        let files = fs::read_dir(workspace.root().join("examples")).unwrap();
        let mut stems: Vec<String> = files
            .map(|entry| entry.unwrap().path())
            .filter(|path| is_rust(path) && !path.ends_with("lib.rs"))
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        stems.sort();
        assert_eq!(names, stems);
        assert!(names.contains(&"ser".to_owned()));
    }

    fn is_rust(path: &Path) -> bool {
        path.extension().is_some_and(|kind| kind == "rs")
    }
}
