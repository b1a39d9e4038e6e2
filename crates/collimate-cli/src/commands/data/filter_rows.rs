//! Writes the rows that a filter keeps.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use collimate::core::{LeaveReason, Verdict};
use collimate::files::atomic_write_with;
use serde_json::{Map, Value, json};

use super::filter_scores::Numbers;
use crate::common::Failure;

/// Counts of a filter.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) rows: usize,
    pub(super) swapped: usize,
    pub(super) left: BTreeMap<LeaveReason, usize>,
}

/// Judges the numbers of each row, and writes the rows that are kept.
pub(super) fn write<T: Copy>(
    from: &Path,
    to: &Path,
    numbers: &mut Numbers<'_, T>,
    mut judge: impl FnMut(T) -> Verdict,
) -> Result<Kept, Failure> {
    let mut kept = Kept::default();
    let name = from.display();
    let file = File::open(from).map_err(|error| format!("{name}: {error}"))?;
    let mut rows = BufReader::with_capacity(1 << 16, file).lines();
    // An error of the input is not an error of the file that is written.
    let mut wrong = None;
    let written = atomic_write_with(to, |file| {
        let mut out = BufWriter::with_capacity(1 << 16, file);
        let mut result = Ok(());
        numbers.each(&mut |numbers| {
            if result.is_err() || wrong.is_some() {
                return;
            }
            match next(&mut rows) {
                Ok(row) => result = one(&row, judge(numbers), &mut kept, &mut out),
                Err(what) => wrong = Some(format!("{name}: {what}")),
            }
        })?;
        match wrong {
            Some(_) => Err(io::Error::other("nothing is written")),
            None => result.and_then(|()| out.flush()),
        }
    });
    match wrong {
        Some(what) => Err(what.into()),
        None => Ok(written.map(|()| kept)?),
    }
}

/// Reads the next row that is not blank.
fn next(rows: &mut impl Iterator<Item = io::Result<String>>) -> Result<String, String> {
    loop {
        match rows.next() {
            Some(Ok(row)) if row.trim().is_empty() => {}
            Some(row) => return row.map_err(|error| error.to_string()),
            None => {
                return Err(
                    "the file became shorter while it was filtered: run the command again"
                        .to_owned(),
                );
            }
        }
    }
}

/// Column of the number that decided.
const SCORE: &str = "filter_score";

/// Writes a row if it is kept. A row whose answers stay keeps every byte.
fn one(row: &str, verdict: Verdict, kept: &mut Kept, out: &mut dyn Write) -> io::Result<()> {
    let (swapped, score) = match verdict {
        Verdict::Kept { swapped, score } => (swapped, score),
        Verdict::Left(reason) => {
            *kept.left.entry(reason).or_insert(0) += 1;
            return Ok(());
        }
    };
    kept.rows += 1;
    kept.swapped += usize::from(swapped);
    let text = row.trim_end().strip_suffix('}');
    if let (false, Some(text)) = (swapped || row.contains(SCORE), text) {
        return writeln!(out, "{text},\"{SCORE}\":{}}}", json!(score));
    }
    let mut row: Map<String, Value> = serde_json::from_str(row)?;
    if swapped {
        // The margin belongs to the label that is exchanged.
        row.remove("margin");
        row = row
            .into_iter()
            .map(|(name, value)| (exchanged(name), value))
            .collect();
    }
    row.insert(SCORE.to_owned(), json!(score));
    serde_json::to_writer(&mut *out, &row)?;
    out.write_all(b"\n")
}

/// Exchanges the names of the answers and of their numbers.
fn exchanged(name: String) -> String {
    match (name.strip_prefix("chosen"), name.strip_prefix("rejected")) {
        (Some(rest), _) => format!("rejected{rest}"),
        (_, Some(rest)) => format!("chosen{rest}"),
        _ => name,
    }
}
