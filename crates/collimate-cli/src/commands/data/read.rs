//! Reads the rows of a file with the library's readers, for every kind of row.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use collimate::core::PreferencePair;
use collimate::data::{
    AskedPrompt, Candidates, DataError, DropReason, DroppedRow, Format, GradedAnswer, Input,
    LabelledExample, Prompts, ReadOptions, ReadReport, RowStream, SftExample,
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

/// A file that was read, with the rows in the hands of a visitor.
pub(super) struct Found<V> {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) report: Counts,
    pub(super) visitor: V,
}

/// Takes the rows of a file part by part.
pub(super) trait Visitor {
    /// Takes some rows, and the line of each.
    fn take(&mut self, rows: Rows, lines: Vec<usize>) -> Result<(), Failure>;

    /// Takes rows that are not used.
    fn dropped(&mut self, rows: Vec<DroppedRow>);
}

/// All rows of a file.
pub(super) struct Collected {
    /// The rows. `None` if the file has no usable row.
    pub(super) rows: Option<Rows>,
    /// The line of each row.
    pub(super) lines: Vec<usize>,
    /// Rows that are not used.
    pub(super) dropped: Vec<DroppedRow>,
}

impl Visitor for Collected {
    fn take(&mut self, rows: Rows, lines: Vec<usize>) -> Result<(), Failure> {
        self.lines.extend(lines);
        match &mut self.rows {
            None => self.rows = Some(rows),
            Some(all) => all.append(rows),
        }
        Ok(())
    }

    fn dropped(&mut self, rows: Vec<DroppedRow>) {
        self.dropped.extend(rows);
    }
}

impl Rows {
    /// Returns the number of rows.
    fn len(&self) -> usize {
        match self {
            Self::Pairs(rows) => rows.len(),
            Self::Sft(rows) => rows.len(),
            Self::Prompts(rows) => rows.len(),
            Self::Scored(rows) => rows.len(),
            Self::Labelled(rows) => rows.len(),
            Self::Unlabelled(rows) => rows.len(),
        }
    }

    /// Cuts the rows into parts of at most `most` rows. There is at least one part.
    fn into_parts(self, most: usize) -> Vec<Self> {
        fn cut<T>(rows: Vec<T>, most: usize, of: fn(Vec<T>) -> Rows) -> Vec<Rows> {
            let mut rows = rows.into_iter();
            let mut parts = Vec::new();
            loop {
                let part: Vec<T> = rows.by_ref().take(most).collect();
                if part.is_empty() && !parts.is_empty() {
                    return parts;
                }
                let last = part.len() < most;
                parts.push(of(part));
                if last {
                    return parts;
                }
            }
        }
        match self {
            Self::Pairs(rows) => cut(rows, most, Self::Pairs),
            Self::Sft(rows) => cut(rows, most, Self::Sft),
            Self::Prompts(rows) => cut(rows, most, Self::Prompts),
            Self::Scored(rows) => cut(rows, most, Self::Scored),
            Self::Labelled(rows) => cut(rows, most, Self::Labelled),
            Self::Unlabelled(rows) => cut(rows, most, Self::Unlabelled),
        }
    }

