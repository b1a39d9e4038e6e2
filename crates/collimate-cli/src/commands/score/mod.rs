//! Scores texts with a saved model: `collimate score --help`.

pub(crate) mod logps;
pub(crate) mod rewards;
mod rows;
mod write;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use collimate::core::PreferencePair;
use collimate::data::{
    Format, HhTurns, OnBadRow, SftExample, TextTokenizer, TokenizeReport, Truncation,
};
use collimate::lm::{Architecture, Encoder, Llama};
use collimate::prelude::Device;
use collimate::train::{Interrupt, Progress};
use serde_json::Value;

use self::logps::Logps;
use self::rewards::Rewards;
use self::write::Unwritten;
use crate::common::{self, DeviceName, Failure, Interrupted};
use crate::names;
use crate::rendering::RowRenderArgs;
use crate::runs;

/// Score completions or preference pairs with a saved reward model, or with the log-probabilities
/// of a language model.
///
/// The output is one JSON object per row: the row's prompt and texts with `score`, or for pairs
/// `chosen_score` and `rejected_score`. With --logprobs, the values are `logps` (natural log,
/// summed over the completion) and `tokens`, or `chosen_logps`, `rejected_logps`, `chosen_tokens`,
/// `rejected_tokens`. Ctrl-C stops the command. Rows that have been scored are written. If the command
/// fails, they are in a file with the ending `.partial`. Both answers of a pair keep the same part of
/// a prompt that is too long, so values of a pair can differ from those of single rows.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a saved reward model, or of a causal language model with --logprobs
    #[arg(long, value_name = "DIR", value_parser = names::argument)]
    model: PathBuf,
    /// JSON lines of {prompt, completion}, of preference pairs (any format that ser reads), or of
    /// several answers to a prompt (`responses`, or `response_a` and `response_b`); each of several
    /// answers gets its own row
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Output file; by default standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Output log-probabilities of the completions under a causal language model
    #[arg(long)]
    logprobs: bool,
    /// Label of the reward model whose score is the reward, by name or number, if the model has
    /// several labels
    #[arg(long, value_name = "LABEL", conflicts_with = "logprobs")]
    label: Option<String>,
    /// Maximum sequence length in tokens; by default the length that the model was trained with,
    /// otherwise the model's maximum, at most 2048
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    /// Number of prompt tokens to keep if prompt and answer together exceed --max-length; a short
    /// answer leaves room for more [default: half of --max-length]
    #[arg(long, value_name = "N")]
    max_prompt_length: Option<usize>,
    /// Format of the file: prompt_completion, messages, or a format of pairs that ser reads;
    /// detected by default
    #[arg(long, value_parser = common::json_name::<Format>, value_name = "NAME")]
    format: Option<Format>,
    /// Prompt of an hh-rlhf dialogue: last_turn_only (as in ser) or full
    #[arg(long, value_parser = common::json_name::<HhTurns>, default_value = "last_turn_only")]
    #[arg(value_name = "TURNS")]
    hh_turns: HhTurns,
    #[command(flatten)]
    render: RowRenderArgs,
    /// Handling of rows that cannot be read: fail, or drop and count them
    #[arg(long, value_parser = common::json_name::<OnBadRow>, default_value = "fail")]
    #[arg(value_name = "POLICY")]
    on_bad_row: OnBadRow,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t = DeviceName::Flex)]
    device: DeviceName,
}

/// Tokens that a model takes at once.
const TOKENS_PER_PACK: usize = 4096;

/// Rows to score.
pub(crate) enum Rows {
    Single(Vec<SftExample>),
    Pairs(Vec<PreferencePair>),
}

impl Rows {
    /// Returns the number of rows.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Single(rows) => rows.len(),
            Self::Pairs(rows) => rows.len(),
        }
    }

    fn unit(&self) -> &'static str {
        match self {
            Self::Single(_) => "rows",
            Self::Pairs(_) => "pairs",
        }
    }
}

/// Everything that scoring needs beside rows and a model.
pub(crate) struct Task {
    pub(crate) tokenizer: TextTokenizer,
    pub(crate) max_length: Option<usize>,
    /// Label whose score is the reward, if the model has several labels.
    pub(crate) label: Option<String>,
    /// Stops the work after the current pack.
    pub(crate) interrupt: Interrupt,
}

impl Task {
    /// Returns the maximum sequence length. `model` is the maximum of the model.
    pub(crate) fn max_length(&self, model: usize) -> Result<usize, Failure> {
        match self.max_length {
            Some(length) if length > model => Err(format!(
                "--max-length is {length}, but the model takes at most {model} tokens"
            )
            .into()),
            Some(length) => Ok(length),
            None => Ok(model.min(self.tokenizer.max_length().unwrap_or(2048))),
        }
    }

