//! Reads the rows of a file with the library's readers, for every kind of row.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use collimate::core::PreferencePair;
use collimate::data::{
    AskedPrompt, Candidates, DataError, DropReason, Format, GradedAnswer, Input, LabelledExample,
    Places, Prompts, ReadOptions, ReadReport, SftExample,
};

use crate::common::{self, Failure};

/// A kind of rows that --format names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Pairs or examples in one of the library's formats.
    Rows(Format),
    /// Prompts.
    Prompts,
    /// Answers with a score.
    ScoredAnswers,
    /// Answers that are labelled good or bad.
    LabelledAnswers,
}

impl Kind {
    /// Parses the name of a kind on the command line.
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        match name {
            "prompts" => Ok(Self::Prompts),
            "graded_answers" => Ok(Self::ScoredAnswers),
            "labelled_answers" => Ok(Self::LabelledAnswers),
            _ => common::json_name::<Format>(name)
                .map(Self::Rows)
                .map_err(|error| error + ", `prompts`, `graded_answers`, `labelled_answers`"),
        }
    }

    /// Returns the name of the kind, as the command line takes it.
    pub(super) fn name(self) -> String {
        match self {
            Self::Rows(format) => format.to_string(),
            Self::Prompts => "prompts".to_owned(),
            Self::ScoredAnswers => "graded_answers".to_owned(),
            Self::LabelledAnswers => "labelled_answers".to_owned(),
        }
    }
}

/// Rows of one kind.
pub(super) enum Rows {
    /// Preference pairs.
    Pairs(Vec<PreferencePair>),
    /// Examples of supervised fine-tuning.
    Sft(Vec<SftExample>),
    /// Prompts.
    Prompts(Vec<AskedPrompt>),
    /// Answers with a score.
    Scored(Vec<GradedAnswer>),
    /// Answers that are labelled good or bad.
    Labelled(Vec<LabelledExample>),
    /// Two or more answers to a prompt, without a label.
    Unlabelled(Vec<Candidates>),
}

/// A file that was read.
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) rows: Rows,
    pub(super) places: Places,
    pub(super) report: Counts,
}

/// Counts of a reader, for each kind of rows.
pub(super) struct Counts {
    pub(super) read: usize,
    pub(super) kept: usize,
    pub(super) unused: Vec<String>,
    /// The whole report, for kinds that have one.
    pub(super) whole: Option<ReadReport>,
}

impl Counts {
    /// Returns the word for the number of a row: `line`, or `row` in a file without lines.
    pub(super) fn unit(&self) -> &'static str {
        let whole = self.whole.as_ref();
        whole.map_or("line", |report| report.numbering.unit())
    }
}

/// A file that is read several times. Of a pipe, the bytes are kept.
struct Source {
    path: PathBuf,
    bytes: Option<Arc<[u8]>>,
}

impl Source {
    fn open(path: &Path) -> Result<Self, Failure> {
        let path = path.to_owned();
        if path.is_file() {
            return Ok(Self { path, bytes: None });
        }
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Self {
                path,
                bytes: Some(bytes.into()),
            }),
            // The library's reader gives a better message.
            Err(error) => Err(match Input::open(&path) {
                Err(told) => told.into(),
                Ok(_) => format!("{}: {error}: check that it can be read", path.display()).into(),
            }),
        }
    }

    fn input(&self) -> Result<Input, DataError> {
        match &self.bytes {
            None => Input::open(&self.path),
            Some(bytes) => Input::from_reader(&self.path, Cursor::new(Arc::clone(bytes))),
        }
    }
}

/// Reads a file as the given kind, or detects the kind from its rows.
pub(super) fn read(
    path: &Path,
    given: Option<Kind>,
    options: &ReadOptions,
) -> Result<Found, Failure> {
    let source = Source::open(path)?;
    match given {
        Some(Kind::Rows(format)) => Ok(rows(&source, format, options)?),
        Some(Kind::Prompts) => Ok(prompts(&source)?),
        Some(Kind::ScoredAnswers) => Ok(scored(&source)?),
        Some(Kind::LabelledAnswers) => Ok(labelled(&source)?),
        None => recognise(&source, options),
    }
}

