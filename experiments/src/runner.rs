//! Runs the cells of a plan that have no result yet.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::plan::CELL;
use crate::program::Program;
use crate::results::{append, newest};
use crate::work::{Run, Work};
use crate::{Cell, Row, RunArgs, read_rows};

/// Time between two looks at the running programs.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs the cells that have no result yet. A cell that fails is a row too and does not stop the
/// others. Returns status 0 if all cells have a result, and 130 if the runner was asked to stop.
///
/// # Errors
/// Returns an error if a variable has no value, if the program cannot be started or leaves no
/// summary, or if files cannot be written.
pub fn run(args: &RunArgs) -> Result<ExitCode> {
    let (plan, cells, results) = args.plan.read()?;
    let folder = args.work.join(&plan.name);
    let lock = lock(&folder)?;
    let rows = read_rows(&results)?;
    let rows = newest(&rows);
    let is_done = |row: &&Row| row.is_ok() || !args.retry_failed;
    let pending = cells
        .iter()
        .filter(|cell| !rows.get(cell.id.as_str()).is_some_and(is_done))
        // All variables are filled in before the first cell starts, because a cell may run for an hour.
        .map(|cell| Ok((cell, cell.filled(&args.set)?)))
        .collect::<Result<Vec<_>>>()?;
    let total = pending.len();
    let waiting: Vec<&Cell> = pending.iter().map(|(cell, _)| *cell).collect();
    let time = hours(&waiting, &cells, &rows).map_or_else(String::new, |hours| {
        format!(", about {hours:.1} hours of one core")
    });
    eprintln!(
        "{}: {total} of {} cells to run{time}",
        plan.name,
        cells.len()
    );
    if total == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.map_or_else(cores, usize::from);
    let work = Work {
        plan: &plan.name,
        threads: (jobs > 1).then_some(1),
        program: Program::copy(args.program.as_deref(), &folder)?,
        folder,
        lock,
    };
    let stop = stop_on_signals();
    let mut queue = pending.into_iter();
    let mut running: Vec<Run<'_>> = Vec::new();
    let mut tally = Tally {
        work: &work,
        results: &results,
        keep: args.keep,
        total,
        finished: 0,
        failed: 0,
    };
    loop {
        let asked = stop.load(Ordering::SeqCst);
        while !asked
            && running.len() < jobs
            && let Some((cell, args)) = queue.next()
        {
            match work.finished(cell) {
                Some(row) => tally.add(cell, &row)?,
                None => running.push(work.start(cell, args)?),
            }
        }
        if running.is_empty() {
            break;
        }
        for mut run in std::mem::take(&mut running) {
            if asked {
                run.ask_to_stop();
            }
            let Some(status) = run.child.try_wait()? else {
                running.push(run);
                continue;
            };
            if status.success() {
                work.note(&run)?;
                if run.has_more() {
                    if !asked {
                        work.next(&mut run)?;
                        running.push(run);
                    }
                    continue;
                }
            }
            if let Some(row) = work.ended(&run, status, asked) {
                tally.add(run.cell, &row)?;
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
    let Tally {
        finished, failed, ..
    } = tally;
    let path = results.display();
    eprintln!("{finished} of {total} finished, {failed} failed; results: {path}");
    Ok(match stop.load(Ordering::SeqCst) {
        true => {
            eprintln!("interrupted: the same command resumes");
            ExitCode::from(130)
        }
        false if finished < total => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// Counts and stores the results of cells.
struct Tally<'a> {
    work: &'a Work<'a>,
    results: &'a Path,
    keep: bool,
    total: usize,
    finished: usize,
    failed: usize,
}

impl Tally<'_> {
    fn add(&mut self, cell: &Cell, row: &Row) -> Result<()> {
        append(self.results, row)?;
        match row.is_ok() {
            true => self.finished += 1,
            false => self.failed += 1,
        }
        let (number, total) = (self.finished + self.failed, self.total);
        eprintln!("[{number}/{total}] {}", self.work.line(cell, row));
        if row.is_ok() && !self.keep {
            self.work.tidy(cell)?;
        }
        Ok(())
    }
}

/// Estimates the hours that cells take: the mean time of finished cells of the same group, or else the
/// minutes of the plan. Returns `None` if a cell has neither.
fn hours(waiting: &[&Cell], all: &[Cell], rows: &BTreeMap<&str, &Row>) -> Option<f64> {
    if waiting.is_empty() {
        return None;
    }
    let seconds = |cell: &Cell| {
        let like = all
            .iter()
            .filter(|other| other.axes.get(CELL) == cell.axes.get(CELL));
        let rows = like.filter_map(|other| rows.get(other.id.as_str()));
        // A resumed cell has only the time of its last start.
        let whole = rows.filter(|row| row.is_ok() && !row.resumed);
        let times: Vec<f64> = whole.map(|row| row.seconds).collect();
        match times.is_empty() {
            false => Some(times.iter().sum::<f64>() / times.len() as f64),
            true => cell.minutes.map(|minutes| minutes * 60.0),
        }
    };
    let all: Option<Vec<f64>> = waiting.iter().map(|cell| seconds(cell)).collect();
    Some(all?.iter().sum::<f64>() / 3600.0)
}

/// Locks the work folder of a plan. Waits for other runners, and for programs that outlived their
/// runner.
fn lock(folder: &Path) -> Result<File> {
    let named = || folder.display().to_string();
    fs::create_dir_all(folder).with_context(named)?;
    let lock = File::create(folder.join("lock")).with_context(named)?;
    if lock.try_lock().is_err() {
        let folder = folder.display();
        eprintln!("waiting: another runner, or a program of one, works in {folder}");
        lock.lock().with_context(named)?;
    }
    Ok(lock)
}

/// The first signal asks to stop, and a second one ends the runner at once.
fn stop_on_signals() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    for (signal, status) in [(SIGINT, 130), (SIGTERM, 143)] {
        let both = flag::register_conditional_shutdown(signal, status, Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)));
        if let Err(error) = both {
            eprintln!("warning: signal {signal}: {error}: stop the programs by hand");
        }
    }
    stop
}
