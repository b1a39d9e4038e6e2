//! Prompt files of benchmarks.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Object, keys, list, member, optional, other_keys, text};
use super::labels::{CATEGORIES, category, label};
use super::objects::each_object;
use super::seen::Seen;
use super::{Bad, Input};
use crate::error::DataError;

/// A question of a benchmark, with one or more turns of the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Id in the file; without one, the number of the row from 1.
    pub id: String,
    /// Category of the question, if the file names one.
    pub category: Option<String>,
    /// Turns of the user. Each turn follows the model's answer to the previous turn.
    pub turns: Vec<String>,
    /// Reference answers of the file, turn by turn; often none.
    pub reference: Vec<String>,
}

/// The layout of a prompt file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum QuestionFormat {
    /// MT-bench and Vicuna's 80 questions: `{"question_id", "category", "turns": [text],
    /// "reference"?: [text]}`. Older files have `text` instead of `turns`.
    MtBench,
    /// Arena-Hard: `{"question_id" or "uid", "category" or "cluster", "turns": [{"content"}]}`, or
    /// `prompt` instead of `turns`.
    ArenaHard,
    /// AlpacaEval and instruction data: `{"instruction", "input"?, "output"?, "dataset"?}`.
    Alpaca,
    /// Test set of Evol-Instruct: `{"Idx", "Skill", "Instruction"}`.
    EvolInstruct,
    /// Seed tasks of Self-Instruct: `{"id", "instruction", "instances": [{"input", "output"}]}`.
    /// The first instance becomes the question.
    SelfInstruct,
}

impl fmt::Display for QuestionFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MtBench => "mt_bench",
            Self::ArenaHard => "arena_hard",
            Self::Alpaca => "alpaca",
            Self::EvolInstruct => "evol_instruct",
            Self::SelfInstruct => "self_instruct",
        })
    }
}

/// Reads a prompt file from JSON lines or one JSON array. The first row determines the format.
///
/// Instruction and `input` are joined by an empty line. The category of a seed task is
/// `classification` or `generation`, according to `is_classification`.
///
/// # Errors
/// The file cannot be read or has no row. The first row has no known format. A row lacks a field of
/// the format, has an empty question, or repeats an id; the error names the line.
pub fn read_questions(
    path: impl AsRef<Path>,
) -> Result<(Vec<Question>, QuestionFormat), DataError> {
    let (questions, format, _) = Input::open(path)?.read_questions()?;
    Ok((questions, format))
}

impl Input {
    /// Reads a prompt file like [`read_questions`], and returns the names of the columns that are
    /// not used.
    ///
    /// # Errors
    /// As [`read_questions`].
    pub fn read_questions(
        self,
    ) -> Result<(Vec<Question>, QuestionFormat, BTreeSet<String>), DataError> {
        let mut format = None;
        let mut questions = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        let mut seen = Seen::default();
        let numbering = self.numbering();
        each_object(self, |line, row| {
            let format = match format {
                Some(format) => format,
                None => *format.insert(detect(row)?),
            };
            seen.columns(row, &[columns(format), &CATEGORIES, &IDS].concat())?;
            let question = read(row, format, questions.len() + 1, &mut seen)?;
            if question.turns.iter().any(|turn| turn.trim().is_empty()) {
                return Err(Bad::fields("a question is empty"));
            }
            if let Some(before) = lines.insert(question.id.clone(), line) {
                let (id, before) = (&question.id, numbering.place(before));
                return Err(Bad::fields(format!("id {id} occurs in {before} already")));
            }
            questions.push(question);
            Ok(())
        })?;
        // A file without rows already failed above.
        let format = format.unwrap_or(QuestionFormat::MtBench);
        Ok((questions, format, seen.unused))
    }
}

/// Columns of ids.
const IDS: [&str; 4] = ["question_id", "uid", "id", "Idx"];

/// Returns the columns that a format reads, other than ids and categories.
fn columns(format: QuestionFormat) -> &'static [&'static str] {
    match format {
        QuestionFormat::MtBench => &["turns", "text", "reference"],
        QuestionFormat::ArenaHard => &["turns", "prompt", "cluster"],
        QuestionFormat::Alpaca => &["instruction", "input", "output"],
        QuestionFormat::EvolInstruct => &["Instruction", "Skill"],
        QuestionFormat::SelfInstruct => &["instruction", "instances"],
    }
}

