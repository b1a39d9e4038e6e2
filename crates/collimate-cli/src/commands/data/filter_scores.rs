//! The scores of a file of pairs, kept in a temporary file for passes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use collimate::core::Passes;
use serde::Deserialize;
use serde_json::Value;

use crate::common::Failure;

/// Columns that a rule reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needed {
    /// Scores of both answers.
    Scores,
    /// Scores or log-probabilities.
    Any,
}

/// The columns of one row.
#[derive(Debug, Deserialize)]
struct Row {
    chosen_score: Option<f32>,
    rejected_score: Option<f32>,
    chosen_logps: Option<f64>,
    rejected_logps: Option<f64>,
    chosen_tokens: Option<usize>,
    rejected_tokens: Option<usize>,
}

/// The numbers of all rows: two scores each, or one margin.
#[derive(Debug)]
pub(super) struct Scores {
    file: File,
    rows: usize,
}

/// Bytes of the numbers of a row: two f32, or one f64.
const BYTES: usize = 8;

impl Scores {
    /// Reads the numbers of a file of pairs. With a reference, margins are differences of log-ratios.
    pub(super) fn open(
        path: &Path,
        reference: Option<&Path>,
        needed: Needed,
    ) -> Result<Self, Failure> {
        let mut rows = Rows::open(path)?;
        let mut others = reference.map(Rows::open).transpose()?;
        let made = tempfile::tempfile().map_err(|error| {
            format!("no temporary file: {error}: TMPDIR names the folder of temporary files")
        })?;
        let mut file = BufWriter::new(made);
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let numbers = match (needed, &mut others) {
                (Needed::Scores, _) => {
                    let (chosen, rejected) = row.scores().ok_or_else(|| rows.lacks("scores"))?;
                    let [a, b, c, d] = chosen.to_le_bytes();
                    let [e, f, g, h] = rejected.to_le_bytes();
                    [a, b, c, d, e, f, g, h]
                }
                (Needed::Any, None) => {
                    let gap = row
                        .gap()
                        .ok_or_else(|| rows.lacks("scores or log-probabilities"))?;
                    gap.to_le_bytes()
                }
                (Needed::Any, Some(others)) => {
                    let what = "log-probabilities";
                    let own = row.log_gap().ok_or_else(|| rows.lacks(what))?;
                    let Some(other) = others.next()? else {
                        return Err(
                            format!("{}: fewer rows than {}", others.name, rows.name).into()
                        );
                    };
                    let reference = other.log_gap().ok_or_else(|| others.lacks(what))?;
                    if rows.texts()? != others.texts()? {
                        return Err(others
                            .wrong(
                                "another pair than in the first file: both files must have the \
                                 same pairs in the same order",
                            )
                            .into());
                    }
                    let tokens = |row: &Row| (row.chosen_tokens, row.rejected_tokens);
                    if tokens(&row) != tokens(&other) {
                        return Err(others
                            .wrong(
                                "the number of tokens differs from the first file: score the same \
                                    pairs with the same tokenizer",
                            )
                            .into());
                    }
                    (own - reference).to_le_bytes()
                }
            };
            file.write_all(&numbers)?;
            count += 1;
        }
        if let Some(others) = &mut others
            && others.next()?.is_some()
        {
            return Err(format!("{}: more rows than {}", others.name, rows.name).into());
        }
        if count == 0 {
            return Err(
                format!("{}: the file has no row: give pairs with scores", rows.name).into(),
            );
        }
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Self { file, rows: count })
    }

    /// Returns the number of rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the scores of both answers of each pair.
    pub(super) fn pairs(&mut self) -> Numbers<'_, (f32, f32)> {
        Numbers {
            file: &mut self.file,
            of: scores_of,
        }
    }

    /// Returns the scores of both answers of each pair, with equal lengths.
    pub(super) fn equally_long(&mut self) -> Numbers<'_, ((f32, f32), (usize, usize))> {
        Numbers {
            file: &mut self.file,
            of: |bytes| (scores_of(bytes), (0, 0)),
        }
    }

    /// Returns the margin of each pair.
    pub(super) fn gaps(&mut self) -> Numbers<'_, f64> {
        Numbers {
            file: &mut self.file,
            of: f64::from_le_bytes,
        }
    }
}