/// Detects the kind of the rows and reads them. A file without pairs and examples may hold prompts.
fn recognise(source: &Source, options: &ReadOptions) -> Result<Found, Failure> {
    // If the file cannot be read at all, the reader of formats reports this.
    if source.input()?.holds_labels().unwrap_or(false) {
        return Ok(labelled(source)?);
    }
    let format = match source.input()?.format() {
        Ok(format) => format,
        Err(error) => return or_prompts(source, error),
    };
    if format == Format::PromptCompletion
        && let Ok(found) = scored(source)
    {
        return Ok(found);
    }
    match rows(source, format, options) {
        Ok(found) => {
            let no_answer = |report: &ReadReport| {
                report.kept == 0 && report.dropped_for(DropReason::NoAnswer) == report.rows
            };
            match found.report.whole.as_ref().is_some_and(no_answer) {
                true => Ok(prompts(source).unwrap_or(found)),
                false => Ok(found),
            }
        }
        Err(error) if format == Format::TwoColumnCsv => or_prompts(source, error),
        Err(error) => Err(error.into()),
    }
}

/// Columns of answers: a row with one of these columns is not a prompt.
const ANSWERS: [&str; 5] = [
    "completion",
    "completions",
    "chosen",
    "rejected",
    "response",
];

fn or_prompts(source: &Source, error: DataError) -> Result<Found, Failure> {
    match prompts(source) {
        Ok(found)
            if !found
                .report
                .unused
                .iter()
                .any(|n| ANSWERS.contains(&n.as_str())) =>
        {
            Ok(found)
        }
        _ => Err(error.into()),
    }
}

/// Reads answers in lists or columns. They are pairs if a label names the better answer.
fn candidates(source: &Source, options: &ReadOptions) -> Result<Found, DataError> {
    let (rows, places, report) = match source.input()?.read_placed_pairs(options) {
        Ok((pairs, places, report)) => (Rows::Pairs(pairs), places, report),
        Err(DataError::Format { .. }) => {
            let (rows, places, report) = source.input()?.read_placed_unlabelled(options)?;
            (Rows::Unlabelled(rows), places, report)
        }
        Err(error) => return Err(error),
    };
    Ok(whole(source, rows, places, report))
}

fn rows(source: &Source, format: Format, options: &ReadOptions) -> Result<Found, DataError> {
    let options = ReadOptions {
        format: Some(format),
        ..options.clone()
    };
    if format == Format::Candidates {
        return candidates(source, &options);
    }
    let input = source.input()?;
    let (rows, places, report) = match format.has_pairs() {
        true => {
            let (pairs, places, report) = input.read_placed_pairs(&options)?;
            (Rows::Pairs(pairs), places, report)
        }
        false => {
            let (examples, places, report) = input.read_placed_sft(&options)?;
            (Rows::Sft(examples), places, report)
        }
    };
    Ok(whole(source, rows, places, report))
}

/// Returns a file with the whole report of its reader.
fn whole(source: &Source, rows: Rows, places: Places, report: ReadReport) -> Found {
    Found {
        path: source.path.clone(),
        kind: Kind::Rows(report.format),
        rows,
        places,
        report: Counts {
            read: report.rows,
            kept: report.kept,
            unused: report.unused.iter().cloned().collect(),
            whole: Some(report),
        },
    }
}

fn prompts(source: &Source) -> Result<Found, DataError> {
    let Prompts {
        prompts, unused, ..
    } = source.input()?.read_prompts()?;
    let lines = prompts.iter().map(|asked| asked.line).collect();
    Ok(simple(
        source,
        Kind::Prompts,
        Rows::Prompts(prompts),
        lines,
        unused,
    ))
}

fn scored(source: &Source) -> Result<Found, DataError> {
    let (answers, unused) = source.input()?.read_graded()?;
    let lines = answers.iter().map(|answer| answer.line).collect();
    Ok(simple(
        source,
        Kind::ScoredAnswers,
        Rows::Scored(answers),
        lines,
        unused,
    ))
}

fn labelled(source: &Source) -> Result<Found, DataError> {
    let (answers, unused) = source.input()?.read_labelled()?;
    let lines = answers.iter().map(|answer| answer.line).collect();
    Ok(simple(
        source,
        Kind::LabelledAnswers,
        Rows::Labelled(answers),
        lines,
        unused,
    ))
}

/// Returns a file whose reader keeps every row.
fn simple(
    source: &Source,
    kind: Kind,
    rows: Rows,
    kept: Vec<usize>,
    unused: std::collections::BTreeSet<String>,
) -> Found {
    let count = kept.len();
    Found {
        path: source.path.clone(),
        kind,
        rows,
        places: Places {
            kept,
            dropped: Vec::new(),
        },
        report: Counts {
            read: count,
            kept: count,
            unused: unused.into_iter().collect(),
            whole: None,
        },
    }
}
