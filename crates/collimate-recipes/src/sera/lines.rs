//! Selected pairs as rows of a file.

use collimate_core::{Completion, LeaveReason, PreferencePair, Prompt, Selection};
use serde_json::json;

use super::data::SeraData;

/// Rows of kept pairs with their margins, which TRL and others can train on, and rows of left pairs
/// with the reason.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) kept: String,
    pub(super) left: String,
}

impl Lines {
    fn push(
        &mut self,
        pair: &PreferencePair,
        number: Option<(&str, f64)>,
        source: &str,
        left: Option<LeaveReason>,
    ) {
        // TRL expects conversational answers with a conversational prompt.
        let answer = |completion: &Completion| match &pair.prompt {
            Prompt::Text(_) => json!(completion.text),
            Prompt::Chat(_) => json!([{"role": "assistant", "content": completion.text}]),
        };
        let mut row = json!({
            "prompt": pair.prompt,
            "chosen": answer(&pair.chosen),
            "rejected": answer(&pair.rejected),
            "source": source,
        });
        if let Some((name, value)) = number {
            row[name] = json!(value);
        }
        match left {
            None => self.kept += &format!("{row}\n"),
            Some(reason) => {
                row["reason"] = json!(reason);
                self.left += &format!("{row}\n");
            }
        }
    }

    /// Adds the offline pairs, with the number that they are ranked by if there is one.
    pub(super) fn offline(
        &mut self,
        selection: &Selection,
        column: Option<(&str, &[f64])>,
        data: &SeraData<'_>,
    ) {
        let number = |index: usize| column.map(|(name, values)| (name, values[index]));
        for kept in &selection.kept {
            let index = kept.index;
            self.push(&data.train[index], number(index), "offline", None);
        }
        for left in &selection.left {
            let (index, reason) = (left.index, Some(left.reason));
            self.push(&data.train[index], number(index), "offline", reason);
        }
    }

    pub(super) fn own(
        &mut self,
        prompt: &Prompt,
        chosen: Completion,
        rejected: Completion,
        margin: Option<f64>,
        source: &str,
    ) {
        let pair = PreferencePair::new(prompt.clone(), chosen, rejected);
        let number = margin.map(|margin| ("margin", margin));
        self.push(&pair, number, source, None);
    }
}
