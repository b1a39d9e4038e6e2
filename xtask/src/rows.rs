//! Measures commands on files of more and more rows: memory must stay flat.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

/// Options of `cargo xtask rows`.
#[derive(Debug, Args)]
pub(crate) struct Rows {
    /// Program to measure
    #[arg(long, value_name = "PROGRAM", default_value = "target/debug/collimate")]
    program: PathBuf,
    /// Numbers of rows
    #[arg(long, value_delimiter = ',', default_value = "100000,1000000,10000000")]
    rows: Vec<u64>,
    /// Folder for the files; about 900 bytes per row
    #[arg(long, value_name = "DIR", default_value = "target/rows")]
    folder: PathBuf,
    /// Folder of a small language model, for `score --logprobs` on the first 100,000 rows
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
}

/// Number of rows that are scored.
const SCORED: u64 = 100_000;

/// Largest allowed ratio of a peak to the peak at the first number of rows.
const FLAT: f64 = 1.1;

pub(crate) fn run(options: &Rows) -> Result<(), String> {
    let program = options.program.canonicalize();
    let program = program.map_err(|error| format!("{}: {error}", options.program.display()))?;
    std::fs::create_dir_all(&options.folder).map_err(|error| error.to_string())?;
    let mut table: Vec<(String, u64, Measured)> = Vec::new();
    for &rows in &options.rows {
        let pairs = options.folder.join("pairs.jsonl");
        write(&pairs, rows, false)?;
        let run = |arguments: &[&str]| measure(&program, arguments);
        let pairs_name = pairs.to_string_lossy().into_owned();
        let checked = run(&["data", "check", &pairs_name])?;
        table.push(("data check".to_owned(), rows, checked));
        if let Some(model) = options.model.as_ref().filter(|_| rows >= SCORED) {
            let first = options.folder.join("first.jsonl");
            write(&first, rows.min(SCORED), false)?;
            let (first, model) = (first.to_string_lossy(), model.to_string_lossy());
            let out = options.folder.join("scored.jsonl");
            let out = out.to_string_lossy();
            let scored = run(&[
                "score",
                "--logprobs",
                "--model",
                &model,
                "--data",
                &first,
                "--out",
                &out,
                "--max-length",
                "64",
            ])?;
            table.push(("score".to_owned(), rows.min(SCORED), scored));
        }
        std::fs::remove_file(&pairs).map_err(|error| error.to_string())?;
        let scores = options.folder.join("scores.jsonl");
        write(&scores, rows, true)?;
        let scores_name = scores.to_string_lossy().into_owned();
        for rule in [
            &["--rule", "status"][..],
            &["--rule", "margin", "--keep", "0.3"],
        ] {
            let out = options.folder.join("kept.jsonl");
            let out = out.to_string_lossy().into_owned();
            let arguments = [&["data", "filter", &scores_name, "--out", &out], rule].concat();
            table.push((format!("data filter {}", rule[1]), rows, run(&arguments)?));
            std::fs::remove_file(&out).map_err(|error| error.to_string())?;
        }
        std::fs::remove_file(&scores).map_err(|error| error.to_string())?;
    }
    println!(
        "{:24} {:>10} {:>9} {:>12} {:>9}",
        "command", "rows", "seconds", "rows/s", "peak MiB"
    );
    for (name, rows, Measured { seconds, peak }) in &table {
        let (speed, mib) = (*rows as f64 / seconds, *peak as f64 / 1024.0);
        println!("{name:24} {rows:>10} {seconds:>9.1} {speed:>12.0} {mib:>9.1}");
    }
    flat(&table)
}

/// Compares the peak at each number of rows with the peak at the first number.
fn flat(table: &[(String, u64, Measured)]) -> Result<(), String> {
    for (name, rows, measured) in table {
        let first = table.iter().find(|(other, ..)| other == name);
        let Some((_, few, small)) = first else {
            continue;
        };
        if measured.peak as f64 > FLAT * small.peak as f64 {
            return Err(format!(
                "{name}: the peak grows from {} KiB at {few} rows to {} KiB at {rows} rows",
                small.peak, measured.peak
            ));
        }
    }
    Ok(())
}

struct Measured {
    seconds: f64,
    /// Peak of the resident memory in KiB.
    peak: u64,
}

fn measure(program: &Path, arguments: &[&str]) -> Result<Measured, String> {
    println!("{}", arguments.join(" "));
    let started = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut peak = 0;
    let status = loop {
        peak = peak.max(high_water(&child).unwrap_or(0));
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        thread::sleep(Duration::from_millis(2));
    };
    match status.success() {
        true => Ok(Measured {
            seconds: started.elapsed().as_secs_f64(),
            peak,
        }),
        false => Err(format!("{} ended with {status}", arguments.join(" "))),
    }
}

/// Returns the peak so far of a process in KiB.
fn high_water(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Writes pairs of made-up sentences, with scores or without.
fn write(path: &Path, rows: u64, scored: bool) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = BufWriter::new(File::create(path).map_err(fail)?);
    let mut state = 7_u64;
    let mut draw = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    const WORDS: [&str; 16] = [
        "the", "river", "small", "house", "answers", "slowly", "green", "question", "seven",
        "lamps", "under", "never", "paper", "walks", "bright", "stone",
    ];
    for row in 0..rows {
        let mut sentence = |words: u64| -> String {
            let count = words / 2 + draw() % words;
            let words = (0..count).map(|_| WORDS[draw() as usize % WORDS.len()]);
            words.collect::<Vec<_>>().join(" ")
        };
        let (prompt, chosen, rejected) = (sentence(20), sentence(40), sentence(40));
        write!(
            file,
            "{{\"prompt\": \"{row} {prompt}?\", \"chosen\": \"{chosen}.\", \"rejected\": \"{rejected}!\""
        )
        .map_err(fail)?;
        if scored {
            let mut score = || draw() as f64 / (1_u64 << 31) as f64 * 8.0 - 4.0;
            let (chosen, rejected) = (score(), score());
            write!(
                file,
                ", \"chosen_score\": {chosen:.4}, \"rejected_score\": {rejected:.4}"
            )
            .map_err(fail)?;
        }
        file.write_all(b"}\n").map_err(fail)?;
    }
    file.flush().map_err(fail)
}
