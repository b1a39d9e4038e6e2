//! Template, format and range of single-answer grading.

use collimate_core::Prompt;
use serde::{Deserialize, Serialize};

use crate::error::JudgeError;
use crate::item::Item;
use crate::options::PromptStyle;
use crate::parse::{Numbers, ScoreFormat, ScoreRange};
use crate::single::values;
use crate::template::Template;

/// Rules for grading single answers: the prompt of the judge, the form of the score, and the range
/// of scores.
///
/// In a file, a rubric is an object with the fields of [`Rubric::new`].
///
/// # Examples
/// ```
/// use collimate_judge::{Numbers, Rubric, ScoreFormat, ScoreRange, TemplateKind, Template};
/// let template = Template::new(
///     "polite",
///     TemplateKind::Answer,
///     None,
///     "{question}\n\n{answer}\n\nIs this polite? End with \"Politeness: <0 to 3>\".",
/// )?;
/// let format = ScoreFormat::LastLine { label: "Politeness:".into(), numbers: Numbers::Whole };
/// let rubric = Rubric::new(template, format, ScoreRange { min: 0.0, max: 3.0 })?;
/// assert_eq!(rubric.range().max, 3.0);
/// # Ok::<(), collimate_judge::JudgeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(!try_from, deny_unknown_fields))]
#[serde(try_from = "Fields")]
pub struct Rubric {
    /// Prompt that shows the judge one answer.
    template: Template,
    /// Form in which the judge states the score.
    format: ScoreFormat,
    /// Range of the scores.
    range: ScoreRange,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    template: Template,
    format: ScoreFormat,
    range: ScoreRange,
}

impl TryFrom<Fields> for Rubric {
    type Error = JudgeError;

    fn try_from(fields: Fields) -> Result<Self, JudgeError> {
        Self::new(fields.template, fields.format, fields.range)
    }
}

impl Rubric {
    /// Makes a custom rubric.
    ///
    /// # Errors
    /// [`JudgeError::Template`] for a template that shows two answers. [`JudgeError::Option`] for
    /// an invalid label or range.
    pub fn new(
        template: Template,
        format: ScoreFormat,
        range: ScoreRange,
    ) -> Result<Self, JudgeError> {
        if template.kind().is_pair() {
            return Err(JudgeError::Template {
                name: template.name().to_owned(),
                message: "the template shows two answers, but a rubric grades one".to_owned(),
            });
        }
        format.check()?;
        range.check()?;
        Ok(Self {
            template,
            format,
            range,
        })
    }

    /// Returns Self-Rewarding's additive rubric
    /// ([arXiv:2401.10020](https://arxiv.org/abs/2401.10020)). The last line is `Score: n`, where n
    /// is a whole number from 0 to 5.
    pub fn additive() -> Self {
        Self {
            template: Template::additive(),
            format: ScoreFormat::LastLine {
                label: "Score:".to_owned(),
                numbers: Numbers::Whole,
            },
            range: ScoreRange { min: 0.0, max: 5.0 },
        }
    }

    /// Returns MT-bench's rubric for single answers
    /// ([arXiv:2306.05685](https://arxiv.org/abs/2306.05685)). The score is `[[n]]` with n from 1
    /// to 10, decimals allowed.
    pub fn mt_bench() -> Self {
        Self::brackets(Template::mt_bench())
    }

    /// Returns the same rubric for the second of two turns.
    pub fn mt_bench_two_turns() -> Self {
        Self::brackets(Template::mt_bench_two_turns())
    }

    fn brackets(template: Template) -> Self {
        Self {
            template,
            format: ScoreFormat::Brackets {
                label: "Rating:".to_owned(),
                numbers: Numbers::Decimal,
            },
            range: ScoreRange {
                min: 1.0,
                max: 10.0,
            },
        }
    }

    /// Returns the prompt of the judge for an answer.
    ///
    /// # Errors
    /// [`JudgeError::Turns`] for an item that a two-turn template cannot show.
    pub fn prompt(&self, item: &Item, style: PromptStyle) -> Result<Prompt, JudgeError> {
        let values = values(self.template.kind(), 0, item)?;
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        Ok(self.template.render(&values, style))
    }

    /// Returns the template that the judge sees.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// Returns the form in which the judge states the score.
    pub fn format(&self) -> &ScoreFormat {
        &self.format
    }

    /// Returns the range of scores.
    pub fn range(&self) -> ScoreRange {
        self.range
    }
}
