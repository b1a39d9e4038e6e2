//! The runner.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use collimate::train::Interrupt;
use indicatif::ProgressBar;
use serde_json::Value;

use crate::hide::Hide;
use crate::progress::{line, progress_bar, say};
use crate::provenance::{Program, commit};
use crate::work::{self, CellFolder, Started};
use crate::{BenchError, Cell, Plan, Results, Row, Variables};

/// How long to leave a cell alone that another runner has.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// How to run a plan.
#[derive(Debug, Clone)]
pub struct SweepOptions {
    /// File of the rows.
    pub results: PathBuf,
    /// Work folders are `work/<plan>/<id>`.
    pub work: PathBuf,
    /// Folder of the programs.
    pub bin_dir: PathBuf,
    /// Cells at a time. Above 1 each has one thread.
    pub jobs: usize,
    /// Values of the plan's variables.
    pub variables: Variables,
    /// Run failed cells again.
    pub retry_failed: bool,
    /// Keep checkpoints and models of finished runs.
    pub keep: bool,
    /// Commit the results file after each row.
    pub commit: bool,
}

/// How a sweep ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Cells that had a row before.
    pub skipped: usize,
    /// Cells that this sweep finished.
    pub finished: usize,
    /// Cells that failed.
    pub failed: usize,
    /// Cells that were asked to stop and have no row.
    pub stopped: usize,
    /// Whether somebody asked to stop.
    pub interrupted: bool,
}

/// A plan's cells and how to run them.
#[derive(Debug)]
pub struct Sweep<'a> {
    plan: &'a Plan,
    options: &'a SweepOptions,
    results: Results,
    cells: Vec<Cell>,
}

enum Step {
    Row(Box<Row>, CellFolder),
    Elsewhere,
    Busy,
    Stopped,
}

impl<'a> Sweep<'a> {
    /// The cells of a plan that `only` fits ([`Cell::fits`]), or all.
    ///
    /// # Errors
    /// When the plan cannot be expanded or `only` fits nothing.
    pub fn new(
        plan: &'a Plan,
        options: &'a SweepOptions,
        only: Option<&str>,
    ) -> Result<Self, BenchError> {
        let mut cells = plan.expand()?;
        if let Some(pattern) = only {
            let count = cells.len();
            cells.retain(|cell| cell.fits(pattern));
            if cells.is_empty() {
                return Err(BenchError::NoCell {
                    pattern: pattern.to_owned(),
                    cells: count,
                });
            }
        }
        Ok(Self {
            plan,
            options,
            results: Results::new(&options.results),
            cells,
        })
    }

    /// The cells.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The newest row of each cell that has one, by id.
    ///
    /// # Errors
    /// When the results file cannot be read.
    pub fn rows(&self) -> Result<BTreeMap<String, Row>, BenchError> {
        self.results.of(&self.cells)
    }

    /// The command lines of the cells that a sweep would run now.
    ///
    /// # Errors
    /// When a variable has no value or the results file cannot be read.
    pub fn commands(&self) -> Result<Vec<String>, BenchError> {
        let program = self.options.bin_dir.join(&self.plan.program);
        self.pending(&self.rows()?)
            .map(|cell| {
                let folder = self.folder(cell);
                let resume = folder.join("run").join("config.json").exists();
                let args = work::arguments(&folder, cell, &self.options.variables, resume)?;
                Ok(format!("{} {}", program.display(), args.join(" ")))
            })
            .collect()
    }

    fn folder(&self, cell: &Cell) -> PathBuf {
        self.options.work.join(&self.plan.name).join(&cell.id)
    }

    fn is_done(&self, row: &Row) -> bool {
        row.is_ok() || !self.options.retry_failed
    }

    fn pending(&self, rows: &BTreeMap<String, Row>) -> impl Iterator<Item = &Cell> {
        self.cells
            .iter()
            .filter(|cell| !rows.get(&cell.id).is_some_and(|row| self.is_done(row)))
    }

