//! Selected pairs as rows of a file.

use collimate_core::{Completion, LeaveReason, PreferencePair, Prompt, Selection};
use serde_json::json;

use super::data::SeraData;

/// Rows that TRL and others train from, with margin, and those that were left, with the reason.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) kept: String,
    pub(super) left: String,
}

impl Lines {
    fn push(
        &mut self,
        pair: &PreferencePair,
        margin: Option<f64>,
        source: &str,
        left: Option<LeaveReason>,
    ) {
        // In TRL a conversational prompt goes with conversational answers.
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
        if let Some(margin) = margin {
            row["margin"] = json!(margin);
        }
        match left {
            None => self.kept += &format!("{row}\n"),
            Some(reason) => {
                row["reason"] = json!(reason);
                self.left += &format!("{row}\n");
            }
        }
    }

    pub(super) fn offline(&mut self, selection: &Selection, scores: &[f64], data: &SeraData<'_>) {
        for kept in &selection.kept {
            let margin = Some(scores[kept.index]);
            self.push(&data.train[kept.index], margin, "offline", None);
        }
        for left in &selection.left {
            let index = left.index;
            self.push(
                &data.train[index],
                Some(scores[index]),
                "offline",
                Some(left.reason),
            );
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
        self.push(&pair, margin, source, None);
    }
}
