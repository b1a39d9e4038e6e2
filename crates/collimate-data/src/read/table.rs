//! Tables of pairs: with a header that names the columns, or two columns, the first preferred.

use std::path::{Path, PathBuf};

use collimate_core::PreferencePair;
use csv::ByteRecord;
use serde_json::{Map, Value};

use super::input::{Input, Layout};
use super::records::{Records, parse};
use super::report::Note;
use super::response_columns::Columns;
use super::sink::Sink;
use super::steps::Step;
use super::{Bad, DropReason, trl};
use crate::error::DataError;

/// Returns true for the name of a table, compressed or not.
pub(super) fn is_table_name(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase());
    let name = name.unwrap_or_default();
    let name = name.trim_end_matches(".gz");
    name.ends_with(".csv") || name.ends_with(".tsv")
}

/// The names of columns, trimmed.
pub(super) struct Header(Vec<String>);

impl Header {
    /// Reads the fields of a line as names. Returns no names if the line is not a record.
    pub(super) fn parse(line: &[u8], delimiter: u8) -> Self {
        let Ok(record) = parse(line, delimiter) else {
            return Self(Vec::new());
        };
        Self::of(&record)
    }

    /// Reads the fields of a record as names.
    pub(super) fn of(record: &ByteRecord) -> Self {
        let name = |field: &[u8]| String::from_utf8_lossy(field).trim().to_owned();
        Self(record.iter().map(name).collect())
    }

    /// Returns true if a column has this name, in any case.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Returns true if both answers have a column.
    pub(super) fn names_answers(&self) -> bool {
        self.has("chosen") && self.has("rejected")
    }

    /// Returns true if two or more columns hold answers to the same prompt.
    pub(super) fn names_candidates(&self) -> bool {
        let cell = |name: &String| (name.clone(), Value::String(String::new()));
        let row: Map<String, Value> = self.0.iter().map(cell).collect();
        matches!(Columns::of(&row), Ok(Some(_)))
    }

    /// Returns true if a column may name the better answer.
    pub(super) fn names_label(&self) -> bool {
        self.0
            .iter()
            .any(|name| Columns::label_name(name).is_some())
    }

    /// Returns a name that occurs more than once, in any case.
    pub(super) fn repeated(&self) -> Option<&str> {
        let mut known = std::collections::BTreeSet::new();
        let again = |name: &&String| !name.is_empty() && !known.insert(name.to_lowercase());
        self.0.iter().find(again).map(String::as_str)
    }

    /// Returns a name of a read column that occurs more than once.
    fn twice(&self) -> Option<&str> {
        ["prompt", "chosen", "rejected"].into_iter().find(|name| {
            let same = self
                .0
                .iter()
                .filter(|known| known.eq_ignore_ascii_case(name));
            same.count() > 1
        })
    }

    /// Returns true if a first row without `chosen` and `rejected` is nevertheless a header.
    pub(super) fn looks_like_one(&self) -> bool {
        let any = |names: [&str; 2]| names.iter().any(|name| self.has(name));
        let all = !self.0.is_empty() && self.0.iter().all(|name| is_column_name(name));
        let short = self.0.iter().all(|name| is_short(name));
        let telling = !self.0.is_empty() && self.0.iter().all(|name| has_telling_word(name));
        all || any(["chosen", "rejected"]) || short && telling
    }

    fn shown(&self) -> String {
        let names: Vec<String> = self.0.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    }

    /// Converts a record into a row. The columns that are read get lower-case names.
    pub(super) fn row(&self, record: &ByteRecord) -> Result<Map<String, Value>, Bad> {
        let mut row = Map::new();
        for (index, (name, field)) in self.0.iter().zip(record).enumerate() {
            let text = std::str::from_utf8(field).map_err(|_| Bad {
                reason: DropReason::NotUtf8,
                what: format!("column {} is not valid UTF-8", index + 1),
            })?;
            let small = name.to_lowercase();
            let key = match small.as_str() {
                "prompt" | "chosen" | "rejected" => small,
                "" => format!("column {}", index + 1),
                _ => name.clone(),
            };
            row.insert(key, Value::String(text.to_owned()));
        }
        Ok(row)
    }

