//! Rows as a model gets them: tokens, cuts and the chat template.

use std::path::Path;

use collimate::core::{Message, Prompt, Role};
use collimate::data::{
    DataError, TextTokenizer, TokenizeReport, TokenizedExample, TokenizedPair, Truncation,
};
use serde::Serialize;

use super::counts::{Lengths, Parts};
use super::read::Rows;
use crate::common::Failure;
use crate::rendering::Rendering;

/// Truncation of a long prompt, as in training.
pub(super) const TRUNCATION: Truncation = Truncation::KeepEnd;

/// The model that a check is about: tokenizer, lengths and chat template.
pub(super) struct Model {
    pub(super) tokenizer: TextTokenizer,
    pub(super) max_length: usize,
    /// Longest sequence that the model's folder allows, if the folder names one.
    pub(super) most: Option<usize>,
    pub(super) template: Template,
}

/// The chat template of a model's folder.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Template {
    /// True if the folder has a chat template.
    pub(super) present: bool,
    /// Reason why a short conversation cannot be rendered, if there is a template.
    pub(super) problem: Option<String>,
    /// True if a conversation that begins with a system message can be rendered.
    pub(super) takes_system: Option<bool>,
}

/// The tokens of a file's rows.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Tokens {
    pub(super) max_length: usize,
    /// Longest sequence that the model's folder allows, if the folder names one.
    pub(super) model_max_length: Option<usize>,
    /// Lengths in tokens, before anything is cut.
    #[serde(serialize_with = "super::facts::parts")]
    pub(super) lengths: Parts,
    /// Tokens of the prompt and the longest answer together.
    pub(super) sequence: Option<Lengths>,
    /// Counts of the rows that are cut to the maximum length, and of the lost tokens; absent for
    /// prompts.
    pub(super) cut: Option<TokenizeReport>,
    /// Number of rows that cannot be turned into tokens.
    pub(super) refused: usize,
    /// Lines of the first of these rows.
    pub(super) refused_lines: Vec<usize>,
    /// Reason for refusing the first of these rows.
    pub(super) refused_why: Option<String>,
}

impl Model {
    /// Opens the tokenizer of a model folder, with the maximum sequence length of training.
    pub(super) fn open(
        dir: &Path,
        rendering: &Rendering,
        max_length: Option<usize>,
        max_prompt_length: Option<usize>,
    ) -> Result<Self, Failure> {
        let tokenizer = rendering
            .open(dir)
            .map_err(|error| format!("--model {}", tail(&error, dir)))?
            .with_max_prompt_length(max_prompt_length);
        let mut length = max_length.unwrap_or(crate::lengths::DEFAULT);
        crate::lengths::cap(&mut length, max_length.is_some(), Some(dir));
        if length < 3 {
            return Err(format!(
                "--max-length {length}: a sequence needs at least 3 tokens (BOS, one token, EOS)"
            )
            .into());
        }
        let template = Template::of(&tokenizer);
        Ok(Self {
            tokenizer,
            max_length: length,
            most: crate::lengths::longest(dir),
            template,
        })
    }
}

/// Returns the error without the name of the folder, which the message already has.
pub(super) fn tail(error: &DataError, dir: &Path) -> String {
    let text = error.to_string();
    match text.starts_with(&dir.display().to_string()) {
        true => text,
        false => format!("{}: {text}", dir.display()),
    }
}

impl Template {
    /// Tries the chat template of a tokenizer on short conversations.
    fn of(tokenizer: &TextTokenizer) -> Self {
        let present = tokenizer.chat_template().is_some();
        let say = |role: Role, content: &str| Message::new(role, content);
        let render = |messages: Vec<Message>| tokenizer.encode_prompt(&Prompt::Chat(messages));
        let short = render(vec![say(Role::User, "Hello")]);
        let problem = match short {
            Err(error) if present => Some(error.to_string()),
            _ => None,
        };
        let takes_system = (present && problem.is_none()).then(|| {
            render(vec![
                say(Role::System, "Be brief."),
                say(Role::User, "Hello"),
            ])
            .is_ok()
        });
        Self {
            present,
            problem,
            takes_system,
        }
    }
}

/// Ids of a pair or an example before and after the cut, for [`show_tokens`](super::show_tokens).
pub(super) enum Encoded {
    /// A pair.
    Pair(TokenizedPair),
    /// An example.
    Example(TokenizedExample),
    /// A prompt alone.
    Prompt(Vec<u32>),
}

impl Model {
    /// Returns the ids of one row, at most `length` of them.
    pub(super) fn encode(
        &self,
        rows: &Rows,
        index: usize,
        length: usize,
    ) -> Result<Encoded, DataError> {
        let tokenizer = &self.tokenizer;
        match rows {
            Rows::Pairs(pairs) => tokenizer
                .encode_pair(&pairs[index], length, TRUNCATION)
                .map(Encoded::Pair),
            Rows::Sft(examples) => tokenizer
                .encode_example(&examples[index], length, TRUNCATION)
                .map(Encoded::Example),
            Rows::Scored(answers) => {
                let example = collimate::data::SftExample {
                    prompt: answers[index].prompt.clone(),
                    completion: answers[index].completion.clone().into(),
                };
                tokenizer
                    .encode_example(&example, length, TRUNCATION)
                    .map(Encoded::Example)
            }
            Rows::Labelled(rows) => tokenizer
                .encode_example(&rows[index].example, length, TRUNCATION)
                .map(Encoded::Example),
            Rows::Unlabelled(rows) => match rows[index].responses.first() {
                Some(answer) => {
                    let example = collimate::data::SftExample {
                        prompt: rows[index].prompt.clone(),
                        completion: answer.clone(),
                    };
                    tokenizer
                        .encode_example(&example, length, TRUNCATION)
                        .map(Encoded::Example)
                }
                None => tokenizer
                    .encode_prompt(&rows[index].prompt)
                    .map(Encoded::Prompt),
            },
            Rows::Prompts(prompts) => tokenizer
                .encode_prompt(&prompts[index].prompt)
                .map(Encoded::Prompt),
        }
    }
}
