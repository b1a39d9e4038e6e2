//! File formats and their detection.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fields::keys;
use super::response_columns::Columns;
use super::{Input, graded_rows, helpsteer, scored_answers};
use crate::error::DataError;

/// The layout of a data file. Every format but CSV has one JSON object per line, or the same columns
/// in Parquet. Gzip data are unpacked whatever the name of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Format {
    /// HH-RLHF rows with the fields `chosen` and `rejected`, which are whole dialogues with
    /// `\n\nHuman:` and `\n\nAssistant:` turns.
    HhRlhf,
    /// TRL preference rows with the fields `chosen`, `rejected` and optionally `prompt`, each a
    /// text or a list of messages.
    Trl,
    /// A table in CSV. Either two columns without a prompt, the first preferred (ETHICS
    /// utilitarianism), or a table with a header. The header names `chosen` and `rejected`, and
    /// optionally `prompt` or another column of prompts, in any order and any case. A table with a
    /// header may be separated by commas, tabs or `;`.
    TwoColumnCsv,
    /// TRL preference rows with `score_chosen` and `score_rejected`, at the top level or under
    /// `metadata`.
    UltraFeedback,
    /// OpenAssistant message trees, with replies that carry a `rank` (0 is best).
    OasstTrees,
    /// Comparisons of two summaries (summarize from feedback): `{"info", "summaries": [{"text"},
    /// {"text"}], "choice"}`.
    SummarizeComparisons,
    /// Prompts with scored answers: `{"question", "answers": [{"text", "pm_score"}]}` (StackExchange
    /// votes), `{"prompt", "responses": [text], "scores": [number]}` (also `completions`, and
    /// `all_generated_responses` with `all_rm_scores`), or `completions` with `response` and
    /// `overall_score` (UltraFeedback).
    ScoredAnswers,
    /// Two answers with a signed preference, below 0 if the first is better: HelpSteer3
    /// (`{"context", "response1", "response2", "overall_preference"}`) and HelpSteer2
    /// (`{"prompt", "response_1", "response_2", "preference_strength"}`).
    HelpSteer,
    /// Answers with grades, one a row, the answers to a prompt in rows that follow each other
    /// (HelpSteer2): `{"prompt", "response", "helpfulness"}`.
    GradedRows,
    /// Conversations for supervised fine-tuning (UltraChat): `{"messages"}`.
    Messages,
    /// Prompts with two or more answers each, as a list such as `responses` or as columns such as
    /// `response_a` and `response_b`, also of a table. Two columns may come with a `label` that names
    /// the better answer.
    Candidates,
    /// Prompts with one completion each, for supervised fine-tuning: `{"prompt", "completion"}`.
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
            Self::HelpSteer => "help_steer",
            Self::GradedRows => "graded_rows",
            Self::Messages => "messages",
            Self::Candidates => "candidates",
            Self::PromptCompletion => "prompt_completion",
        })
    }
}

impl Format {
    /// Detects the format of a file from its content: the header of a table, or the fields of the
    /// first readable row. A name that ends in `.csv` matters only if the first line is ambiguous.
    ///
    /// This opens the path separately. [`Input::format`] detects the format of an input that is
    /// then read from the same opening.
    ///
    /// # Errors
    /// The file is missing, empty or damaged. [`DataError::Row`] if no row could be parsed.
    /// [`DataError::Format`] if the fields belong to no known format, or if the file has no rows.
    pub fn detect(path: impl AsRef<Path>) -> Result<Self, DataError> {
        Input::open(path)?.format()
    }

    /// Returns true if rows are comparisons. Rows of the other formats are examples for supervised
    /// fine-tuning, or answers that need no label.
    pub fn has_pairs(self) -> bool {
        !matches!(
            self,
            Self::Messages | Self::PromptCompletion | Self::Candidates
        )
    }

    /// Returns the format of a row, or the reason why the row has no known format.
    pub(super) fn of_row(row: &Map<String, Value>) -> Result<Self, String> {
        Self::known(row).ok_or_else(|| unknown(row))
    }

    fn known(row: &Map<String, Value>) -> Option<Self> {
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
        } else if helpsteer::is_row(row) {
            Some(Self::HelpSteer)
        } else if graded_rows::is_row(row) {
            Some(Self::GradedRows)
        } else if scored_answers::is_row(row) {
            Some(Self::ScoredAnswers)
        } else if Columns::any(row) {
            Some(Self::Candidates)
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
    let why = if row.contains_key("label") {
        "rows with a `label` are single answers, good or bad: train on such rows with KTO \
         (`collimate kto`; library: `read_labelled`)"
    } else {
        "the fields match no known format"
    };
    format!(
        "{why} (first row: {}): convert the file to TRL rows with `prompt`, `chosen` and \
         `rejected`, or name the format",
        keys(row)
    )
}
