//! Reports the rows of data files, and the faults to correct.

use std::io;
use std::path::PathBuf;

use collimate::data::{HhTurns, OnBadRow, ReadOptions};
use serde::Serialize;

use super::facts::Facts;
use super::read::{self, Kind};
use super::show;
use super::spill::Distinct;
use super::tally::Tally;
use super::tokens::Model;
use crate::common::{self, Failure, json_name, usage};
use crate::names;
use crate::rendering::RenderArgs;

/// Report what is read from data files, and what to correct in them. The rows can be preference
/// pairs, examples, labelled answers, prompts or scored answers.
///
/// Rows are read as the training commands read them. With --model, lengths are also given in
/// tokens, and the report says what --max-length cuts. The exit status is 1 if a file has no usable
/// row.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Data files, folders of data sets, or patterns
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Split of data sets that are folders or names on a hub
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// Folder of the model to be trained, whose tokenizer and chat template are used
    #[arg(long, value_name = "DIR", value_parser = names::tokenizer_argument)]
    model: Option<PathBuf>,
    /// Format of the files: a format that ser reads, prompt_completion, messages, prompts,
    /// graded_answers or labelled_answers; detected by default
    #[arg(long, value_parser = Kind::parse, value_name = "NAME")]
    format: Option<Kind>,
    /// Handling of rows that cannot be read: drop (reported with the line number) or fail
    #[arg(long, value_parser = json_name::<OnBadRow>, default_value = "drop")]
    #[arg(value_name = "POLICY")]
    on_bad_row: OnBadRow,
    /// Maximum sequence length in tokens [default: 1024, or the model's maximum if that is smaller]
    #[arg(long, value_name = "N", requires = "model")]
    max_length: Option<usize>,
    /// Number of prompt tokens to keep if prompt and answer together exceed --max-length; a short
    /// answer leaves room for more [default: half of --max-length]
    #[arg(long, value_name = "N", requires = "model")]
    max_prompt_length: Option<usize>,
    /// Prompt of an hh-rlhf dialogue: last_turn_only (as in the training commands) or full
    #[arg(long, value_parser = json_name::<HhTurns>, default_value = "last_turn_only")]
    #[arg(value_name = "TURNS")]
    hh_turns: HhTurns,
    #[command(flatten)]
    render: RenderArgs,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

/// The report on all files.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    /// True if every file holds a usable row.
    usable: bool,
    pub(super) files: Vec<Facts>,
    pub(super) shared_prompts: Vec<Shared>,
}

/// Two files with prompts in common.
#[derive(Debug, Serialize)]
pub(super) struct Shared {
    pub(super) files: [PathBuf; 2],
    /// Number of different prompts that both files have.
    pub(super) prompts: usize,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if let (None, Some(flag)) = (&args.model, args.render.given()) {
        return Err(usage(format!(
            "{flag} is for a chat template: give --model too"
        )));
    }
    let model = match &args.model {
        Some(dir) => Some(Model::open(
            dir,
            &args.render.rendering(),
            args.max_length,
            args.max_prompt_length,
        )?),
        None => None,
    };
    let options = ReadOptions {
        on_bad_row: args.on_bad_row,
        hh_turns: args.hh_turns,
        pair_numbers: true,
        ..ReadOptions::default()
    };
    let files = names::files(&args.files, args.split.as_deref())?;
    let (mut facts, mut prompts) = (Vec::new(), Vec::new());
    for path in &files {
        let tally = || Tally::new(model.as_ref());
        let found = read::visit(path, args.format, &options, &tally)?;
        let (of_file, of_prompts) = Facts::of(found, args.format.is_some(), model.as_ref())?;
        facts.push(of_file);
        prompts.push(of_prompts);
    }
    let checked = Checked {
        usable: facts.iter().all(usable),
        shared_prompts: shared(&files, &prompts).map_err(|error| {
            format!("a temporary file cannot be read: {error}: TMPDIR names their folder")
        })?,
        files: facts,
    };
    match args.json {
        true => common::print(&(serde_json::to_string_pretty(&checked)? + "\n"))?,
        false => common::print(&show::text(&checked))?,
    }
    match checked.files.iter().find(|facts| !usable(facts)) {
        Some(facts) => Err(format!(
            "{}: no row can be used: correct the file as the report says",
            facts.file.display()
        )
        .into()),
        None => Ok(()),
    }
}

/// Returns true if at least one row is left, as text and as tokens.
fn usable(facts: &Facts) -> bool {
    let refused = facts.tokens.as_ref().map_or(0, |tokens| tokens.refused);
    facts.kept > refused
}

/// Finds the files that have prompts in common.
fn shared(files: &[PathBuf], prompts: &[Distinct]) -> io::Result<Vec<Shared>> {
    let all: Vec<(&PathBuf, &Distinct)> = files.iter().zip(prompts).collect();
    let mut shared = Vec::new();
    for (index, (path, some)) in all.iter().enumerate() {
        for (other, others) in &all[index + 1..] {
            let both = some.shared(others)?;
            if both > 0 {
                shared.push(Shared {
                    files: [(*path).clone(), (*other).clone()],
                    prompts: both,
                });
            }
        }
    }
    Ok(shared)
}
