//! Requests for scores and their answers.

use collimate_core::{Completion, Message, Prompt, Role};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::answer::{Tokens, parse};
use crate::retry::Unusable;
use crate::stats::Usage;
use crate::{RemoteError, ScoreConfig, ScoreEndpoint, ScoreInput};

/// A prompt and its completion.
pub(crate) type Item = (Prompt, Completion);
/// A score, or the error of its item.
pub(crate) type Scored = Result<f32, RemoteError>;

/// Checks that the item can be sent with these options.
pub(crate) fn check_item(config: &ScoreConfig, item: &Item) -> Result<(), RemoteError> {
    let refused = |message: &str| {
        Err(RemoteError::Prompt {
            message: message.to_owned(),
        })
    };
    match (&item.0, config.endpoint, config.input) {
        (Prompt::Text(_), _, _) => Ok(()),
        (Prompt::Chat(messages), _, _) if messages.is_empty() => {
            refused("the conversation has no message")
        }
        (Prompt::Chat(_), ScoreEndpoint::Classify, ScoreInput::Messages) => Ok(()),
        (Prompt::Chat(_), ScoreEndpoint::Classify, ScoreInput::Text) => refused(
            "a conversation cannot be sent as one text: set input to messages and batch to 1, or \
             render it to text first",
        ),
        (Prompt::Chat(messages), ScoreEndpoint::Score, _) => match messages.as_slice() {
            [only] if only.role == Role::User => Ok(()),
            _ => refused(
                "score takes a text or a conversation of one user message: render it to text first",
            ),
        },
    }
}

/// Returns the request for items that passed [`check_item`].
pub(crate) fn request(config: &ScoreConfig, model: &str, items: &[&Item]) -> Vec<u8> {
    let mut body: Map<String, Value> = config.extra_body.clone();
    body.insert("model".to_owned(), json!(model));
    if let Some(activation) = config.use_activation {
        body.insert("use_activation".to_owned(), json!(activation));
    }
    match (config.endpoint, config.input) {
        (ScoreEndpoint::Score, _) => {
            let first: Vec<&str> = items.iter().map(|item| question(&item.0)).collect();
            let second: Vec<&str> = items.iter().map(|item| item.1.text.as_str()).collect();
            body.insert("text_1".to_owned(), json!(first));
            body.insert("text_2".to_owned(), json!(second));
        }
        (ScoreEndpoint::Classify, ScoreInput::Text) => {
            let joined = |(prompt, completion): &Item| {
                format!(
                    "{}{}{}",
                    question(prompt),
                    config.separator,
                    completion.text
                )
            };
            let texts: Vec<String> = items.iter().map(|item| joined(item)).collect();
            body.insert("input".to_owned(), json!(texts));
        }
        (ScoreEndpoint::Classify, ScoreInput::Messages) => {
            let messages: Vec<Message> = items.iter().flat_map(|item| turns(item)).collect();
            body.insert("messages".to_owned(), json!(messages));
        }
    }
    Value::Object(body).to_string().into_bytes()
}

/// Returns the text of a prompt, or its only message.
fn question(prompt: &Prompt) -> &str {
    match prompt {
        Prompt::Text(text) => text,
        Prompt::Chat(messages) => messages.first().map_or("", |only| &only.content),
    }
}

fn turns((prompt, completion): &Item) -> Vec<Message> {
    let mut messages = match prompt {
        Prompt::Chat(messages) => messages.clone(),
        Prompt::Text(text) => vec![Message::new(Role::User, text.clone())],
    };
    messages.push(Message::new(Role::Assistant, completion.text.clone()));
    messages
}

#[derive(Debug, Deserialize)]
struct Answer {
    data: Vec<Datum>,
    #[serde(default)]
    usage: Option<Tokens>,
}

#[derive(Debug, Deserialize)]
struct Datum {
    index: usize,
    #[serde(default)]
    score: Option<f64>,
    #[serde(default)]
    probs: Option<Vec<f64>>,
}

/// Reads the scores of `count` items in order. An invalid score is an error of its item only.
pub(crate) fn read(
    bytes: &[u8],
    config: &ScoreConfig,
    count: usize,
) -> Result<(Vec<Scored>, Option<Usage>), Unusable> {
    let answer: Answer = parse(bytes)?;
    let mut data = answer.data;
    data.sort_by_key(|datum| datum.index);
    if !data.iter().map(|datum| datum.index).eq(0..count) {
        let found: Vec<usize> = data.iter().map(|datum| datum.index).collect();
        let message = format!(
            "scores of index {found:?}, but 0 to {} were requested",
            count - 1
        );
        return Err(Unusable::Broken(message));
    }
    let scores: Result<_, _> = data.iter().map(|datum| score(config, datum)).collect();
    Ok((scores?, answer.usage.and_then(Tokens::usage)))
}

fn score(config: &ScoreConfig, datum: &Datum) -> Result<Scored, Unusable> {
    let absent = |field: &str| Unusable::Broken(format!("item {} has no {field}", datum.index));
    let value = match config.endpoint {
        ScoreEndpoint::Score => datum.score.ok_or_else(|| absent("score"))?,
        ScoreEndpoint::Classify => {
            let probs = datum.probs.as_deref().ok_or_else(|| absent("probs"))?;
            let found = match (config.class, probs) {
                (None, [only]) => Some(only),
                (None, _) => None,
                (Some(class), probs) => probs.get(class),
            };
            *found.ok_or_else(|| {
                let message = format!(
                    "{} classes, but class is {}: set class to the index of the score",
                    probs.len(),
                    config
                        .class
                        .map_or("null".to_owned(), |class| class.to_string()),
                );
                Unusable::Final(message)
            })?
        }
    };
    let value = value as f32;
    Ok(match value.is_finite() {
        true => Ok(value),
        false => Err(RemoteError::NotFinite { value }),
    })
}
