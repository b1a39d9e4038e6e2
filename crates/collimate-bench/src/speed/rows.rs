//! Rows of token ids, as both sides of a comparison read them.

use std::fs;
use std::path::Path;

use collimate::core::Prompt;
use collimate::data::{TokenizedExample, TokenizedPair};
use serde::{Deserialize, Serialize};

use super::Failure;

/// A pair as token ids; both sequences contain the prompt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PairRow {
    pub(crate) prompt_ids: Vec<u32>,
    pub(crate) chosen_ids: Vec<u32>,
    pub(crate) rejected_ids: Vec<u32>,
}

/// A text to learn from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ExampleRow {
    pub(crate) prompt_ids: Vec<u32>,
    pub(crate) completion_ids: Vec<u32>,
}

/// A prompt as token ids and as text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PromptRow {
    pub(crate) prompt: Prompt,
    pub(crate) prompt_ids: Vec<u32>,
}

impl From<TokenizedPair> for PairRow {
    fn from(pair: TokenizedPair) -> Self {
        Self {
            prompt_ids: pair.prompt,
            chosen_ids: pair.chosen,
            rejected_ids: pair.rejected,
        }
    }
}

impl From<PairRow> for TokenizedPair {
    fn from(row: PairRow) -> Self {
        Self {
            prompt: row.prompt_ids,
            chosen: row.chosen_ids,
            rejected: row.rejected_ids,
            ..Self::default()
        }
    }
}

impl From<ExampleRow> for TokenizedExample {
    fn from(row: ExampleRow) -> Self {
        Self {
            prompt: row.prompt_ids,
            completion: row.completion_ids,
            truncated: false,
        }
    }
}

/// Writes one row per line.
pub(crate) fn write<R: Serialize>(path: &Path, rows: &[R]) -> Result<(), Failure> {
    let mut text = String::new();
    for row in rows {
        text += &serde_json::to_string(row)?;
        text.push('\n');
    }
    Ok(collimate::files::atomic_write(path, text.as_bytes())?)
}

/// Reads rows written by [`write`].
pub(crate) fn read<R: for<'a> Deserialize<'a>>(path: &Path) -> Result<Vec<R>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let rows = text.lines().map(serde_json::from_str);
    Ok(rows.collect::<Result<_, _>>()?)
}
