//! Pairs to label from the user's files: the only place to change when `collimate-data` reads unlabelled pools
//! by itself.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use collimate::core::{Completion, Prompt};
use collimate::data::{Input, OnBadRow, ReadOptions};
use serde::Deserialize;

use crate::common::{self, Failure};

/// A prompt and two answers in no order that means anything.
pub(super) type Candidates = (Prompt, Completion, Completion);

/// A row without a label; further columns, such as `disagreement`, are not needed.
#[derive(Deserialize)]
struct Unlabelled {
    prompt: Prompt,
    response_a: String,
    response_b: String,
}

/// Returns the pairs of all files. Labels of preference pairs are read over.
pub(super) fn pairs_to_label(
    files: &[PathBuf],
    options: &ReadOptions,
) -> Result<Vec<Candidates>, Failure> {
    let mut rows = Vec::new();
    for path in files {
        // One opening: a pipe gives its bytes once.
        let bytes: Arc<[u8]> = match std::fs::read(path) {
            Ok(bytes) => bytes.into(),
            // The reader has the better words.
            Err(error) => {
                Input::open(path)?;
                return Err(
                    format!("{}: {error}: check that it can be read", path.display()).into(),
                );
            }
        };
        match is_unlabelled(&bytes) {
            true => rows.extend(unlabelled(path, &bytes, options.on_bad_row)?),
            false => {
                let input = Input::from_reader(path, Cursor::new(bytes))?;
                let (pairs, report) = input.read_pairs(options)?;
                common::tell(&report.to_string());
                let pairs = pairs.into_iter();
                rows.extend(pairs.map(|pair| (pair.prompt, pair.chosen, pair.rejected)));
            }
        }
    }
    Ok(rows)
}

/// True if the first row has `response_a`.
fn is_unlabelled(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let first = lines.find(|line| !line.trim_ascii().is_empty());
    let row = first.and_then(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    row.is_some_and(|row| row.get("response_a").is_some())
}

fn unlabelled(path: &Path, bytes: &[u8], on_bad_row: OnBadRow) -> Result<Vec<Candidates>, Failure> {
    let mut rows = Vec::new();
    let mut dropped = 0;
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice::<Unlabelled>(line) {
            Ok(row) => rows.push((row.prompt, row.response_a.into(), row.response_b.into())),
            Err(_) if on_bad_row == OnBadRow::Drop => dropped += 1,
            Err(error) => {
                let text = error.to_string();
                let what = text.split(" at line ").next().unwrap_or(&text);
                return Err(format!(
                    "{}, line {}: {what}; repair the row, or drop such rows (--on-bad-row drop)",
                    path.display(),
                    index + 1
                )
                .into());
            }
        }
    }
    let shown = path.display();
    common::tell(&format!(
        "{shown}: {} unlabelled pairs, {dropped} rows dropped",
        rows.len()
    ));
    Ok(rows)
}
