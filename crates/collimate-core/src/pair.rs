//! A labelled comparison of two answers.

use serde::{Deserialize, Serialize};

use crate::{Completion, Prompt};

/// Two answers to one prompt, the first preferred.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreferencePair {
    /// Prompt of both answers.
    pub prompt: Prompt,
    /// The preferred answer (y_w).
    pub chosen: Completion,
    /// The other answer (y_l).
    pub rejected: Completion,
    /// Score of the chosen answer minus score of the rejected one, if the source gives scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_gap: Option<f64>,
    /// Margin by which the chosen answer should win, if the source gives one. Losses with a margin
    /// can use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// Weight of the pair in the loss, at least 0, if the source gives one. A pair without a weight
    /// counts like a pair of weight 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
}

impl PreferencePair {
    /// Makes a pair without scores.
    pub fn new(
        prompt: impl Into<Prompt>,
        chosen: impl Into<Completion>,
        rejected: impl Into<Completion>,
    ) -> Self {
        Self {
            prompt: prompt.into(),
            chosen: chosen.into(),
            rejected: rejected.into(),
            score_gap: None,
            margin: None,
            weight: None,
        }
    }

    /// Returns the pair with the label turned around (label noise, self-labels). Margin and weight
    /// stay: an annotator who gives the wrong label gives a margin to that label too.
    #[must_use]
    pub fn swapped(self) -> Self {
        Self {
            chosen: self.rejected,
            rejected: self.chosen,
            score_gap: self.score_gap.map(|gap| -gap),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapping_turns_label_and_gap_around() {
        let mut pair = PreferencePair::new("q", "good", "bad");
        pair.score_gap = Some(2.0);
        let back = pair.clone().swapped();
        assert_eq!(back.chosen.text, "bad");
        assert_eq!(back.score_gap, Some(-2.0));
        assert_eq!(back.swapped(), pair);
    }
}
