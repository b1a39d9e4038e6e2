//! Multiple-choice questions.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Bad;
use super::fields::{Object, field, list, text};
use super::input::Input;
use super::objects::each_object;
use super::seen::Seen;
use crate::error::DataError;

/// A question with several choices, one of them right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoiceQuestion {
    /// The question, or the beginning of a text that the choices complete.
    pub question: String,
    /// The choices.
    pub choices: Vec<String>,
    /// Index of the right choice, from 0.
    pub answer: usize,
    /// Part of the file that the question belongs to, if the file names one.
    pub category: Option<String>,
    /// The line of the row, from 1. In a Parquet file, the number of the row.
    pub line: usize,
}

/// The layout of a file of multiple-choice questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChoiceFormat {
    /// `{"question", "choices": [text], "answer"}`. The answer is an index from 0, a letter or a
    /// text.
    Choices,
    /// Rows of MMLU: the same fields with `subject`.
    Mmlu,
    /// Rows of ARC: `{"question", "choices": {"text": [text], "label": [text]}, "answerKey"}`.
    Arc,
    /// Rows of HellaSwag: `{"ctx", "endings": [text], "label"}`, optionally with `activity_label`,
    /// `ctx_a` and `ctx_b`.
    HellaSwag,
}

impl fmt::Display for ChoiceFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Choices => "choices",
            Self::Mmlu => "mmlu",
            Self::Arc => "arc",
            Self::HellaSwag => "hella_swag",
        })
    }
}

/// Questions, the layout of the file, and the columns that are not read.
pub type ReadChoices = (Vec<ChoiceQuestion>, ChoiceFormat, BTreeSet<String>);

impl Input {
    /// Reads multiple-choice questions from JSON lines or one JSON array. The first row determines
    /// the layout.
    ///
    /// Texts of HellaSwag are prepared as in the lm-evaluation-harness. The activity precedes the
    /// context, the beginning of the ending is capitalised, and marks in brackets are removed.
    ///
    /// # Errors
    /// The input cannot be read or has no row. A row lacks a field, has fewer than two choices, or
    /// has an answer that matches none or several of them; the error names the line.
    ///
    /// # Examples
    /// ```
    /// use collimate_data::Input;
    /// let row = r#"{"question": "2+2?", "choices": ["3", "four"], "answer": "B"}"#;
    /// let (questions, ..) = Input::from_reader("q.jsonl", row.as_bytes())?.read_choices()?;
    /// assert_eq!(questions[0].answer, 1);
    /// # Ok::<(), collimate_data::DataError>(())
    /// ```
    pub fn read_choices(self) -> Result<ReadChoices, DataError> {
        let mut format = None;
        let mut questions = Vec::new();
        let mut seen = Seen::default();
        each_object(self, |line, row| {
            let format = match format {
                Some(format) => format,
                None => *format.insert(detect(row)?),
            };
            seen.columns(row, columns(format))?;
            let question = question(row, format, line)?;
            let empty = question
                .choices
                .iter()
                .position(|choice| choice.trim().is_empty());
            if let Some(place) = empty {
                return Err(Bad::fields(format!("choice {place} is empty: give a text")));
            }
            if question.choices.len() < 2 {
                return Err(Bad::fields("fewer than two choices: give at least two"));
            }
            questions.push(question);
            Ok(())
        })?;
        // A file without rows already failed above.
        let format = format.unwrap_or(ChoiceFormat::Choices);
        Ok((questions, format, seen.unused))
    }
}

fn detect(row: &Object) -> Result<ChoiceFormat, Bad> {
    let has = |name: &str| row.contains_key(name);
    if has("endings") {
        return Ok(ChoiceFormat::HellaSwag);
    }
    match row.get("choices") {
        Some(Value::Object(_)) => Ok(ChoiceFormat::Arc),
        Some(_) if has("subject") => Ok(ChoiceFormat::Mmlu),
        Some(_) => Ok(ChoiceFormat::Choices),
        None => Err(Bad::fields(
            "no choices: write {\"question\", \"choices\": [text], \"answer\"}, or give rows of ARC, \
             HellaSwag or MMLU",
        )),
    }
}

fn columns(format: ChoiceFormat) -> &'static [&'static str] {
    match format {
        ChoiceFormat::Choices => &["question", "choices", "answer", "category", "subset"],
        ChoiceFormat::Mmlu => &["question", "choices", "answer", "subject"],
        ChoiceFormat::Arc => &["question", "choices", "answerKey", "category", "subset"],
        ChoiceFormat::HellaSwag => &[
            "ctx",
            "ctx_a",
            "ctx_b",
            "endings",
            "label",
            "activity_label",
            "source_id",
            "split",
            "split_type",
        ],
    }
}

