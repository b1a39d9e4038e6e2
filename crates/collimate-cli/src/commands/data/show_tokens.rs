//! Shows rows of a data file as the tokens that a model gets.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use collimate::data::{AnswerEnd, HhTurns, OnBadRow, ReadOptions};
use serde::Serialize;

use super::paint::Paint;
use super::read::{self, Kind};
use super::spans::{self, Cut, Sequence, Token};
use super::tokens::Model;
use crate::common::{self, Failure, json_name};
use crate::names;
use crate::rendering::RowRenderArgs;

/// Show rows of a data file as the tokens that a model gets in training.
///
/// Each sequence is shown as a table: position, id, text, and whether the loss covers the token.
/// The model learns from the tokens of an answer and only reads those of a prompt. Special tokens
/// are marked, and tokens that are cut are reported.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Data file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Folder of the model, whose tokenizer and chat template are used
    #[arg(long, value_name = "DIR", value_parser = names::tokenizer_argument)]
    model: PathBuf,
    /// First row to show, counted from 1 among the usable rows
    #[arg(long, value_name = "N", default_value_t = 1)]
    row: usize,
    /// Number of rows to show
    #[arg(long, value_name = "K", default_value_t = 1)]
    rows: usize,
    /// Format of the file; detected by default
    #[arg(long, value_parser = Kind::parse, value_name = "NAME")]
    format: Option<Kind>,
    /// Handling of rows that cannot be read: fail, or drop them
    #[arg(long, value_parser = json_name::<OnBadRow>, default_value = "fail")]
    #[arg(value_name = "POLICY")]
    on_bad_row: OnBadRow,
    /// Maximum sequence length in tokens [default: 1024, or the model's maximum if that is smaller]
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    /// Number of prompt tokens to keep if prompt and answer together exceed --max-length; a short
    /// answer leaves room for more [default: half of --max-length]
    #[arg(long, value_name = "N")]
    max_prompt_length: Option<usize>,
    /// Answers that end with EOS: whole_answers (for language models), or every_answer, including
    /// cut answers (for reward models)
    #[arg(long, value_parser = json_name::<AnswerEnd>, default_value = "whole_answers")]
    #[arg(value_name = "WHICH")]
    answer_end: AnswerEnd,
    /// Prompt of an hh-rlhf dialogue: last_turn_only (as in the training commands) or full
    #[arg(long, value_parser = json_name::<HhTurns>, default_value = "last_turn_only")]
    #[arg(value_name = "TURNS")]
    hh_turns: HhTurns,
    #[command(flatten)]
    render: RowRenderArgs,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    file: &'a Path,
    max_length: usize,
    rows: Vec<Row>,
}

/// A row as the model gets it.
#[derive(Debug, Serialize)]
struct Row {
    row: usize,
    line: usize,
    sequences: Vec<Sequence>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.row == 0 || args.rows == 0 {
        return Err("--row and --rows count from 1: give at least 1".into());
    }
    let mut model = Model::open(
        &args.model,
        &args.render.rendering(),
        args.max_length,
        args.max_prompt_length,
    )?;
    model.tokenizer = model.tokenizer.with_answer_end(args.answer_end);
    let options = ReadOptions {
        on_bad_row: args.on_bad_row,
        hh_turns: args.hh_turns,
        ..ReadOptions::default()
    };
    let found = read::read(&args.file, args.format, &options)?;
    let kept = found.report.kept;
    if args.row > kept {
        let shown = args.file.display();
        return Err(match kept {
            0 => format!("{shown}: no row can be used: `collimate data check {shown}` says why"),
            _ => format!(
                "--row {}: {shown} has only {kept} rows that can be used: give at most {kept}",
                args.row
            ),
        }
        .into());
    }
    let Some(all) = &found.visitor.rows else {
        return Ok(());
    };
    let last = args.row.saturating_add(args.rows - 1).min(kept);
    let mut rows = Vec::new();
    for row in args.row..=last {
        let line = found.visitor.lines.get(row - 1).copied().unwrap_or(0);
        let wrong = |error| format!("{}:{line}: {error}", args.file.display());
        let encode = |length| model.encode(all, row - 1, length);
        let whole = encode(usize::MAX).map_err(wrong)?;
        let fitted = encode(model.max_length).map_err(wrong)?;
        let sequences = spans::sequences(&model.tokenizer, &fitted, &whole).map_err(wrong)?;
        rows.push(Row {
            row,
            line,
            sequences,
        });
    }
    let shown = Shown {
        file: &args.file,
        max_length: model.max_length,
        rows,
    };
    match args.json {
        true => common::print(&(serde_json::to_string_pretty(&shown)? + "\n")),
        false => common::print(&text(&shown, Paint::of_stdout())),
    }
}

fn text(shown: &Shown<'_>, paint: Paint) -> String {
    let mut text = String::new();
    for row in &shown.rows {
        let name = format!("{}:{}, row {}", shown.file.display(), row.line, row.row);
        let _ = writeln!(text, "{}", paint.heading(&name));
        for sequence in &row.sequences {
            let learned = sequence.tokens.iter().filter(|token| token.learned).count();
            let heading = format!(
                "{}: {} tokens of at most {}, {learned} learned from",
                sequence.name,
                sequence.tokens.len(),
                shown.max_length
            );
            let _ = writeln!(text, "\n  {}", paint.heading(&heading));
            for cut in &sequence.cut {
                let _ = writeln!(text, "  {}", paint.cut(&of_cut(cut)));
            }
            for (at, token) in sequence.tokens.iter().enumerate() {
                let _ = writeln!(text, "{}", of_token(at, token, paint));
            }
        }
        text.push('\n');
    }
    text
}

/// Maximum number of characters shown of a text that was cut.
const SHOWN: usize = 60;

fn of_cut(cut: &Cut) -> String {
    let mut piece: String = cut.text.chars().take(SHOWN).collect();
    if piece.len() < cut.text.len() {
        piece.push('…');
    }
    let tokens = super::lines::count(cut.tokens, "token");
    format!(
        "cut: {tokens} at the {} of the {}: {piece:?}",
        cut.at, cut.part
    )
}

fn of_token(at: usize, token: &Token, paint: Paint) -> String {
    let text = match token.special || token.text.is_empty() {
        true => token.token.clone(),
        false => format!("{:?}", token.text),
    };
    // Padded before colouring, because colour codes have no width.
    let cell = format!("{text:<24}");
    let (cell, marks) = match (token.special, token.learned) {
        (true, true) => (paint.special(&cell), "learned, special"),
        (true, false) => (paint.special(&cell), "special"),
        (false, true) => (paint.learned(&cell), "learned"),
        (false, false) => (cell, ""),
    };
    format!("  {at:>6} {:>8}  {cell} {marks}", token.id)
        .trim_end()
        .to_owned()
}