    /// Runs what has no row yet. A failing cell is a row too and does not stop the others.
    ///
    /// # Errors
    /// When the program is not there, a variable has no value, or files cannot be written.
    pub fn run(&self) -> Result<Outcome, BenchError> {
        // All variables are looked up before the first cell runs for an hour.
        self.commands()?;
        let queue: VecDeque<&Cell> = self.pending(&self.rows()?).collect();
        let mut outcome = Outcome {
            skipped: self.cells.len() - queue.len(),
            ..Outcome::default()
        };
        if queue.is_empty() {
            return Ok(outcome);
        }
        let interrupt = Interrupt::on_signals().unwrap_or_else(|error| {
            eprintln!("warning: {error}: stop the runner and its programs by hand");
            Interrupt::new()
        });
        let folder = self.options.work.join(&self.plan.name).join("bin");
        let program = Program::snapshot(&self.plan.program, &self.options.bin_dir, &folder)?;
        let total = queue.len();
        let bar = progress_bar(total);
        let started = Instant::now();
        let state = Mutex::new((queue, outcome));
        // Shared state stays valid when a worker panics; the panic itself is passed on by `scope`.
        let lock = || state.lock().unwrap_or_else(|error| error.into_inner());
        let worker = || -> Result<(), BenchError> {
            let mut waiting_for: Option<&str> = None;
            while !interrupt.is_set() {
                let Some(cell) = lock().0.pop_front() else {
                    break;
                };
                let step = match self.step(cell, &program, &interrupt, &bar) {
                    Ok(step) => step,
                    Err(error) => {
                        lock().0.clear();
                        return Err(error);
                    }
                };
                match step {
                    // The folder is given back only when the row is in the file.
                    Step::Row(row, folder) => {
                        let mut state = lock();
                        let error = self.record(&row, &folder);
                        let done = &mut state.1;
                        match row.is_ok() {
                            true => done.finished += 1,
                            false => done.failed += 1,
                        }
                        let count = done.finished + done.failed;
                        bar.set_position(count as u64);
                        say(&bar, &line(&row, count, total, started.elapsed()));
                        if let Err(error) = error {
                            state.0.clear();
                            return Err(error);
                        }
                    }
                    Step::Elsewhere => lock().1.skipped += 1,
                    Step::Busy => {
                        if waiting_for != Some(&cell.id) {
                            waiting_for = Some(&cell.id);
                            say(
                                &bar,
                                &format!("{}: another runner has it, waiting", cell.name),
                            );
                        }
                        lock().0.push_back(cell);
                        std::thread::sleep(ASK_AGAIN);
                    }
                    Step::Stopped => {
                        lock().1.stopped += 1;
                        say(&bar, &format!("{}: stopped, goes on next time", cell.name));
                    }
                }
            }
            Ok(())
        };
        let ends: Vec<Result<(), BenchError>> = std::thread::scope(|scope| {
            let workers = self.options.jobs.clamp(1, total);
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
            threads
                .into_iter()
                .map(|thread| match thread.join() {
                    Ok(end) => end,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
                .collect()
        });
        bar.finish_and_clear();
        ends.into_iter().collect::<Result<Vec<()>, _>>()?;
        outcome = lock().1;
        outcome.interrupted = interrupt.is_set();
        Ok(outcome)
    }

    /// One start of one cell.
    fn step(
        &self,
        cell: &Cell,
        program: &Program,
        interrupt: &Interrupt,
        bar: &ProgressBar,
    ) -> Result<Step, BenchError> {
        let Some(folder) = CellFolder::open(self.folder(cell))? else {
            return Ok(Step::Busy);
        };
        // Another runner may have finished it since this one looked.
        if self
            .rows()?
            .get(&cell.id)
            .is_some_and(|row| self.is_done(row))
        {
            return Ok(Step::Elsewhere);
        }
        let resumed = folder.can_resume()?;
        let before = folder.started().filter(|_| resumed);
        let mut note = before.clone().unwrap_or_else(|| Started {
            cell: cell.name.clone(),
            build: program.build.clone(),
            seconds: 0.0,
        });
        folder.note(&note)?;
        let args = folder.arguments(cell, &self.options.variables, resumed)?;
        let threads = (self.options.jobs > 1).then_some(1);
        say(
            bar,
            &format!(
                "{} {}",
                if resumed { "go on:" } else { "start:" },
                cell.name
            ),
        );
        let clock = Instant::now();
        let (mut child, log) = folder.spawn(&program.path, &args, threads)?;
        let status = work::wait(&mut child, interrupt).map_err(BenchError::io(&program.path))?;
        note.seconds += (clock.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        folder.note(&note)?;
        if !status.success() && (interrupt.is_set() || work::was_stopped(status)) {
            return Ok(Step::Stopped);
        }
        let mut error = None;
        let mut fields = BTreeMap::new();
        if status.success() {
            match read_summary(&folder.run()) {
                Ok(summary) => fields = cell.select(&summary),
                Err(reason) => error = Some(reason),
            }
        } else {
            let silent = || "it said nothing on standard error".to_owned();
            error = Some(folder.last_error(log).unwrap_or_else(silent));
        }
        let hide = Hide::new(&self.options.variables, &self.options.work);
        let row = Row {
            plan: self.plan.name.clone(),
            id: cell.id.clone(),
            cell: cell.name.clone(),
            axes: cell.axes.clone(),
            commit: program.build.commit.clone(),
            dirty: program.build.dirty,
            binary: program.build.binary.clone(),
            began: before
                .map(|started| started.build.binary)
                .filter(|binary| *binary != program.build.binary),
            resumed,
            threads,
            seconds: note.seconds,
            status: status.code(),
            error: error.map(|text| hide.text(&text)),
            fields: fields
                .into_iter()
                .map(|(name, value)| (name, hide.json(value)))
                .collect(),
        };
        let missing: Vec<&str> = cell
            .keep
            .keys()
            .filter(|name| row.is_ok() && !row.fields.contains_key(*name))
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            let text = format!("{}: summary.json has no {}", cell.name, missing.join(", "));
            say(bar, &text);
        }
        Ok(Step::Row(Box::new(row), folder))
    }

    fn record(&self, row: &Row, folder: &CellFolder) -> Result<(), BenchError> {
        self.results.append(row)?;
        if row.is_ok() && !self.options.keep {
            folder.tidy()?;
        }
        if self.options.commit {
            let message = format!("Add a result of {}: {}", row.plan, row.cell);
            if let Err(reason) = commit(self.results.path(), &message) {
                eprintln!("not committed ({reason}): the next row's commit will hold it");
            }
        }
        Ok(())
    }
}

fn read_summary(run: &Path) -> Result<Value, String> {
    let text = fs::read(run.join("summary.json"))
        .map_err(|error| format!("the program ended well without a summary.json: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("summary.json: {error}"))
}