fn question(row: &Object, format: ChoiceFormat, line: usize) -> Result<ChoiceQuestion, Bad> {
    let category = ["subject", "category", "subset"]
        .into_iter()
        .find_map(|name| row.get(name).and_then(Value::as_str))
        .map(str::to_owned);
    let (question, choices, labels, answer) = match format {
        ChoiceFormat::HellaSwag => {
            let endings = texts(list(row, "endings")?, "endings")?;
            let endings = endings.iter().map(|ending| plain(ending)).collect();
            (hella_swag(row)?, endings, Vec::new(), "label")
        }
        ChoiceFormat::Arc => {
            let choices = field(row, "choices")?.as_object();
            let choices = choices.ok_or_else(|| Bad::fields("field `choices` is not an object"))?;
            let labels = texts(list(choices, "label")?, "choices.label")?;
            let choices = texts(list(choices, "text")?, "choices.text")?;
            if labels.len() != choices.len() {
                return Err(Bad::fields(
                    "`choices.text` and `choices.label` differ in length",
                ));
            }
            (
                text(row, "question")?.to_owned(),
                choices,
                labels,
                "answerKey",
            )
        }
        ChoiceFormat::Choices | ChoiceFormat::Mmlu => {
            let choices = texts(list(row, "choices")?, "choices")?;
            (
                text(row, "question")?.to_owned(),
                choices,
                Vec::new(),
                "answer",
            )
        }
    };
    let answer = place(field(row, answer)?, answer, &choices, &labels)?;
    Ok(ChoiceQuestion {
        question,
        choices,
        answer,
        category,
        line,
    })
}

fn texts(values: &[Value], name: &str) -> Result<Vec<String>, Bad> {
    let each = values.iter().enumerate().map(|(i, value)| {
        let text = value.as_str().map(str::to_owned);
        text.ok_or_else(|| Bad::fields(format!("`{name}[{i}]` is not a text")))
    });
    each.collect()
}

/// Returns the index of the choice that an answer names. A number is an index. A text is a label of
/// the file; without a match it is a letter, the text of a choice, or an index.
fn place(value: &Value, name: &str, choices: &[String], labels: &[String]) -> Result<usize, Bad> {
    let count = choices.len();
    let told = |what: String| Bad::fields(format!("field `{name}` is {value}: {what}"));
    let within = |index: u64| usize::try_from(index).ok().filter(|&index| index < count);
    if let Some(number) = value.as_u64() {
        return within(number)
            .ok_or_else(|| told(format!("there are {count} choices, counted from 0")));
    }
    let Some(answer) = value.as_str().map(str::trim) else {
        return Err(told(
            "give an index from 0, a letter, or the text of a choice".to_owned(),
        ));
    };
    let mut places = BTreeSet::new();
    if let Some(label) = labels.iter().position(|label| label.trim() == answer) {
        // The labels of the file are unambiguous.
        return Ok(label);
    }
    if let [letter] = answer.as_bytes()
        && letter.is_ascii_alphabetic()
    {
        places.extend(within(u64::from(letter.to_ascii_uppercase() - b'A')));
    }
    let same = choices.iter().enumerate();
    places.extend(
        same.filter(|(_, choice)| choice.trim() == answer)
            .map(|(at, _)| at),
    );
    if let Ok(index) = answer.parse() {
        places.extend(within(index));
    }
    let places: Vec<usize> = places.into_iter().collect();
    match places[..] {
        [one] => Ok(one),
        [] => Err(told("no choice has this text or letter".to_owned())),
        _ => Err(told(format!(
            "the answer could be choice {}: give an index as a number",
            numbers(&places)
        ))),
    }
}

fn numbers(places: &[usize]) -> String {
    let places: Vec<String> = places.iter().map(usize::to_string).collect();
    places.join(" or ")
}

/// Returns activity and context, with the beginning of the ending capitalised.
fn hella_swag(row: &Object) -> Result<String, Bad> {
    let part = |name: &str| row.get(name).and_then(Value::as_str);
    let context = match (part("ctx_a"), part("ctx_b")) {
        (Some(a), Some(b)) => format!("{a} {}", capitalized(b)),
        _ => text(row, "ctx")?.to_owned(),
    };
    Ok(plain(&match part("activity_label") {
        Some(activity) => format!("{activity}: {context}"),
        None => context,
    }))
}

/// Converts the first letter to upper case and all others to lower case.
fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + &letters.as_str().to_lowercase()
}

/// Removes the marks in brackets that come from WikiHow.
fn plain(text: &str) -> String {
    let text = text.trim().replace(" [title]", ". ");
    let (mut found, mut rest) = (String::new(), text.as_str());
    while let Some(open) = rest.find('[')
        && let Some(length) = rest[open..].find(']')
        && !rest[open..open + length].contains('\n')
    {
        found += &rest[..open];
        rest = &rest[open + length + 1..];
    }
    (found + rest).replace("  ", " ")
}
