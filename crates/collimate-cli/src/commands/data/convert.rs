//! Converts rows of any readable format into rows that TRL reads.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use collimate::core::{PreferencePair, Prompt, Role};
use collimate::data::{
    DropReason, HhTurns, Input, LabelledExample, OnBadRow, ReadOptions, SftExample,
};
use collimate::files::atomic_write;

use super::convert_ranked::{self, RankedArgs};
use super::lines::{count, named};
use super::read::{self, Kind, Rows};
use crate::common::{self, Failure, json_name};
use crate::trl_rows::{Row, answer, asked, lines, message, number, turns};

/// Write preference pairs, examples or labelled answers of any format as JSON lines that TRL reads.
///
/// Pairs become `prompt`, `chosen` and `rejected`, and conversations become lists of messages.
/// Examples become `prompt` and `completion`, or `messages`. Labelled answers keep their `label`.
/// The readers keep only the difference of two scores: it is written as `score_chosen`, beside a
/// `score_rejected` of 0. Before the file is written, the rows are read again and must have the
/// same content. With --to, ranked answers become demonstrations, judgements or rows of ranked
/// answers.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Data files: all of pairs, all of examples or all of labelled answers
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// File to write
    #[arg(long, value_name = "OUT.jsonl")]
    out: PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    force: bool,
    /// Format of the files; detected by default
    #[arg(long, value_parser = Kind::parse, value_name = "NAME")]
    format: Option<Kind>,
    /// Handling of rows that cannot be read: fail or drop (reported with the line number)
    #[arg(long, value_parser = json_name::<OnBadRow>, default_value = "fail")]
    #[arg(value_name = "POLICY")]
    on_bad_row: OnBadRow,
    /// Prompt of an hh-rlhf dialogue: full or last_turn_only (as in the training commands)
    #[arg(long, value_parser = json_name::<HhTurns>, default_value = "full")]
    #[arg(value_name = "TURNS")]
    hh_turns: HhTurns,
    #[command(flatten)]
    ranked: RankedArgs,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let out = args.out.display();
    common::check_writable(&args.out)?;
    for file in &args.files {
        common::check_other(&args.out, file)?;
    }
    if args.out.exists() && !args.force {
        return Err(format!(
            "--out {out} exists already: give another name, or --force to replace the file"
        )
        .into());
    }
    if let Some(to) = args.ranked.to {
        let (text, left_out) = convert_ranked::text(to, &args.ranked, &args.files, &args.out)?;
        atomic_write(&args.out, text.as_bytes())?;
        let written = count(text.lines().count(), "row");
        common::tell(&format!(
            "wrote {written} to {out}, {left_out} lists and answers left out"
        ));
        return Ok(());
    }
    let (rows, dropped) = read_all(args)?;
    let text = match &rows {
        Rows::Sft(examples) => examples_text(examples, &args.out)?,
        Rows::Pairs(pairs) => {
            let text = lines(of_pairs(pairs)?)?;
            check_pairs(pairs, &text, &args.out)?;
            text
        }
        Rows::Labelled(answers) => {
            let text = lines(of_labelled(answers)?)?;
            check_labelled(answers, &text, &args.out)?;
            text
        }
        Rows::Prompts(_) | Rows::Scored(_) | Rows::Unlabelled(_) => String::new(),
    };
    atomic_write(&args.out, text.as_bytes())?;
    let written = count(text.lines().count(), "row");
    common::tell(&format!("wrote {written} to {out}, {dropped} dropped"));
    Ok(())
}

/// Writes examples as rows and checks them by reading them again.
pub(super) fn examples_text(examples: &[SftExample], out: &Path) -> Result<String, Failure> {
    let text = lines(of_examples(examples)?)?;
    check_examples(examples, &text, out)?;
    Ok(text)
}