    /// Opens a model that scores rows: a reward model, or with `logprobs` a language model.
    pub(crate) fn open(
        &self,
        dir: &Path,
        kind: Architecture,
        logprobs: bool,
        device: &Device,
    ) -> Result<Box<dyn ScoreModel>, Failure> {
        Ok(match (logprobs, kind) {
            (true, _) => Box::new(Logps::open(dir, self, device)?),
            (false, Architecture::Encoder) => {
                Box::new(Rewards::<Encoder>::open(dir, self, device)?)
            }
            (false, _) => Box::new(Rewards::<Llama>::open(dir, self, device)?),
        })
    }

    /// Computes the columns of all rows, or of those before a stop was requested. Reports how many
    /// rows were cut.
    pub(crate) fn columns(
        &self,
        dir: &Path,
        model: &dyn ScoreModel,
        rows: &Rows,
    ) -> Result<Vec<Column>, Failure> {
        let mut meter = Progress::Auto.start("score", 0, rows.len() as u64);
        let (columns, cut) = model.score(rows, &mut |done| {
            meter.set(done as u64, rows.unit());
            self.flow()
        })?;
        tell_cut(&cut, model.length());
        check_finite(dir, &columns, 0)?;
        Ok(columns)
    }

    /// Breaks if a stop was requested.
    pub(crate) fn flow(&self) -> ControlFlow<()> {
        match self.interrupt.is_set() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// Truncation of sequences that are too long.
    pub(crate) const TRUNCATION: Truncation = Truncation::KeepEnd;
}

/// A model that scores rows.
pub(crate) trait ScoreModel {
    /// Returns the maximum sequence length in tokens.
    fn length(&self) -> usize;

    /// Computes the columns of rows, and counts what was cut. `done` is called with the number of
    /// rows that are scored; if it breaks, the rest is left.
    fn score(
        &self,
        rows: &Rows,
        done: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<(Vec<Column>, TokenizeReport), Failure>;
}

/// Reports how many rows were cut to `length` tokens.
fn tell_cut(cut: &TokenizeReport, length: usize) {
    if cut.is_worth_telling() {
        common::tell(&format!("longest sequence: {length} tokens; {cut}"));
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let device = args.device.open()?;
    if let Some(out) = &args.out {
        common::check_writable(out)?;
        common::check_other(out, &args.data)?;
    }
    let architecture = common::architecture(&args.model)?;
    let rendering = args.render.rendering();
    let task = Task {
        tokenizer: rendering
            .open(&args.model)?
            .with_max_prompt_length(args.max_prompt_length),
        max_length: args.max_length,
        label: args.label.clone(),
        interrupt: runs::interrupt(),
    };
    let mut parts = rows::Parts::open(args)?;
    let model = task.open(&args.model, architecture, args.logprobs, &device)?;
    let (mut done, mut cut, mut stopped) = (0, TokenizeReport::default(), false);
    let result = write::to(args.out.as_deref(), |out| {
        let mut meter = Progress::Auto.start_unknown("score");
        while let Some(rows) = parts.next()? {
            let (columns, of_part) = model.score(&rows, &mut |scored| {
                meter.set((done + scored) as u64, rows.unit());
                task.flow()
            })?;
            check_finite(&args.model, &columns, done)?;
            cut = cut + of_part;
            done += scored(&columns);
            stopped = task.flow().is_break();
            if out(&write::lines(&rows, &columns)?)?.is_break() || stopped {
                break;
            }
        }
        if done == 0 && !stopped {
            let report = parts.report();
            return Err(format!("{report}: no row is left: correct the file").into());
        }
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(Unwritten::Output(error)) => return Err(error),
        Err(Unwritten::Work(error, None)) => return Err(error),
        Err(Unwritten::Work(error, Some(file))) => {
            let file = file.display();
            return Err(format!("{error}; the {done} rows before are in {file}").into());
        }
    }
    common::tell(&parts.report().to_string());
    tell_cut(&cut, model.length());
    if let (Some(out), true) = (&args.out, done > 0) {
        common::tell(&format!("wrote {}", out.display()));
    }
    match stopped {
        true if done == 0 => {
            let text = "stopped before the first row was scored: nothing is written";
            Err(Interrupted(text.to_owned()).into())
        }
        true => Err(Interrupted(format!("stopped: {done} rows are scored and written")).into()),
        false => Ok(()),
    }
}

/// Refuses results that JSON cannot hold. `before` is the number of rows before these.
fn check_finite(model: &Path, columns: &[Column], before: usize) -> Result<(), Failure> {
    for (name, values) in columns {
        if let Some(index) = values.iter().position(Value::is_null) {
            return Err(format!(
                "{}: {name} of row {} is not a finite number: the model's weights are broken",
                model.display(),
                before + index + 1
            )
            .into());
        }
    }
    Ok(())
}

/// Returns the number of rows with a value in each column. These are all rows, unless a stop was
/// requested.
pub(crate) fn scored(columns: &[Column]) -> usize {
    let lengths = columns.iter().map(|(_, values)| values.len());
    lengths.min().unwrap_or(0)
}

/// One column of results: a name, and a value for each row that is scored.
pub(crate) type Column = (&'static str, Vec<Value>);