    /// Returns the number of columns.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Words that name a column of pairs but are not an answer.
const NAMES: &[&str] = &[
    "prompt",
    "prompts",
    "question",
    "query",
    "instruction",
    "input",
    "inputs",
    "context",
    "system",
    "chosen",
    "rejected",
    "better",
    "worse",
    "best",
    "worst",
    "winner",
    "loser",
    "winning",
    "losing",
    "win",
    "lose",
    "preferred",
    "dispreferred",
    "unpreferred",
    "preference",
    "accepted",
    "refused",
    "positive",
    "negative",
    "pos",
    "neg",
    "label",
    "labels",
    "score",
    "scores",
    "rating",
    "rank",
    "id",
    "idx",
    "index",
    "target",
    "category",
    "source",
    "premise",
    "hypothesis",
    "baseline",
];
/// Words that name a column alone or followed by a letter or a number.
const NUMBERED: &[&str] = &[
    "response",
    "responses",
    "answer",
    "answers",
    "completion",
    "output",
    "outputs",
    "text",
    "sentence",
    "option",
    "model",
    "candidate",
    "summary",
    "generation",
    "reply",
    "score",
    "choice",
];

/// Words that say which answer a column holds, in addition to [`NAMES`].
const SIDES: &[&str] = &[
    "bad", "first", "good", "gpt", "human", "left", "less", "model", "more", "right", "second",
];

/// Returns true if a cell could be a name: at most three words and no mark that ends a sentence.
fn is_short(cell: &str) -> bool {
    let words = cell.split([' ', '_', '-']).filter(|word| !word.is_empty());
    words.count() <= 3 && !cell.contains(['.', '!', '?', ',', ';', ':', '"', '\''])
}

/// Returns true if a word of a cell names a column of pairs, or one of two sides.
fn has_telling_word(cell: &str) -> bool {
    let small = cell.to_lowercase();
    let mut words = small.split(|c: char| !c.is_alphanumeric());
    words.any(|word| NAMES.contains(&word) || SIDES.contains(&word))
}

fn is_column_name(given: &str) -> bool {
    let name = given.to_lowercase().replace(['-', ' '], "_");
    let numbered = |word: &&str| {
        name.strip_prefix(*word).is_some_and(|rest| {
            let rest = rest.trim_start_matches('_');
            rest.is_empty() || rest.len() == 1 && rest.bytes().all(|b| b.is_ascii_alphanumeric())
        })
    };
    // Programmers write names with underscores, but texts have blanks.
    let words: Vec<&str> = given.split('_').collect();
    let word = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric());
    let joined = words.len() > 1 && words.iter().all(word);
    NAMES.contains(&name.as_str()) || NUMBERED.iter().any(numbered) || joined
}

/// Returns the steps that read the pairs of a table.
pub(super) fn steps(mut input: Input) -> Result<Step<PreferencePair>, DataError> {
    let delimiter = match input.layout()? {
        Layout::Table(delimiter) | Layout::Answers(delimiter) => delimiter,
        Layout::Rows if input.first_row().is_ok() => {
            return Err(input.format_error(
                "JSON lines, but the format two_column_csv is a table: do not name the format",
            ));
        }
        Layout::Rows => b',',
    };
    let mut table = Table {
        path: input.path().to_owned(),
        records: Records::new(input.into_lines(), delimiter),
        // Without a header the first column is the preferred answer.
        header: Header(vec!["chosen".to_owned(), "rejected".to_owned()]),
    };
    Ok(Box::new(move |sink| table.step(sink)))
}

/// A table that is being read.
struct Table {
    path: PathBuf,
    records: Records,
    header: Header,
}

impl Table {
    fn step(&mut self, sink: &mut Sink<PreferencePair>) -> Result<bool, DataError> {
        let Some((line, record)) = self.records.next()? else {
            let path = self.path.clone();
            return match sink.rows {
                0 => Err(DataError::Empty { path }),
                _ => Ok(false),
            };
        };
        sink.rows += 1;
        sink.line = line;
        let record = match record {
            Ok(record) => record,
            Err(bad) => {
                sink.bad(line, bad)?;
                return Ok(true);
            }
        };
        if self.records.columns == 0 {
            self.records.columns = 2;
            if self.is_header(&record, line)? {
                sink.drop_one(DropReason::Header);
                return Ok(true);
            }
            sink.seen.tell(Note::FirstColumnPreferred);
        }
        let taken = pair(&self.header, &record, sink);
        sink.place();
        if let Err(bad) = taken {
            sink.bad(line, bad)?;
        }
        Ok(true)
    }

    /// Returns true if the first record names the columns, and takes the names.
    fn is_header(&mut self, record: &ByteRecord, line: usize) -> Result<bool, DataError> {
        let wrong = |what: String| DataError::Row {
            path: self.path.clone(),
            line,
            what,
        };
        let names = Header::of(record);
        if names.names_answers() {
            if let Some(name) = names.twice() {
                return Err(wrong(format!(
                    "two columns are called `{name}`: rename one of them"
                )));
            }
            self.records.columns = names.len();
            self.records.spaced = record.iter().skip(1).all(|field| field.starts_with(b" "));
            self.header = names;
            return Ok(true);
        }
        if names.looks_like_one() {
            return Err(wrong(format!(
                "the first row looks like a header with other names ({}): name the columns \
                 `chosen` and `rejected`, and `prompt` if there is a prompt",
                names.shown()
            )));
        }
        Ok(false)
    }
}

fn pair(header: &Header, record: &ByteRecord, sink: &mut Sink<PreferencePair>) -> Result<(), Bad> {
    if record.len() != header.len() {
        let expected = match header.len() {
            2 => "2 (the chosen and the rejected answer; more need the header \
                  `prompt,chosen,rejected` or JSON lines)"
                .to_owned(),
            columns => format!("{columns} as in the header"),
        };
        return Err(Bad::malformed(format!(
            "{} columns, expected {expected}: quote texts that contain commas",
            record.len()
        )));
    }
    let row = header.row(record)?;
    let labels = sink.labels.of(&row)?;
    sink.read_numbers(&row)?;
    let compared = trl::table_row(&row, &mut sink.seen)?;
    trl::push(compared, None, sink);
    sink.labels.keep(labels, sink.out.len());
    Ok(())
}
