//! Training examples that teach a model to judge.

use collimate_core::{Completion, Prompt};
use serde::{Deserialize, Serialize};

use crate::error::JudgeError;
use crate::item::Item;
use crate::options::PromptStyle;
use crate::rubric::Rubric;

/// An evaluation fine-tuning (EFT) example: the judge's prompt and a judgement to learn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EftExample {
    /// The prompt of the judge.
    pub prompt: Prompt,
    /// The judgement to learn.
    pub completion: Completion,
}

/// Makes the training example of an item with a known score, in the format of the judge.
///
/// The example has the prompt of the rubric. Its answer is the justification and the score in the
/// form that the rubric reads, as in Self-Rewarding's EFT data
/// ([arXiv:2401.10020](https://arxiv.org/abs/2401.10020), section 2.1).
///
/// # Errors
/// [`JudgeError::Example`] if the rubric would not read back the same score. The score is then out
/// of range, or a fraction where the rubric has whole points, or the justification states another
/// score. [`JudgeError::Turns`] for an item that a two-turn template cannot show.
///
/// # Examples
/// ```
/// use collimate_judge::{Item, PromptStyle, Rubric, eft_example};
/// let item = Item::new("2+2?", "4");
/// let example = eft_example(&Rubric::additive(), &item, "Right and brief.", 5.0, PromptStyle::Text)?;
/// assert_eq!(example.completion.text, "Right and brief.\nScore: 5");
/// assert!(example.prompt.to_plain().contains("<response>4</response>"));
/// # Ok::<(), collimate_judge::JudgeError>(())
/// ```
pub fn eft_example(
    rubric: &Rubric,
    item: &Item,
    justification: &str,
    score: f64,
    style: PromptStyle,
) -> Result<EftExample, JudgeError> {
    let stated = rubric.format().write(score);
    let completion = match justification.trim() {
        "" => Completion::from(stated),
        justification => Completion::from(format!("{justification}\n{stated}")),
    };
    let refuse = |message: String| Err(JudgeError::Example { score, message });
    match rubric.format().parse(&completion, rubric.range()) {
        Ok(read) if read == score => {}
        Ok(read) => return refuse(format!("the rubric reads {read}")),
        Err(reason) => return refuse(format!("{reason:?}")),
    }
    Ok(EftExample {
        prompt: rubric.prompt(item, style)?,
        completion,
    })
}