/// Reads the rows of all files, counts the dropped rows, and reports on each file.
fn read_all(args: &Args) -> Result<(Rows, usize), Failure> {
    let options = ReadOptions {
        on_bad_row: args.on_bad_row,
        hh_turns: args.hh_turns,
        pair_numbers: true,
        ..ReadOptions::default()
    };
    let (mut pairs, mut examples, mut labelled) = (Vec::new(), Vec::new(), Vec::new());
    let mut dropped = 0;
    for path in &args.files {
        let found = read::read(path, args.format, &options)?;
        let shown = path.display();
        if let Some(report) = &found.report.whole {
            common::tell(&report.to_string());
        }
        let rows = found.visitor.dropped.iter();
        let rows = rows.filter(|row| row.reason != DropReason::Header);
        let lines: Vec<usize> = rows.map(|row| row.line).collect();
        dropped += lines.len();
        if !lines.is_empty() {
            common::tell(&format!(
                "{shown}: dropped: {}",
                named(found.report.unit(), &lines)
            ));
        }
        match found.visitor.rows {
            None => {}
            Some(Rows::Pairs(mut more)) => pairs.append(&mut more),
            Some(Rows::Sft(mut more)) => examples.append(&mut more),
            Some(Rows::Labelled(mut more)) => labelled.append(&mut more),
            Some(Rows::Prompts(_) | Rows::Scored(_) | Rows::Unlabelled(_)) => {
                return Err(format!(
                    "{shown} holds {}, which this command does not convert: name a file of pairs \
                     or of examples, or name the format with --format",
                    match found.kind {
                        Kind::Prompts => "prompts",
                        Kind::Rows(_) => "answers without labels",
                        _ => "scored answers",
                    }
                )
                .into());
            }
        }
    }
    match (pairs.is_empty(), examples.is_empty(), labelled.is_empty()) {
        (false, true, true) => Ok((Rows::Pairs(pairs), dropped)),
        (true, false, true) => Ok((Rows::Sft(examples), dropped)),
        (true, true, false) => Ok((Rows::Labelled(labelled), dropped)),
        (true, true, true) => {
            Err("no row is left to write: `collimate data check` says why".into())
        }
        _ => Err(
            "the files hold different kinds of rows (pairs, examples, labelled answers): convert \
             each kind separately"
                .into(),
        ),
    }
}

fn of_pairs(pairs: &[PreferencePair]) -> Result<Vec<Row>, Failure> {
    // If one row has scores, all rows get the columns: the first row decides the format.
    let scored = pairs.iter().any(|pair| pair.score_gap.is_some());
    let with_margins = pairs.iter().any(|pair| pair.margin.is_some());
    let with_weights = pairs.iter().any(|pair| pair.weight.is_some());
    let row = |pair: &PreferencePair| -> Result<Row, Failure> {
        let mut row = Row::new();
        // A pair with an empty prompt has no list of messages before the answer.
        if !matches!(&pair.prompt, Prompt::Chat(messages) if messages.is_empty()) {
            row.insert("prompt".to_owned(), asked(&pair.prompt)?);
        }
        row.insert(
            "chosen".to_owned(),
            answer(&pair.prompt, &pair.chosen.text)?,
        );
        row.insert(
            "rejected".to_owned(),
            answer(&pair.prompt, &pair.rejected.text)?,
        );
        if scored {
            row.insert("score_chosen".to_owned(), number(pair.score_gap));
            row.insert(
                "score_rejected".to_owned(),
                number(pair.score_gap.map(|_| 0.0)),
            );
        }
        if with_margins {
            row.insert("margin".to_owned(), number(pair.margin));
        }
        if with_weights {
            row.insert("weight".to_owned(), number(pair.weight));
        }
        Ok(row)
    };
    pairs.iter().map(row).collect()
}