fn detect(row: &Object) -> Result<QuestionFormat, Bad> {
    let has = |name: &str| row.contains_key(name);
    let objects = |name: &str| {
        let first = row.get(name).and_then(Value::as_array)?.first()?;
        Some(first.is_object())
    };
    if has("turns") {
        return Ok(match objects("turns") {
            Some(true) => QuestionFormat::ArenaHard,
            _ => QuestionFormat::MtBench,
        });
    }
    if has("question_id") && has("text") {
        return Ok(QuestionFormat::MtBench);
    }
    if has("Instruction") {
        return Ok(QuestionFormat::EvolInstruct);
    }
    if has("instruction") {
        return Ok(match has("instances") {
            true => QuestionFormat::SelfInstruct,
            false => QuestionFormat::Alpaca,
        });
    }
    if has("prompt") {
        return Ok(QuestionFormat::ArenaHard);
    }
    Err(Bad::fields(format!(
        "no question: a row has `turns`, `prompt`, `instruction` or `Instruction`, or \
         `question_id` and `text` (this one has: {})",
        keys(row)
    )))
}

fn read(
    row: &Object,
    format: QuestionFormat,
    number: usize,
    seen: &mut Seen,
) -> Result<Question, Bad> {
    let mut question = Question {
        id: number.to_string(),
        category: category(row)?,
        turns: Vec::new(),
        reference: Vec::new(),
    };
    for name in IDS {
        if let Some(id) = label(row, name)? {
            question.id = id;
            break;
        }
    }
    match format {
        QuestionFormat::MtBench => {
            question.turns = match row.contains_key("turns") {
                true => texts(row, "turns")?,
                false => vec![text(row, "text")?.to_owned()],
            };
            if row.get("reference").is_some_and(|value| !value.is_null()) {
                question.reference = texts(row, "reference")?;
            }
        }
        QuestionFormat::ArenaHard => {
            question.turns = match row.contains_key("turns") {
                true => contents(row, seen)?,
                false => vec![text(row, "prompt")?.to_owned()],
            };
            if question.category.is_none() {
                question.category = label(row, "cluster")?;
            }
        }
        QuestionFormat::Alpaca => {
            question.turns = vec![with_input(text(row, "instruction")?, row)?];
            question.reference = optional(row, "output")?
                .into_iter()
                .map(Into::into)
                .collect();
        }
        QuestionFormat::EvolInstruct => {
            question.turns = vec![text(row, "Instruction")?.to_owned()];
            question.category = label(row, "Skill")?;
        }
        QuestionFormat::SelfInstruct => {
            let instruction = text(row, "instruction")?;
            let first = list(row, "instances")?.first().and_then(Value::as_object);
            let instance = first.ok_or_else(|| Bad::fields("field `instances` has no object"))?;
            question.turns = vec![with_input(instruction, instance)?];
            let output = optional(instance, "output")?;
            question.reference = output.into_iter().map(Into::into).collect();
            let classification = row.get("is_classification").and_then(Value::as_bool);
            question.category = classification.map(|is| match is {
                true => "classification".to_owned(),
                false => "generation".to_owned(),
            });
        }
    }
    match question.turns.is_empty() {
        true => Err(Bad::fields("field `turns` is empty")),
        false => Ok(question),
    }
}

/// Returns the instruction of a row joined with its input.
pub(super) fn with_input(instruction: &str, row: &Object) -> Result<String, Bad> {
    Ok(joined(instruction, optional(row, "input")?))
}

/// Joins an instruction and its input with an empty line between them.
pub(super) fn joined(instruction: &str, input: Option<&str>) -> String {
    match input {
        Some(input) if !input.trim().is_empty() => format!("{instruction}\n\n{input}"),
        _ => instruction.to_owned(),
    }
}

fn texts(row: &Object, name: &str) -> Result<Vec<String>, Bad> {
    let text = |(index, value): (usize, &Value)| {
        let text = value.as_str().map(str::to_owned);
        text.ok_or_else(|| Bad::fields(format!("`{name}[{index}]` is not a text")))
    };
    list(row, name)?.iter().enumerate().map(text).collect()
}

fn contents(row: &Object, seen: &mut Seen) -> Result<Vec<String>, Bad> {
    let mut text = |(index, turn): (usize, &Value)| {
        let object = turn.as_object();
        let object = object.ok_or_else(|| {
            Bad::fields(format!("`turns[{index}].content` is missing or not a text"))
        })?;
        other_keys(object, "turns", index, &["role", "content"], seen)?;
        Ok(member(object, "turns", index, "content")?.to_owned())
    };
    list(row, "turns")?
        .iter()
        .enumerate()
        .map(&mut text)
        .collect()
}
