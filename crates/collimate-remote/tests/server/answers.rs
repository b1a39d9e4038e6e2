//! Helpers to read requests and to make answers.

use collimate_remote::ApiKey;
use serde_json::{Value, json};

use super::{Reply, Request};

/// Returns the prompt of the request: the text, or the content of the last message.
pub(crate) fn prompt(request: &Request) -> String {
    let messages = request.body["messages"].as_array();
    let text = match messages.and_then(|messages| messages.last()) {
        Some(message) => &message["content"],
        None => &request.body["prompt"],
    };
    text.as_str().unwrap().to_owned()
}

/// Returns the number of completions that the request asks for.
pub(crate) fn wanted(request: &Request) -> usize {
    request.body["n"].as_u64().unwrap_or(1) as usize
}

/// Makes `count` completions that name prompt, seed and index.
pub(crate) fn echo(request: &Request, count: usize) -> Value {
    let (prompt, seed) = (prompt(request), &request.body["seed"]);
    let choices: Vec<Value> = (0..count)
        .rev()
        .map(|index| {
            let text = format!("{prompt}|{seed}|{index}");
            match request.path.ends_with("/chat/completions") {
                true => json!({"index": index, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}),
                false => json!({"index": index, "finish_reason": "length", "text": text}),
            }
        })
        .collect();
    json!({"choices": choices, "usage": {"prompt_tokens": 3, "completion_tokens": 2 * count}})
}

/// Makes a good answer with the requested number of completions.
pub(crate) fn answered(request: &Request) -> Reply {
    Reply::good(&echo(request, wanted(request)))
}

/// Returns a key that occurs in no other text.
pub(crate) fn key() -> ApiKey {
    ApiKey::new(KEY).unwrap()
}

pub(crate) const KEY: &str = "sk-Zq7-very-secret-Zq7";
