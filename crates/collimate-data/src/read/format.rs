//! File formats, and how a file shows which one it has.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::lines::{Lines, is_csv};
use crate::error::DataError;

/// The layout of a data file. Every format but CSV is one JSON object per line; a name that ends
/// in `.gz` is decompressed on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Format {
    /// `{"chosen", "rejected"}`: whole dialogues with `\n\nHuman:` and `\n\nAssistant:` turns.
    HhRlhf,
    /// TRL preference rows: `{"prompt"?, "chosen", "rejected"}`, each a text or a list of messages.
    Trl,
    /// Two columns without prompt, the first preferred (ETHICS utilitarianism). A header with exactly
    /// the names `chosen` and `rejected`, or `prompt`, `chosen` and `rejected`, sets the order of the
    /// columns; with the latter each row has its prompt.
    TwoColumnCsv,
    /// TRL preference rows with `score_chosen` and `score_rejected`, plain or under `metadata`.
    UltraFeedback,
    /// OpenAssistant message trees, whose replies carry a `rank`, 0 best.
    OasstTrees,
    /// `{"info", "summaries": [{"text"}, {"text"}], "choice"}` (summarize from feedback).
    SummarizeComparisons,
    /// `{"question", "answers": [{"text", "pm_score"}]}` (StackExchange votes).
    ScoredAnswers,
    /// `{"messages"}` for supervised fine-tuning (UltraChat).
    Messages,
    /// `{"prompt", "completion"}` for supervised fine-tuning.
    PromptCompletion,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HhRlhf => "hh_rlhf",
            Self::Trl => "trl",
            Self::TwoColumnCsv => "two_column_csv",
            Self::UltraFeedback => "ultra_feedback",
            Self::OasstTrees => "oasst_trees",
            Self::SummarizeComparisons => "summarize_comparisons",
            Self::ScoredAnswers => "scored_answers",
            Self::Messages => "messages",
            Self::PromptCompletion => "prompt_completion",
        })
    }
}

/// Rows looked at before a file counts as unrecognised: a bad first row must not hide the format.
const ROWS_LOOKED_AT: usize = 20;

impl Format {
    /// Recognises a file by its name (CSV) or by the fields of its first readable row.
    ///
    /// # Errors
    /// A file that is missing, empty or not decompressible; [`DataError::Row`] if no row could be
    /// parsed; [`DataError::Format`] if the fields belong to no known format, or if the file is a
    /// JSON array.
    pub fn detect(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        if is_csv(path) {
            Lines::open(path)?.next_line()?;
            return Ok(Self::TwoColumnCsv);
        }
        let mut lines = Lines::json(path)?;
        let mut first_error = None;
        for _ in 0..ROWS_LOOKED_AT {
            let Some((line, bytes)) = lines.next_line()? else {
                break;
            };
            match serde_json::from_slice::<Value>(bytes) {
                Ok(Value::Object(row)) => {
                    return Self::of_row(&row).ok_or_else(|| DataError::Format {
                        path: path.to_owned(),
                        what: unknown(&row),
                    });
                }
                Ok(_) => first_error = first_error.or(Some((line, "not a JSON object".to_owned()))),
                Err(error) => {
                    first_error = first_error.or(Some((line, format!("not valid JSON ({error})"))));
                }
            }
        }
        let (line, what) = first_error.unwrap_or((1, "no row".to_owned()));
        Err(DataError::Row {
            path: path.to_owned(),
            line,
            what: format!("{what}: repair the row, or name the format"),
        })
    }

    /// Whether rows are comparisons; the others are examples for supervised fine-tuning.
    pub fn has_pairs(self) -> bool {
        !matches!(self, Self::Messages | Self::PromptCompletion)
    }

    fn of_row(row: &Map<String, Value>) -> Option<Self> {
        let has = |key: &str| row.contains_key(key);
        let has_answers = has("chosen") || has("rejected");
        let scored = |row: &Map<String, Value>| {
            row.contains_key("score_chosen") && row.contains_key("score_rejected")
        };
        if has("message_tree_id")
            || row
                .get("prompt")
                .is_some_and(|p| p.get("replies").is_some())
        {
            Some(Self::OasstTrees)
        } else if has("summaries") && has("choice") {
            Some(Self::SummarizeComparisons)
        } else if has_answers
            && (scored(row)
                || row
                    .get("metadata")
                    .and_then(Value::as_object)
                    .is_some_and(scored))
        {
            Some(Self::UltraFeedback)
        } else if has_answers {
            let dialogue = |key: &str| {
                row.get(key).and_then(Value::as_str).is_some_and(|text| {
                    text.trim_start().starts_with("Human:") && text.contains("\n\nAssistant:")
                })
            };
            let hh = !has("prompt") && (dialogue("chosen") || dialogue("rejected"));
            Some(if hh { Self::HhRlhf } else { Self::Trl })
        } else if row.get("answers").is_some_and(Value::is_array) {
            Some(Self::ScoredAnswers)
        } else if has("messages") {
            Some(Self::Messages)
        } else if has("prompt") && has("completion") && !has("label") {
            Some(Self::PromptCompletion)
        } else {
            None
        }
    }
}

fn unknown(row: &Map<String, Value>) -> String {
    let keys: Vec<&str> = row.keys().map(String::as_str).collect();
    let why = if row.contains_key("label") {
        "rows with a `label` are unpaired feedback, which these readers do not take"
    } else {
        "these are the fields of no known format"
    };
    format!(
        "{why} (first row: {}): convert it to TRL rows, or name the format",
        keys.join(", ")
    )
}
