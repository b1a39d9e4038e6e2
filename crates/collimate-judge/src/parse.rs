//! Parsing of scores from judgements.

use collimate_core::{Completion, Finish, OptionError};
use serde::{Deserialize, Serialize};

use crate::error::JudgeError;

/// Reason why a judgement counts as unparsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unparsed {
    /// The judge wrote nothing.
    Empty,
    /// The text has no score or verdict in the requested form and place.
    Missing,
    /// The score is a fraction, but the rubric has whole points.
    NotWhole,
    /// The score is outside the range. It is not clamped.
    OutOfRange,
    /// The text states several scores or verdicts that differ.
    Contradiction,
    /// The length limit may have cut the text inside the number.
    Cut,
    /// There is no judgement, because the judge or a filter of the server refused the question.
    Refused,
}

/// Numbers that count as scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Numbers {
    /// Digits only. `3.5` and `3.0` are refused.
    Whole,
    /// Digits with or without a fraction: `7`, `7.5`, `7.`.
    Decimal,
}

/// Range of scores, including both ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ScoreRange {
    /// Lowest score, below `max`.
    pub min: f64,
    /// Highest score, above `min`.
    pub max: f64,
}

impl ScoreRange {
    /// Checks that both ends are finite and in order.
    ///
    /// # Errors
    /// [`JudgeError::Option`] if they are not.
    pub fn check(&self) -> Result<(), JudgeError> {
        let holds = self.min.is_finite() && self.max.is_finite() && self.min < self.max;
        let (value, allowed) = (
            format!("[{}, {}]", self.min, self.max),
            "finite, with min below max",
        );
        Ok(OptionError::check("range", value, allowed, holds)?)
    }

    /// Returns true if a score is in the range.
    pub fn contains(&self, score: f64) -> bool {
        (self.min..=self.max).contains(&score)
    }
}

/// Form in which a judgement states its score. Only the text of the judge is parsed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ScoreFormat {
    /// The last non-empty line is `label number` without other text. An earlier line that begins
    /// with the label and another number is a contradiction.
    LastLine {
        /// Text before the number, such as `Score:`, on one line.
        label: String,
        /// Numbers that count as scores.
        numbers: Numbers,
    },
    /// The score is `[[number]]` anywhere in the text. All such numbers must be equal.
    Brackets {
        /// Text before the brackets, such as `Rating:`; parsing ignores it.
        label: String,
        /// Numbers that count as scores.
        numbers: Numbers,
    },
}

impl ScoreFormat {
    /// Returns the score that a judgement states.
    ///
    /// # Errors
    /// The reason why no score could be parsed.
    ///
    /// # Examples
    /// ```
    /// use collimate_judge::{Rubric, Unparsed};
    /// let rubric = Rubric::additive();
    /// let parse = |text: &str| rubric.format().parse(&text.into(), rubric.range());
    /// assert_eq!(parse("Clear and complete.\nScore: 4"), Ok(4.0));
    /// assert_eq!(parse("Score: 6"), Err(Unparsed::OutOfRange));
    /// assert_eq!(parse("I would give it a 4."), Err(Unparsed::Missing));
    /// ```
    pub fn parse(&self, judgement: &Completion, range: ScoreRange) -> Result<f64, Unparsed> {
        if judgement.text.trim().is_empty() {
            return Err(Unparsed::Empty);
        }
        let (score, numbers) = match self {
            Self::LastLine { label, numbers } => (last_line(judgement, label)?, numbers),
            Self::Brackets { numbers, .. } => (bracketed(&judgement.text)?, numbers),
        };
        if *numbers == Numbers::Whole && score.has_point {
            return Err(Unparsed::NotWhole);
        }
        if !range.contains(score.value) {
            return Err(Unparsed::OutOfRange);
        }
        Ok(score.value)
    }

    /// Writes a score as a judge should write it.
    pub fn write(&self, score: f64) -> String {
        match self {
            Self::LastLine { label, .. } => format!("{label} {score}"),
            Self::Brackets { label, .. } if label.is_empty() => format!("[[{score}]]"),
            Self::Brackets { label, .. } => format!("{label} [[{score}]]"),
        }
    }

    pub(crate) fn check(&self) -> Result<(), JudgeError> {
        let (label, needed) = match self {
            Self::LastLine { label, .. } => (label, true),
            Self::Brackets { label, .. } => (label, false),
        };
        let holds = label.trim() == label && !label.contains('\n') && !(needed && label.is_empty());
        let allowed = "one line without blanks around it, and not empty for last_line";
        let label = format!("{label:?}");
        Ok(OptionError::check("label", label, allowed, holds)?)
    }
}

/// A number as written.
#[derive(Clone, Copy)]
struct Number {
    value: f64,
    has_point: bool,
}

/// Parses the number at the start of `text` and returns it with the text after it.
fn number(text: &str) -> Option<(Number, &str)> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(unsigned);
    if whole == 0 {
        return None;
    }
    let mut len = text.len() - unsigned.len() + whole;
    let has_point = text[len..].starts_with('.');
    if has_point {
        len += 1 + digits(&text[len + 1..]);
    }
    let value = text[..len].parse().ok()?;
    Some((Number { value, has_point }, &text[len..]))
}

fn last_line(judgement: &Completion, label: &str) -> Result<Number, Unparsed> {
    let stated = |line: &'_ str| {
        let rest = line.trim().strip_prefix(label)?.trim_start();
        number(rest).map(|(number, after)| (number, after.is_empty()))
    };
    let text = judgement.text.as_str();
    let mut lines = text.lines().rev().skip_while(|line| line.trim().is_empty());
    let last = lines.next().and_then(stated);
    let Some((score, true)) = last else {
        return Err(Unparsed::Missing);
    };
    // At the limit, `Score: 1` may be the beginning of `Score: 10`. A finished line cannot.
    if judgement.finish == Finish::Length && !text.ends_with('\n') {
        return Err(Unparsed::Cut);
    }
    let differs = |(other, _): (Number, bool)| other.value != score.value;
    if lines.filter_map(stated).any(differs) {
        return Err(Unparsed::Contradiction);
    }
    Ok(score)
}

fn bracketed(text: &str) -> Result<Number, Unparsed> {
    let mut found: Option<Number> = None;
    for (at, _) in text.match_indices("[[") {
        // `[[[6]]]` contains `[[6]]`, although matches of `[[` do not overlap.
        let inside = text[at + 2..].trim_start_matches('[');
        let Some((next, after)) = number(inside) else {
            continue;
        };
        if !after.starts_with("]]") {
            continue;
        }
        match found {
            Some(first) if first.value != next.value => return Err(Unparsed::Contradiction),
            _ => found = Some(next),
        }
    }
    found.ok_or(Unparsed::Missing)
}
