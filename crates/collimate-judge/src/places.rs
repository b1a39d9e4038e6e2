//! Places in templates.

use serde::{Deserialize, Serialize};

/// Questions and answers that a template shows to the judge. They determine the places that the
/// template must have.
///
/// | value | places |
/// |---|---|
/// | `answer` | `{question}`, `{answer}` |
/// | `two_turns` | `{question_1}`, `{answer_1}`, `{question_2}`, `{answer_2}` |
/// | `pair` | `{question}`, `{answer_a}`, `{answer_b}` |
/// | `pair_two_turns` | `{question_1}`, `{question_2}`, `{answer_a_1}`, `{answer_a_2}`, `{answer_b_1}`, `{answer_b_2}` |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Shows"))]
#[serde(rename_all = "snake_case")]
pub enum TemplateKind {
    /// One answer to one question.
    Answer,
    /// Answers of one model to two consecutive questions.
    TwoTurns,
    /// Two answers to one question.
    Pair,
    /// Answers of two models to two consecutive questions.
    PairTwoTurns,
}

impl TemplateKind {
    /// Returns the names of the places, without braces.
    pub fn places(self) -> &'static [&'static str] {
        match self {
            Self::Answer => &["question", "answer"],
            Self::TwoTurns => &["question_1", "answer_1", "question_2", "answer_2"],
            Self::Pair => &["question", "answer_a", "answer_b"],
            Self::PairTwoTurns => &[
                "question_1",
                "question_2",
                "answer_a_1",
                "answer_a_2",
                "answer_b_1",
                "answer_b_2",
            ],
        }
    }

    /// Returns true if two answers are shown.
    pub fn is_pair(self) -> bool {
        matches!(self, Self::Pair | Self::PairTwoTurns)
    }
}

/// A part of a template.
pub(crate) enum Piece<'a> {
    Text(&'a str),
    /// Index of the place.
    Place(usize),
    /// A name in braces that is not a place.
    Unknown(&'a str),
}

/// Splits a template at its places.
pub(crate) fn pieces<'a>(text: &'a str, places: &[&str]) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some(open) = text[at..].find('{').map(|offset| at + offset) {
        at = open + 1;
        let name_len = text[at..]
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(0);
        let name = &text[at..at + name_len];
        if name.is_empty() || !text[at + name_len..].starts_with('}') {
            continue;
        }
        pieces.push(Piece::Text(&text[start..open]));
        pieces.push(match places.iter().position(|place| *place == name) {
            Some(place) => Piece::Place(place),
            None => Piece::Unknown(name),
        });
        at += name_len + 1;
        start = at;
    }
    pieces.push(Piece::Text(&text[start..]));
    pieces
}
