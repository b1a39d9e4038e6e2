//! Work on one cell: starts the programs, and makes a row of the files that they leave.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::program::Program;
use crate::step::{self, RUN, Step};
use crate::tables::fields_line;
use crate::{Cell, Curve, Row};

/// Folder of a finished run that is kept.
const PLOTS: &str = "plots";
/// File that a run writes first.
const CONFIG: &str = "config.json";
/// File with the metrics of a run.
const METRICS: &str = "metrics.jsonl";
/// File with the numbers of a run.
const SUMMARY: &str = "summary.json";

/// The work folder of a plan, and the program that fills it.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    pub(crate) plan: &'a str,
    pub(crate) threads: Option<usize>,
    pub(crate) program: Program,
    pub(crate) folder: PathBuf,
    /// The locked file in the folder.
    pub(crate) lock: File,
}

/// A cell whose programs run one after the other.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) cell: &'a Cell,
    pub(crate) child: Child,
    /// Arguments of all steps.
    args: Vec<Vec<String>>,
    /// Index of the running step.
    step: usize,
    resumed: bool,
    /// Start of the running step.
    started: Instant,
    asked: bool,
}

impl<'a> Work<'a> {
    fn path(&self, id: &str, name: &str) -> PathBuf {
        self.folder.join(id).join(name)
    }

