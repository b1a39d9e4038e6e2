//! Verdicts on two answers.

use collimate_core::Completion;
use serde::{Deserialize, Serialize};

use crate::parse::Unparsed;

/// Verdict of a pairwise judgement, in the names that the judge saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// `[[A]]`: the answer shown first.
    A,
    /// `[[B]]`: the answer shown second.
    B,
    /// `[[C]]`: neither answer.
    Tie,
}

/// Returns the verdict of a judgement: `[[A]]`, `[[B]]` or `[[C]]` anywhere in its text, once or
/// more often.
///
/// # Errors
/// [`Unparsed::Empty`], [`Unparsed::Missing`], or [`Unparsed::Contradiction`] for two different
/// verdicts.
///
/// # Differs from
/// MT-bench's code, which takes `[[A]]` if the text has several verdicts.
///
/// # Examples
/// ```
/// use collimate_judge::{Unparsed, Verdict, parse_verdict};
/// assert_eq!(parse_verdict(&"B is shorter. [[B]]".into()), Ok(Verdict::B));
/// assert_eq!(parse_verdict(&"[[A]], no: [[B]]".into()), Err(Unparsed::Contradiction));
/// ```
pub fn parse_verdict(judgement: &Completion) -> Result<Verdict, Unparsed> {
    let text = judgement.text.as_str();
    if text.trim().is_empty() {
        return Err(Unparsed::Empty);
    }
    let verdicts = [
        ("[[A]]", Verdict::A),
        ("[[B]]", Verdict::B),
        ("[[C]]", Verdict::Tie),
    ];
    let mut stated = verdicts.iter().filter(|(mark, _)| text.contains(mark));
    match (stated.next(), stated.next()) {
        (Some(&(_, verdict)), None) => Ok(verdict),
        (None, _) => Err(Unparsed::Missing),
        (Some(_), Some(_)) => Err(Unparsed::Contradiction),
    }
}