fn of_examples(examples: &[SftExample]) -> Result<Vec<Row>, Failure> {
    // The first row decides the format of all rows.
    let chats = examples
        .iter()
        .all(|example| matches!(example.prompt, Prompt::Chat(_)));
    let row = |example: &SftExample| -> Result<Row, Failure> {
        let mut row = Row::new();
        let text = &example.completion.text;
        match &example.prompt {
            Prompt::Chat(messages) if chats => {
                let mut messages = messages.clone();
                messages.push(message(Role::Assistant, text));
                row.insert("messages".to_owned(), turns(&messages)?);
            }
            prompt => {
                row.insert("prompt".to_owned(), asked(prompt)?);
                row.insert("completion".to_owned(), answer(prompt, text)?);
            }
        }
        Ok(row)
    };
    examples.iter().map(row).collect()
}

fn of_labelled(answers: &[LabelledExample]) -> Result<Vec<Row>, Failure> {
    let row = |labelled: &LabelledExample| -> Result<Row, Failure> {
        let (prompt, text) = (&labelled.example.prompt, &labelled.example.completion.text);
        Ok(Row::from_iter([
            ("prompt".to_owned(), asked(prompt)?),
            ("completion".to_owned(), answer(prompt, text)?),
            ("label".to_owned(), labelled.desirable.into()),
        ]))
    };
    answers.iter().map(row).collect()
}

/// Fails unless the text is read as these pairs.
fn check_pairs(pairs: &[PreferencePair], text: &str, out: &Path) -> Result<(), Failure> {
    let input = Input::from_reader(out, Cursor::new(text.to_owned()))?;
    let options = ReadOptions {
        pair_numbers: true,
        ..ReadOptions::default()
    };
    let (again, _) = input.read_pairs(&options).map_err(|e| lossy(out, &e))?;
    same(pairs, &again, out, same_pair)
}

/// Fails unless the text is read as these examples.
fn check_examples(examples: &[SftExample], text: &str, out: &Path) -> Result<(), Failure> {
    let input = Input::from_reader(out, Cursor::new(text.to_owned()))?;
    let (again, _) = input
        .read_sft(&ReadOptions::default())
        .map_err(|e| lossy(out, &e))?;
    same(examples, &again, out, |a, b| a == b)
}

/// Fails unless the text is read as these labelled answers.
fn check_labelled(answers: &[LabelledExample], text: &str, out: &Path) -> Result<(), Failure> {
    let input = Input::from_reader(out, Cursor::new(text.to_owned()))?;
    let (again, _) = input.read_labelled().map_err(|e| lossy(out, &e))?;
    same(answers, &again, out, |a, b| {
        a.example == b.example && a.desirable == b.desirable
    })
}

pub(super) fn lossy(out: &Path, why: &dyn std::fmt::Display) -> String {
    format!(
        "{}: not written, because the rows would be read with another meaning ({why}): remove such \
         rows from the data",
        out.display()
    )
}

/// Returns true if both pairs have the same content. The JSON reader may miss the last bit of a
/// number.
fn same_pair(a: &PreferencePair, b: &PreferencePair) -> bool {
    let close = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 4.0 * f64::EPSILON * a.abs(),
        (a, b) => a == b,
    };
    close(a.score_gap, b.score_gap)
        && close(a.margin, b.margin)
        && close(a.weight, b.weight)
        && (&a.prompt, &a.chosen, &a.rejected) == (&b.prompt, &b.chosen, &b.rejected)
}

pub(super) fn same<T>(
    rows: &[T],
    again: &[T],
    out: &Path,
    equal: impl Fn(&T, &T) -> bool,
) -> Result<(), Failure> {
    let differs = rows.iter().zip(again).position(|(a, b)| !equal(a, b));
    match (differs, rows.len() == again.len()) {
        (None, true) => Ok(()),
        (Some(index), _) => {
            Err(lossy(out, &format!("row {} has another content", index + 1)).into())
        }
        (None, false) => {
            let less = format!("{} rows become {}", rows.len(), again.len());
            Err(lossy(out, &less).into())
        }
    }
}