    /// Starts the first unfinished program of a cell, or resumes it.
    pub(crate) fn start<'c>(&self, cell: &'c Cell, args: Vec<Vec<String>>) -> Result<Run<'c>> {
        let path = |name: &str| self.path(&cell.id, name);
        let step = self.seconds(cell).len().min(cell.steps.len() - 1);
        let resumed = step > 0 || path(RUN).join(CONFIG).exists();
        if !resumed {
            fs::create_dir_all(path(""))
                .and_then(|()| fs::write(path(step::BEGAN), &self.program.binary))
                .with_context(|| path("").display().to_string())?;
        }
        Ok(Run {
            child: self.child(cell, step, &args[step])?,
            cell,
            args,
            step,
            resumed,
            started: Instant::now(),
            asked: false,
        })
    }

    /// Notes that the running step has ended well.
    pub(crate) fn note(&self, run: &Run<'_>) -> Result<()> {
        let path = self.done(&run.cell.id, &run.cell.steps[run.step]);
        let seconds = run.started.elapsed().as_secs_f64();
        fs::write(&path, format!("{seconds:.1}\n")).with_context(|| path.display().to_string())
    }

    /// Starts the step after a finished one.
    pub(crate) fn next(&self, run: &mut Run<'_>) -> Result<()> {
        run.step += 1;
        run.child = self.child(run.cell, run.step, &run.args[run.step])?;
        run.started = Instant::now();
        Ok(())
    }

    /// Returns the file that notes the end of a step.
    fn done(&self, id: &str, step: &Step) -> PathBuf {
        self.path(id, &format!("{}.done", step.name))
    }

    /// Returns the seconds of the steps that have ended well, up to the first that has not.
    fn seconds(&self, cell: &Cell) -> Vec<f64> {
        let steps = cell.steps.iter();
        let seconds = steps.map_while(|step| {
            let text = fs::read_to_string(self.done(&cell.id, step)).ok()?;
            text.trim().parse().ok()
        });
        seconds.collect()
    }

    /// Returns the row of a cell whose steps have all ended, but whose row is not in the results.
    pub(crate) fn finished(&self, cell: &Cell) -> Option<Row> {
        let ended = self.seconds(cell).len() == cell.steps.len();
        ended.then(|| self.row(cell, Some(0), true))
    }

    /// Returns a file beside the folder of a step.
    fn beside(&self, cell: &Cell, step: usize, end: &str) -> PathBuf {
        match step {
            0 => self.path(&cell.id, end),
            _ => self.path(&cell.id, &format!("{}.{end}", cell.steps[step].name)),
        }
    }

    /// Starts the program of a step, or resumes it.
    fn child(&self, cell: &Cell, index: usize, args: &[String]) -> Result<Child> {
        let command = &cell.steps[index];
        let out = self.path(&cell.id, &command.name);
        let beside = |end| self.beside(cell, index, end);
        let home = self.path(&cell.id, "").display().to_string();
        let home = home.trim_end_matches('/');
        let place = format!("${{{}}}", step::CELL);
        let resumed = out.join(CONFIG).exists();
        let start = || {
            // An evaluation has no configuration and cannot be resumed, but it may go on from the
            // judgements in its folder if it has not ended.
            if !resumed && out.join(SUMMARY).exists() {
                fs::remove_dir_all(&out)?;
            }
            let mut child = Command::new(&self.program.path);
            child.args(command.words());
            child.args(args.iter().map(|arg| arg.replace(&place, home)));
            if let Some(text) = command.config_text() {
                fs::write(beside(CONFIG), text)?;
                child.arg("--config").arg(beside(CONFIG));
            }
            child.arg("--out").arg(&out);
            child.args(resumed.then_some("--resume"));
            if let Some(threads) = self.threads {
                child.env("RAYON_NUM_THREADS", threads.to_string());
            }
            // In its own process group the program gets Ctrl-C only through the runner. If it is
            // asked twice, it stops without saving.
            #[cfg(unix)]
            std::os::unix::process::CommandExt::process_group(&mut child, 0);
            // The lock is the standard input of the program, so the folder stays locked for as long
            // as the program lives, even if the runner does not.
            child
                .stdin(self.lock.try_clone()?)
                .stdout(File::create(beside("stdout.log"))?)
                .stderr(File::create(beside("stderr.log"))?)
                .spawn()
        };
        start().with_context(|| out.display().to_string())
    }

    /// Makes the row of a program that has ended; none if the program was asked to stop.
    pub(crate) fn ended(&self, run: &Run<'_>, status: ExitStatus, asked: bool) -> Option<Row> {
        // Statuses with which a shell and `collimate` report a program that was asked to stop.
        let asked = asked || matches!(status.code(), Some(130 | 143));
        if !status.success() && asked {
            return None;
        }
        let mut row = self.row(run.cell, status.code(), run.resumed);
        if !row.is_ok() {
            row.seconds += round(run.started.elapsed().as_secs_f64());
        }
        Some(row)
    }

    /// Makes a row with the seconds of the steps that have ended well.
    fn row(&self, cell: &Cell, status: Option<i32>, resumed: bool) -> Row {
        let binary = self.program.binary.clone();
        let began = fs::read_to_string(self.path(&cell.id, step::BEGAN)).ok();
        let (fields, curves) = match status {
            Some(0) => (self.fields(cell), self.curves(cell)),
            _ => Default::default(),
        };
        Row {
            plan: self.plan.to_owned(),
            id: cell.id.clone(),
            cell: cell.name.clone(),
            axes: cell.axes.clone(),
            commit: self.program.commit.clone(),
            dirty: self.program.dirty,
            began: began.filter(|began| *began != binary),
            binary,
            resumed,
            machine: self.program.machine.clone(),
            threads: self.threads,
            seconds: round(self.seconds(cell).iter().sum()),
            status,
            fields,
            curves,
        }
    }

    /// Returns the kept metrics of a finished cell, with six digits.
    fn curves(&self, cell: &Cell) -> BTreeMap<String, Curve> {
        let mut all = BTreeMap::new();
        for (name, place) in &cell.curves {
            let path = self.path(&cell.id, RUN).join(METRICS);
            let curve = curve(&fs::read_to_string(&path).unwrap_or_default(), place);
            if curve.is_empty() {
                eprintln!("{}: {} has no {place}", cell.name, path.display());
            }
            all.insert(name.clone(), curve);
        }
        all
    }

    /// Returns the kept numbers of a finished cell.
    fn fields(&self, cell: &Cell) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        for step in &cell.steps {
            let path = self.path(&cell.id, &step.name).join(SUMMARY);
            let summary = fs::read(&path).ok();
            let summary = summary.and_then(|text| serde_json::from_slice(&text).ok());
            let fields = step.select(&summary.unwrap_or_default());
            if let Some(name) = step.keep.keys().find(|name| !fields.contains_key(*name)) {
                eprintln!("{}: {} has no number {name}", cell.name, path.display());
            }
            all.extend(fields);
        }
        all
    }

    /// Writes a row as a line for the terminal. The last line of standard error may contain paths
    /// of this machine, so results do not hold it.
    pub(crate) fn line(&self, cell: &Cell, row: &Row) -> String {
        let failed = self.seconds(cell).len().min(cell.steps.len() - 1);
        let log = self.beside(cell, failed, "stderr.log");
        let text = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let last = text.lines().rfind(|line| !line.trim().is_empty());
        let result = match row.is_ok() {
            true => fields_line(&row.fields),
            false => format!("FAILED, {}: {}", log.display(), last.unwrap_or_default()),
        };
        format!("{} in {:.0} s: {result}", row.cell, row.seconds)
    }

    /// Removes checkpoints and models, which are large and were needed only to resume.
    pub(crate) fn tidy(&self, cell: &Cell) -> Result<()> {
        for step in &cell.steps {
            for entry in fs::read_dir(self.path(&cell.id, &step.name))? {
                let entry = entry?;
                if entry.path().is_dir() && entry.file_name() != PLOTS {
                    fs::remove_dir_all(entry.path())?;
                }
            }
        }
        Ok(())
    }
}

/// Rounds to a tenth.
fn round(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

/// Reads a metric from lines with `stage`, `step` and numbers.
fn curve(text: &str, place: &str) -> Curve {
    let (stage, metric) = place.rsplit_once('/').unwrap_or(("", place));
    let lines = text.lines().map(serde_json::from_str::<Value>);
    let points = lines.flatten().filter_map(|line| {
        let value = line.get(metric)?.as_f64()?;
        let digits = format!("{value:.5e}").parse().ok()?;
        (line.get("stage")? == stage).then_some((line.get("step")?.as_u64()?, digits))
    });
    points.collect()
}

impl Run<'_> {
    /// Returns true if another step follows the one that runs.
    pub(crate) fn has_more(&self) -> bool {
        self.step + 1 < self.cell.steps.len()
    }

    /// Asks the program to stop, once.
    pub(crate) fn ask_to_stop(&mut self) {
        if !self.asked {
            self.asked = true;
            // The standard library can only kill. Without this program `collimate` runs to its end.
            let id = self.child.id().to_string();
            let _ = Command::new("kill").args(["-TERM", &id]).status();
        }
    }
}
