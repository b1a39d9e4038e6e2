//! Prompts to answer, from lines of text, rows, or a column of a table.

use std::collections::BTreeSet;

use collimate_core::Prompt;

use super::Bad;
use super::fields::{Object, content, list, messages};
use super::input::{Input, object};
use super::numbering::Numbering;
use super::objects::each_object;
use super::prompt_column::{hint, is_prompt_name};
use super::records::Records;
use super::seen::{NUMBERS, Seen, is_meant};
use super::table::{Header, is_table_name};
use crate::error::DataError;

/// A prompt and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedPrompt {
    /// The prompt.
    pub prompt: Prompt,
    /// The line, from 1. In a Parquet file, the number of the row.
    pub line: usize,
}

/// The prompts of an input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompts {
    /// The prompts in the order of the input.
    pub prompts: Vec<AskedPrompt>,
    /// Columns with texts that are not read.
    pub unused: BTreeSet<String>,
    /// Meaning of the numbers of the rows.
    pub numbering: Numbering,
}

impl Prompts {
    fn push(&mut self, line: usize, prompt: Prompt) {
        self.prompts.push(AskedPrompt { prompt, line });
    }
}

impl Input {
    /// Returns the first row if it is a JSON object.
    pub(super) fn row_ahead(&mut self) -> Result<Option<Object>, DataError> {
        if self.table().is_some() {
            return match self.first_row() {
                Ok(row) => Ok(Some(row)),
                // The reader of the rows says what is wrong with the first rows.
                Err(DataError::ParquetRow { .. } | DataError::Empty { .. }) => Ok(None),
                Err(error) => Err(error),
            };
        }
        Ok(match self.is_array()? {
            true => self.first_of_array()?,
            false => self.line_ahead(1)?.and_then(|(_, line)| object(line)),
        })
    }

    /// Returns true if the first row is a question of a benchmark, not a row with `prompt` or
    /// `messages`.
    ///
    /// # Errors
    /// Reading fails.
    pub fn holds_questions(&mut self) -> Result<bool, DataError> {
        let row = self.row_ahead()?;
        Ok(row.is_some_and(|row| !row.contains_key("prompt") && !row.contains_key("messages")))
    }

    /// Reads prompts from any of three layouts. If the first line is a JSON object, or the file is
    /// one array, rows have `prompt` or `messages`. If the file is a table, prompts are in its
    /// column `prompt`. Else each line is one prompt.
    ///
    /// The extensions `.jsonl`, `.json` and `.ndjson` require rows. The extensions `.csv` and
    /// `.tsv` require a table.
    ///
    /// # Errors
    /// The input cannot be read or has no prompt. A row is not a prompt; the error names its line.
    pub fn read_prompts(mut self) -> Result<Prompts, DataError> {
        if self.table().is_some() {
            self.first_row()?;
            return self.prompt_rows();
        }
        let Some((_, first)) = self.line_ahead(1)? else {
            return Err(DataError::Empty {
                path: self.path().to_owned(),
            });
        };
        let (first, is_row) = (first.to_owned(), object(first).is_some());
        if self.is_array()? {
            return self.prompt_objects();
        }
        if is_row {
            return self.prompt_rows();
        }
        if let Some(delimiter) = prompt_table(&first, is_table_name(self.path())) {
            return self.prompt_cells(delimiter);
        }
        if is_table_name(self.path()) {
            return Err(self
                .format_error("a table without a column `prompt`: add a header with this column"));
        }
        let begins = |with: &[u8]| first.trim_ascii_start().starts_with(with);
        let json = [&b"{\""[..], b"{'", b"{ \"", b"[\"", b"['"];
        let json = first == b"{" || json.into_iter().any(begins);
        match self.is_json_name() || json {
            // For a file with a JSON name but no JSON, the error names the kind of content.
            true => self.first_row().and_then(|_| self.prompt_rows()),
            false => self.prompt_lines(),
        }
    }

    fn prompt_objects(self) -> Result<Prompts, DataError> {
        let (mut found, mut seen) = (Prompts::default(), Seen::default());
        each_object(self, |line, row| {
            found.push(line, prompt(row, &mut seen)?);
            Ok(())
        })?;
        found.unused = seen.unused;
        Ok(found)
    }