fn scores_of([a, b, c, d, e, f, g, h]: [u8; BYTES]) -> (f32, f32) {
    let (first, second) = ([a, b, c, d], [e, f, g, h]);
    (f32::from_le_bytes(first), f32::from_le_bytes(second))
}

impl Row {
    fn scores(&self) -> Option<(f32, f32)> {
        self.chosen_score.zip(self.rejected_score)
    }

    fn log_gap(&self) -> Option<f64> {
        let (chosen, rejected) = self.chosen_logps.zip(self.rejected_logps)?;
        Some(chosen - rejected)
    }

    fn gap(&self) -> Option<f64> {
        match self.scores() {
            Some((chosen, rejected)) => Some(f64::from(chosen) - f64::from(rejected)),
            None => self.log_gap(),
        }
    }
}

/// The texts of one row.
#[derive(Debug, PartialEq, Deserialize)]
struct Texts {
    #[serde(default)]
    prompt: Value,
    #[serde(default)]
    chosen: Value,
    #[serde(default)]
    rejected: Value,
}

/// The rows of a file.
struct Rows {
    name: String,
    file: BufReader<File>,
    text: String,
    line: usize,
}

impl Rows {
    fn open(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| format!("{name}: {error}"))?;
        let mut file = BufReader::with_capacity(1 << 16, file);
        let head = file
            .fill_buf()
            .map_err(|error| format!("{name}: {error}"))?;
        if head.starts_with(b"\x1f\x8b") || head.starts_with(b"PAR1") {
            return Err(format!(
                "{name} is packed or a Parquet file: give the JSON lines that `collimate score` writes"
            )
            .into());
        }
        Ok(Self {
            name,
            file,
            text: String::new(),
            line: 0,
        })
    }

    fn next(&mut self) -> Result<Option<Row>, Failure> {
        loop {
            self.text.clear();
            let read = self.file.read_line(&mut self.text);
            let read = read.map_err(|error| self.wrong(&error.to_string()))?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            if !self.text.trim().is_empty() {
                let row = serde_json::from_str(&self.text);
                return Ok(Some(row.map_err(|error| self.unreadable(&error))?));
            }
        }
    }

    /// Returns the texts of the current row.
    fn texts(&self) -> Result<Texts, Failure> {
        let texts = serde_json::from_str(&self.text);
        Ok(texts.map_err(|error| self.unreadable(&error))?)
    }

    /// Returns the error of a row that is not JSON, or has a value of another type.
    fn unreadable(&self, error: &serde_json::Error) -> String {
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or(&text);
        self.wrong(&format!("column {}: {what}", error.column()))
    }

    fn wrong(&self, what: &str) -> String {
        format!("{}:{}: {what}", self.name, self.line)
    }

    fn lacks(&self, what: &str) -> String {
        self.wrong(&format!(
            "the pair has no {what}, or a value is null: the file must be the output of `collimate score` on pairs"
        ))
    }
}

/// The numbers of all rows, in passes over the temporary file.
pub(super) struct Numbers<'a, T> {
    file: &'a mut File,
    of: fn([u8; BYTES]) -> T,
}

impl<T> Numbers<'_, T> {
    /// Passes the numbers of each row on.
    pub(super) fn each(&mut self, take: &mut dyn FnMut(T)) -> io::Result<()>
    where
        T: Copy,
    {
        self.pass(&mut |numbers| numbers.iter().for_each(|number| take(*number)))
    }
}

impl<T> Passes for Numbers<'_, T> {
    type Item = T;
    type Error = io::Error;

    fn pass(&mut self, take: &mut dyn FnMut(&[T])) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut file = BufReader::with_capacity(1 << 16, &mut *self.file);
        let mut part = Vec::with_capacity(4096);
        let mut bytes = [0; BYTES];
        loop {
            part.clear();
            while part.len() < 4096 {
                match file.read_exact(&mut bytes) {
                    Ok(()) => part.push((self.of)(bytes)),
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                    Err(error) => return Err(error),
                }
            }
            if part.is_empty() {
                return Ok(());
            }
            take(&part);
        }
    }
}
