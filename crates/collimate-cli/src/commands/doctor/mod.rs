//! Reports the build and the machine that the program runs on.

mod devices;
mod environment;
mod machine;

use std::fmt::Write;

use serde::Serialize;

use crate::common::{self, Failure};

/// Report what the program finds on this machine: build, devices, threads, processor, memory, disk.
///
/// Include these lines when you report a problem. Values of variables that may hold a password or a
/// key are not printed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// The facts that are reported.
#[derive(Debug, Serialize)]
struct Found {
    version: &'static str,
    /// Backends and other features that the program was built with.
    features: Vec<&'static str>,
    target: String,
    devices: Vec<devices::Tried>,
    threads: Threads,
    processor: machine::Processor,
    memory: Option<machine::Memory>,
    disk: machine::Disk,
    environment: Vec<environment::Set>,
}

/// Threads that the program uses.
#[derive(Debug, Serialize)]
struct Threads {
    /// Number of threads in the compute pool.
    pool: usize,
    /// Number of threads that the system allows this process; absent if the system does not report
    /// it.
    available: Option<usize>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let found = Found {
        version: env!("CARGO_PKG_VERSION"),
        features: features(),
        target: format!("{} {}", std::env::consts::ARCH, std::env::consts::OS),
        devices: devices::all(),
        threads: Threads {
            pool: rayon::current_num_threads(),
            available: std::thread::available_parallelism().ok().map(usize::from),
        },
        processor: machine::processor(),
        memory: machine::memory(),
        disk: machine::disk(),
        environment: environment::all(),
    };
    match args.json {
        true => common::print(&(serde_json::to_string_pretty(&found)? + "\n")),
        false => common::print(&text(&found)),
    }
}

fn features() -> Vec<&'static str> {
    let built = [
        ("flex", cfg!(feature = "flex")),
        ("ndarray", cfg!(feature = "ndarray")),
        ("cuda", cfg!(feature = "cuda")),
        ("vulkan", cfg!(feature = "vulkan")),
        ("metal", cfg!(feature = "metal")),
        ("wgpu", cfg!(feature = "wgpu")),
        ("hub", cfg!(feature = "hub")),
        ("label", cfg!(feature = "label")),
        ("parquet", cfg!(feature = "parquet")),
        ("remote", cfg!(feature = "remote")),
    ];
    built
        .into_iter()
        .filter(|(_, built)| *built)
        .map(|(name, _)| name)
        .collect()
}

fn text(found: &Found) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<14}{value}");
    };
    line(
        "version",
        &format!("collimate {} ({})", found.version, found.target),
    );
    line("built with", &listed(&found.features));
    for device in &found.devices {
        let state = match &device.problem {
            None => "works".to_owned(),
            Some(problem) => problem.clone(),
        };
        line("device", &format!("{}: {state}", device.name));
    }
    let available = found.threads.available;
    let available = available.map_or_else(|| "an unknown number".to_owned(), |n| n.to_string());
    line(
        "threads",
        &format!("{} in the pool, {available} available", found.threads.pool),
    );
    let processor = &found.processor;
    line("processor", processor.name.as_deref().unwrap_or("unknown"));
    let has = processor
        .features
        .iter()
        .filter(|(_, has)| **has)
        .map(|(name, _)| *name);
    let lacks = processor
        .features
        .iter()
        .filter(|(_, has)| !**has)
        .map(|(name, _)| *name);
    line("", &format!("has {}", listed(&has.collect::<Vec<_>>())));
    line("", &format!("lacks {}", listed(&lacks.collect::<Vec<_>>())));
    match &found.memory {
        Some(memory) => line(
            "memory",
            &format!(
                "{} in all, {} available",
                size(memory.total),
                size(memory.available)
            ),
        ),
        None => line("memory", "unknown"),
    }
    let disk = &found.disk;
    let free = disk.free.map_or_else(|| "unknown".to_owned(), size);
    line("free disk", &format!("{free} in {}", disk.folder.display()));
    let writable = match &disk.temporary_problem {
        None => "can be written".to_owned(),
        Some(problem) => format!("cannot be written ({problem}): set TMPDIR to another folder"),
    };
    line(
        "temporary",
        &format!("{} {writable}", disk.temporary.display()),
    );
    match found.environment.is_empty() {
        true => line(
            "environment",
            "none of the variables that the program reads is set",
        ),
        false => {
            for set in &found.environment {
                line(
                    "environment",
                    &format!("{}={} ({})", set.name, set.value, set.effect),
                );
            }
        }
    }
    text
}

fn listed(names: &[&str]) -> String {
    match names.is_empty() {
        true => "nothing".to_owned(),
        false => names.join(", "),
    }
}

/// Writes bytes in GiB, or in MiB if there are few.
fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    match mib < 1024.0 {
        true => format!("{mib:.0} MiB"),
        false => format!("{:.1} GiB", mib / 1024.0),
    }
}