    fn prompt_rows(mut self) -> Result<Prompts, DataError> {
        let path = self.path().to_owned();
        let (mut found, mut seen) = (Prompts::default(), Seen::default());
        seen.unused.extend(
            self.only(|name| is_prompt_name(name) || is_meant(name) || NUMBERS.contains(&name)),
        );
        let mut rows = self.into_rows()?;
        found.numbering = rows.numbering.clone();
        while let Some((line, row)) = rows.next_row()? {
            let row = row.map_err(|bad| {
                let what = bad.what;
                let what =
                    format!("not a row of prompts: {what}: write {{\"prompt\": \"a text\"}}");
                Bad::malformed(what)
            });
            let asked = row.and_then(|row| prompt(&row, &mut seen));
            let asked = asked.map_err(|bad| rows.numbering.row_error(&path, line, bad.what))?;
            found.push(line, asked);
        }
        found.unused = seen.unused;
        Ok(found)
    }

    fn prompt_cells(self, delimiter: u8) -> Result<Prompts, DataError> {
        let path = self.path().to_owned();
        let (mut found, mut seen) = (Prompts::default(), Seen::default());
        let mut records = Records::new(self.into_lines(), delimiter);
        let mut header: Option<Header> = None;
        while let Some((line, record)) = records.next()? {
            let row = record.and_then(|record| match &header {
                None => {
                    let names = Header::of(&record);
                    records.columns = names.len();
                    header = Some(names);
                    Ok(None)
                }
                Some(names) if names.len() != record.len() => Err(Bad::malformed(format!(
                    "{} columns, expected {} as in the header: quote texts that contain commas",
                    record.len(),
                    names.len()
                ))),
                Some(names) => names.row(&record).map(Some),
            });
            let asked = row.and_then(|row| match row {
                None => Ok(None),
                Some(row) => {
                    seen.cells(&row, &["prompt"])?;
                    Ok(Some(content(&row, "prompt", &mut seen)?.into_prompt()))
                }
            });
            let asked = asked.map_err(|bad| DataError::Row {
                path: path.clone(),
                line,
                what: bad.what,
            })?;
            if let Some(prompt) = asked {
                found.push(line, prompt);
            }
        }
        found.unused = seen.unused;
        match found.prompts.is_empty() {
            true => Err(DataError::Empty { path }),
            false => Ok(found),
        }
    }

    fn prompt_lines(self) -> Result<Prompts, DataError> {
        let path = self.path().to_owned();
        let mut found = Prompts::default();
        let mut lines = self.into_lines();
        while let Some((line, bytes)) = lines.next_line()? {
            let wrong = |what: &str| DataError::Row {
                path: path.clone(),
                line,
                what: what.to_owned(),
            };
            if bytes.contains(&0) {
                return Err(wrong("a NUL byte in a prompt: remove the byte"));
            }
            let row = object(&bytes)
                .is_some_and(|row| row.contains_key("prompt") || row.contains_key("messages"));
            if row {
                return Err(wrong(
                    "a JSON row among plain prompts: write rows only, or one prompt a line",
                ));
            }
            let text = String::from_utf8(bytes)
                .map_err(|_| wrong("not UTF-8: convert it, for example with iconv"))?;
            found.push(line, Prompt::Text(text));
        }
        Ok(found)
    }
}

/// Returns the separator of a table whose header names `prompt`. Only the name of the file makes a
/// single column a table.
fn prompt_table(first: &[u8], named: bool) -> Option<u8> {
    [b',', b'\t', b';'].into_iter().find(|&delimiter| {
        let header = Header::parse(first, delimiter);
        header.has("prompt") && (named || header.looks_like_one() && header.len() > 1)
    })
}

/// Returns the prompt of a row with `prompt` or `messages`.
pub(super) fn prompt(row: &Object, seen: &mut Seen) -> Result<Prompt, Bad> {
    seen.columns(row, &["prompt", "messages"])?;
    let given = |name: &str| row.get(name).is_some_and(|value| !value.is_null());
    match (given("prompt"), given("messages")) {
        (true, false) => match content(row, "prompt", seen) {
            Ok(content) => Ok(content.into_prompt()),
            Err(bad) if row["prompt"].is_array() || row["prompt"].is_string() => Err(bad),
            Err(_) => Err(Bad::fields(
                "prompt is neither a text nor a list of messages with role (system, user, assistant, tool) \
                 and content",
            )),
        },
        (false, true) => Ok(Prompt::Chat(messages(
            list(row, "messages")?,
            "messages",
            seen,
        )?)),
        (true, true) => Err(Bad::fields("has prompt and messages: keep one of them")),
        (false, false) => Err(Bad::fields(format!(
            "has neither prompt nor messages{}",
            hint(row)
        ))),
    }
}
