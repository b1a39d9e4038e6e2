//! Scores texts with a saved model: `collimate score --help`.

pub(crate) mod logps;
pub(crate) mod rewards;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use collimate::core::PreferencePair;
use collimate::data::{
    Format, HhTurns, Input, OnBadRow, ReadOptions, ReadReport, SftExample, TextTokenizer,
    TokenizeReport, Truncation,
};
use collimate::files::atomic_write;
use collimate::lm::{Architecture, Encoder, Llama};
use collimate::train::Interrupt;
use serde_json::{Map, Value, json};

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
/// `rejected_tokens`. Ctrl-C stops the command. Rows that have been scored are written.
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
}

/// The rows, with everything that scoring needs beside a model.
pub(crate) struct Task {
    pub(crate) tokenizer: TextTokenizer,
    pub(crate) rows: Rows,
    /// Report on reading the rows, if it has not been printed yet.
    pub(crate) report: Option<ReadReport>,
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

    /// Reports the rows that were read, and how many were cut.
    pub(crate) fn tell(&self, cut: &TokenizeReport, length: usize) {
        if let Some(report) = &self.report {
            common::tell(&report.to_string());
        }
        if cut.is_worth_telling() {
            common::tell(&format!("longest sequence: {length} tokens; {cut}"));
        }
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

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let device = args.device.open()?;
    if let Some(out) = &args.out {
        common::check_writable(out)?;
        common::check_other(out, &args.data)?;
    }
    let architecture = common::architecture(&args.model)?;
    let rendering = args.render.rendering();
    let tokenizer = rendering
        .open(&args.model)?
        .with_max_prompt_length(args.max_prompt_length);
    let (rows, report) = read(args)?;
    let task = Task {
        tokenizer,
        rows,
        report: Some(report),
        max_length: args.max_length,
        label: args.label.clone(),
        interrupt: runs::interrupt(),
    };
    let columns = match (args.logprobs, architecture) {
        (true, _) => logps::columns(&args.model, &task, &device)?,
        (false, Architecture::Encoder) => rewards::columns::<Encoder>(&args.model, &task, &device)?,
        (false, _) => rewards::columns::<Llama>(&args.model, &task, &device)?,
    };
    check_finite(&args.model, &columns)?;
    let (done, all) = (scored(&columns), task.rows.len());
    if done > 0 {
        write(args, &task.rows, &columns)?;
    }
    match done < all {
        true => Err(Interrupted(format!(
            "stopped: {done} of {all} rows are scored and written"
        ))
        .into()),
        false => Ok(()),
    }
}

fn read(args: &Args) -> Result<(Rows, ReadReport), Failure> {
    let mut input = Input::open(&args.data)?;
    let format = match args.format {
        Some(format) => format,
        None => input.format()?,
    };
    let options = ReadOptions {
        format: args.format,
        on_bad_row: args.on_bad_row,
        hh_turns: args.hh_turns,
        ..ReadOptions::default()
    };
    let (rows, report) = match format {
        Format::PromptCompletion | Format::Messages => {
            let (rows, report) = input.read_sft(&options)?;
            (Rows::Single(rows), report)
        }
        Format::Candidates => {
            let (candidates, report) = input.read_unlabelled(&options)?;
            let rows = candidates.into_iter().flat_map(|row| {
                let example = move |completion| SftExample {
                    prompt: row.prompt.clone(),
                    completion,
                };
                row.responses.into_iter().map(example)
            });
            (Rows::Single(rows.collect()), report)
        }
        _ => {
            let (rows, report) = input.read_pairs(&options)?;
            (Rows::Pairs(rows), report)
        }
    };
    if report.kept == 0 {
        return Err(format!("{report}: no row is left: correct the file").into());
    }
    Ok((rows, report))
}

/// Refuses results that JSON cannot hold.
pub(crate) fn check_finite(model: &Path, columns: &[Column]) -> Result<(), Failure> {
    for (name, values) in columns {
        if let Some(index) = values.iter().position(Value::is_null) {
            return Err(format!(
                "{}: {name} of row {} is not a finite number: the model's weights are broken",
                model.display(),
                index + 1
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

fn write(args: &Args, rows: &Rows, columns: &[Column]) -> Result<(), Failure> {
    let mut text = String::new();
    let mut line = |index: usize, mut row: Map<String, Value>| -> Result<(), Failure> {
        for (name, values) in columns {
            row.insert((*name).to_owned(), values[index].clone());
        }
        text += &serde_json::to_string(&row)?;
        text.push('\n');
        Ok(())
    };
    let object = |value: Value| match value {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let done = scored(columns);
    match rows {
        Rows::Single(rows) => {
            for (index, row) in rows.iter().take(done).enumerate() {
                let value = json!({"prompt": row.prompt, "completion": row.completion.text});
                line(index, object(value))?;
            }
        }
        Rows::Pairs(rows) => {
            for (index, row) in rows.iter().take(done).enumerate() {
                let value = json!({
                    "prompt": row.prompt, "chosen": row.chosen.text, "rejected": row.rejected.text,
                });
                line(index, object(value))?;
            }
        }
    }
    match &args.out {
        Some(path) => {
            atomic_write(path, text.as_bytes())?;
            common::tell(&format!("wrote {}", path.display()));
        }
        None => common::print(&text)?,
    }
    Ok(())
}