    /// Adds rows of the same kind.
    fn append(&mut self, more: Rows) {
        match (self, more) {
            (Self::Pairs(all), Self::Pairs(more)) => all.extend(more),
            (Self::Sft(all), Self::Sft(more)) => all.extend(more),
            (Self::Prompts(all), Self::Prompts(more)) => all.extend(more),
            (Self::Scored(all), Self::Scored(more)) => all.extend(more),
            (Self::Labelled(all), Self::Labelled(more)) => all.extend(more),
            (Self::Unlabelled(all), Self::Unlabelled(more)) => all.extend(more),
            // A file has rows of one kind.
            (all, more) => *all = more,
        }
    }
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

/// Reads all rows of a file as the given kind, or detects the kind from the rows.
pub(super) fn read(
    path: &Path,
    given: Option<Kind>,
    options: &ReadOptions,
) -> Result<Found<Collected>, Failure> {
    let collect = || Collected {
        rows: None,
        lines: Vec::new(),
        dropped: Vec::new(),
    };
    visit(path, given, options, &collect)
}

/// Passes the rows of a file to a visitor, as the given kind, or as the kind that the rows show. A
/// try that fails leaves no trace: each try begins with a new visitor.
pub(super) fn visit<V: Visitor>(
    path: &Path,
    given: Option<Kind>,
    options: &ReadOptions,
    new: &impl Fn() -> V,
) -> Result<Found<V>, Failure> {
    let source = Source::open(path)?;
    let reader = Reader {
        source: &source,
        options,
        new,
    };
    match given {
        Some(Kind::Rows(format)) => reader.rows(format),
        Some(Kind::Prompts) => reader.prompts(),
        Some(Kind::ScoredAnswers) => reader.scored(),
        Some(Kind::LabelledAnswers) => reader.labelled(),
        None => reader.recognise(),
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

/// Number of rows that a visitor takes at once.
const PART: usize = 4096;

/// Reads the rows of a source as one kind or another.
struct Reader<'a, N> {
    source: &'a Source,
    options: &'a ReadOptions,
    new: &'a N,
}

impl<V: Visitor, N: Fn() -> V> Reader<'_, N> {
    /// Detects the kind of the rows and reads them. A file without pairs and examples may hold
    /// prompts.
    fn recognise(&self) -> Result<Found<V>, Failure> {
        // If the file cannot be read at all, the reader of formats reports this.
        if self.source.input()?.holds_labels().unwrap_or(false) {
            return self.labelled();
        }
        let format = match self.source.input()?.format() {
            Ok(format) => format,
            Err(error) => return self.or_prompts(error.into()),
        };
        if format == Format::PromptCompletion
            && let Ok(found) = self.scored()
        {
            return Ok(found);
        }
        match self.rows(format) {
            Ok(found) => {
                let no_answer = |report: &ReadReport| {
                    report.kept == 0 && report.dropped_for(DropReason::NoAnswer) == report.rows
                };
                match found.report.whole.as_ref().is_some_and(no_answer) {
                    true => Ok(self.prompts().unwrap_or(found)),
                    false => Ok(found),
                }
            }
            Err(error) if format == Format::TwoColumnCsv => self.or_prompts(error),
            Err(error) => Err(error),
        }
    }

    fn or_prompts(&self, error: Failure) -> Result<Found<V>, Failure> {
        let no_answers = |found: &Found<V>| {
            let answer = |name: &String| ANSWERS.contains(&name.as_str());
            !found.report.unused.iter().any(answer)
        };
        match self.prompts() {
            Ok(found) if no_answers(&found) => Ok(found),
            _ => Err(error),
        }
    }

    fn rows(&self, format: Format) -> Result<Found<V>, Failure> {
        let options = ReadOptions {
            format: Some(format),
            ..self.options.clone()
        };
        let input = self.source.input()?;
        match format {
            Format::Candidates => self.candidates(&options),
            _ if format.has_pairs() => self.stream(input.stream_pairs(&options)?, Rows::Pairs),
            _ => self.stream(input.stream_sft(&options)?, Rows::Sft),
        }
    }

    /// Reads answers in lists or columns. They are pairs if a label names the better answer.
    fn candidates(&self, options: &ReadOptions) -> Result<Found<V>, Failure> {
        match self.source.input()?.stream_pairs(options) {
            Ok(pairs) => self.stream(pairs, Rows::Pairs),
            Err(DataError::Format { .. }) => {
                let rows = self.source.input()?.stream_candidates(options)?;
                self.stream(rows, Rows::Unlabelled)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Passes the rows of a stream to a new visitor.
    fn stream<T>(
        &self,
        mut stream: RowStream<T>,
        rows: fn(Vec<T>) -> Rows,
    ) -> Result<Found<V>, Failure> {
        let mut visitor = (self.new)();
        let (mut part, mut lines) = (Vec::with_capacity(PART), Vec::with_capacity(PART));
        for row in stream.by_ref() {
            let row = row?;
            visitor.dropped(row.dropped);
            for (line, kept) in row.kept {
                part.push(kept);
                lines.push(line);
            }
            if part.len() >= PART {
                let part = std::mem::replace(&mut part, Vec::with_capacity(PART));
                let lines = std::mem::replace(&mut lines, Vec::with_capacity(PART));
                visitor.take(rows(part), lines)?;
            }
        }
        visitor.take(rows(part), lines)?;
        let report = stream.report();
        Ok(Found {
            path: self.source.path.clone(),
            kind: Kind::Rows(report.format),
            report: Counts {
                read: report.rows,
                kept: report.kept,
                unused: report.unused.iter().cloned().collect(),
                whole: Some(report),
            },
            visitor,
        })
    }

    fn prompts(&self) -> Result<Found<V>, Failure> {
        let Prompts {
            prompts, unused, ..
        } = self.source.input()?.read_prompts()?;
        let lines = prompts.iter().map(|asked| asked.line).collect();
        self.simple(Kind::Prompts, Rows::Prompts(prompts), lines, unused)
    }

    fn scored(&self) -> Result<Found<V>, Failure> {
        let (answers, unused) = self.source.input()?.read_graded()?;
        let lines = answers.iter().map(|answer| answer.line).collect();
        self.simple(Kind::ScoredAnswers, Rows::Scored(answers), lines, unused)
    }

    fn labelled(&self) -> Result<Found<V>, Failure> {
        let (answers, unused) = self.source.input()?.read_labelled()?;
        let lines = answers.iter().map(|answer| answer.line).collect();
        let kind = Kind::LabelledAnswers;
        self.simple(kind, Rows::Labelled(answers), lines, unused)
    }

    /// Passes the rows of a reader that keeps every row to a new visitor.
    fn simple(
        &self,
        kind: Kind,
        rows: Rows,
        lines: Vec<usize>,
        unused: BTreeSet<String>,
    ) -> Result<Found<V>, Failure> {
        let count = lines.len();
        let mut visitor = (self.new)();
        let mut lines = lines.into_iter();
        for part in rows.into_parts(PART) {
            let lines = lines.by_ref().take(part.len()).collect();
            visitor.take(part, lines)?;
        }
        Ok(Found {
            path: self.source.path.clone(),
            kind,
            report: Counts {
                read: count,
                kept: count,
                unused: unused.into_iter().collect(),
                whole: None,
            },
            visitor,
        })
    }
}
