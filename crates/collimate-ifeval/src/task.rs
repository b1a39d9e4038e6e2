//! Prompts with instructions.

use serde_json::{Map, Value};

use crate::{Instruction, InstructionError};

/// A prompt with the instructions that its answers must follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstructionTask {
    /// The prompt, which contains the instructions in words.
    pub prompt: String,
    /// Ids of the instructions, such as `punctuation:no_comma`.
    pub ids: Vec<String>,
    /// The instructions, one for each id.
    pub instructions: Vec<Instruction>,
}

/// Instructions that an answer follows, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// Strict: the answer as it is.
    pub strict: Vec<bool>,
    /// Loose: the answer as it is, or without stars, without the first line, without the last line,
    /// or without several of them. This forgives an introduction and a sign of bold text.
    pub loose: Vec<bool>,
}

impl Followed {
    /// Returns true if the answer follows every instruction to the letter.
    #[must_use]
    pub fn all(&self) -> bool {
        self.strict.iter().all(|followed| *followed)
    }

    /// Returns true if the answer follows every instruction loosely.
    #[must_use]
    pub fn all_loose(&self) -> bool {
        self.loose.iter().all(|followed| *followed)
    }
}

impl InstructionTask {
    /// Reads a row of IFEval: `prompt`, `instruction_id_list` and `kwargs`, one object of arguments
    /// for each id. Other fields of the row are ignored.
    ///
    /// # Errors
    /// A field is missing, or an instruction cannot be read.
    pub fn from_row(row: &Map<String, Value>) -> Result<Self, InstructionError> {
        let missing = |name, wanted| InstructionError::Field { name, wanted };
        let prompt = row.get("prompt").and_then(Value::as_str);
        let prompt = prompt.filter(|text| !text.trim().is_empty());
        let prompt = prompt.ok_or(missing("prompt", "a text that is not empty"))?;
        let ids = row.get("instruction_id_list").and_then(Value::as_array);
        let ids = ids.and_then(|ids| {
            let text = |id: &Value| id.as_str().map(str::to_owned);
            ids.iter().map(text).collect::<Option<Vec<String>>>()
        });
        let ids = ids
            .filter(|ids| !ids.is_empty())
            .ok_or(missing("instruction_id_list", "a list of at least one id"))?;
        let arguments = row.get("kwargs").and_then(Value::as_array);
        let arguments = arguments.ok_or(missing("kwargs", "a list of objects, one for each id"))?;
        if arguments.len() != ids.len() {
            return Err(InstructionError::Lengths {
                ids: ids.len(),
                arguments: arguments.len(),
            });
        }
        let mut instructions = Vec::new();
        for (id, arguments) in ids.iter().zip(arguments) {
            let arguments = arguments
                .as_object()
                .ok_or(missing("kwargs", "a list of objects, one for each id"))?;
            instructions.push(Instruction::parse(id, arguments)?);
        }
        Ok(Self {
            prompt: prompt.to_owned(),
            ids,
            instructions,
        })
    }

    /// Checks an answer.
    #[must_use]
    pub fn check(&self, answer: &str) -> Followed {
        let variants = variants(answer);
        let strict = |one: &Instruction| one.is_followed(answer);
        let loose = |one: &Instruction| variants.iter().any(|text| one.is_followed(text));
        Followed {
            strict: self.instructions.iter().map(strict).collect(),
            loose: self.instructions.iter().map(loose).collect(),
        }
    }
}

/// Returns an answer and its forms that the loose check also accepts.
fn variants(answer: &str) -> Vec<String> {
    let lines: Vec<&str> = answer.split('\n').collect();
    let (first, last) = (1.min(lines.len()), lines.len() - 1);
    let joined = |lines: &[&str]| lines.join("\n").trim().to_owned();
    let inner = lines.get(first..last).unwrap_or_default();
    let mut all = vec![
        answer.to_owned(),
        joined(&lines[first..]),
        joined(&lines[..last]),
        joined(inner),
    ];
    let plain: Vec<String> = all.iter().map(|text| text.replace('*', "")).collect();
    all.extend(plain);
    all
}
