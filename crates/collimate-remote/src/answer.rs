//! Answers of a server to requests for completions.

use collimate_core::{Completion, Finish};
use serde::Deserialize;

use crate::retry::Unusable;
use crate::stats::Usage;

#[derive(Debug, Deserialize)]
struct Answer {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Tokens>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    index: usize,
    #[serde(default)]
    finish_reason: Option<String>,
    /// Field of vLLM: the stop text, the id of a stop token, or null for the end-of-sequence token.
    #[serde(default, deserialize_with = "present")]
    stop_reason: Option<serde_json::Value>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    message: Option<Spoken>,
}

#[derive(Debug, Deserialize)]
struct Spoken {
    #[serde(default)]
    content: Option<String>,
}

/// The field `usage` of any answer.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Tokens {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

impl Tokens {
    /// Returns the usage, or `None` if the answer lacks it.
    pub(crate) fn usage(self) -> Option<Usage> {
        let prompt = self.prompt_tokens?;
        let completion = self.completion_tokens.unwrap_or(0);
        Some(Usage { prompt, completion })
    }
}

/// Distinguishes null from a missing field.
fn present<'de, D>(deserializer: D) -> Result<Option<serde_json::Value>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    serde_json::Value::deserialize(deserializer).map(Some)
}

/// Reads one to `n` completions in the order of their `index`. `stops` are the requested stop
/// texts.
pub(crate) fn read(
    bytes: &[u8],
    n: usize,
    stops: &[String],
) -> Result<(Vec<Completion>, Option<Usage>), Unusable> {
    let answer: Answer = parse(bytes)?;
    let mut choices = answer.choices;
    let count = choices.len();
    if count == 0 || count > n {
        let message = format!("{count} choices, but 1 to {n} were requested");
        return Err(Unusable::Broken(message));
    }
    choices.sort_by_key(|choice| choice.index);
    let indices: Vec<usize> = choices.iter().map(|choice| choice.index).collect();
    if indices.windows(2).any(|two| two[0] == two[1]) || indices.iter().any(|&index| index >= n) {
        let message = format!("choices of index {indices:?}, but {n} were requested");
        return Err(Unusable::Broken(message));
    }
    let mut completions = Vec::new();
    let mut refused = None;
    for choice in choices {
        match completion(choice, stops) {
            Ok(completion) => completions.push(completion),
            Err(Unusable::Refused(message)) => refused = Some(message),
            Err(other) => return Err(other),
        }
    }
    // A refused choice counts as missing, and the other choices are kept.
    if let (Some(message), true) = (refused, completions.is_empty()) {
        return Err(Unusable::Refused(message));
    }
    Ok((completions, answer.usage.and_then(Tokens::usage)))
}

/// Returns the error that a server sent instead of an answer, under a status of success.
///
/// Returns `None` for an error that may pass: a `code` of 408, 409, 425, 429 or 5xx, or the name of
/// such an error.
fn refusal(bytes: &[u8]) -> Option<Unusable> {
    let answer: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let error = answer.get("error").filter(|error| !error.is_null())?;
    let named = error.get("code");
    let text = named
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    let code = named.and_then(serde_json::Value::as_u64);
    let code = code.or_else(|| text.parse().ok());
    let passing = ["rate_limit", "timeout", "overloaded", "server_error"];
    if passing.iter().any(|name| text.contains(name)) {
        return None;
    }
    if code.is_some_and(|code| matches!(code, 408 | 409 | 425 | 429) || code >= 500) {
        return None;
    }
    let message = error.get("message").unwrap_or(error);
    let message = match message.as_str() {
        Some(text) => text.to_owned(),
        None => message.to_string(),
    };
    Some(match code {
        Some(401 | 403 | 404 | 405) => Unusable::Final(message),
        _ => Unusable::Refused(message),
    })
}

/// Parses any JSON. An error instead of an answer is a refusal.
pub(crate) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Unusable> {
    serde_json::from_slice(bytes).map_err(|error| {
        // Keep the whole text, because it is cut only after the key is removed.
        let broken = || Unusable::Broken(format!("{error}: {}", String::from_utf8_lossy(bytes)));
        refusal(bytes).unwrap_or_else(broken)
    })
}

fn completion(choice: Choice, stops: &[String]) -> Result<Completion, Unusable> {
    let finish = match choice.finish_reason.as_deref() {
        Some("stop") => match choice.stop_reason {
            Some(serde_json::Value::String(_)) => Finish::Stop,
            // The server reports a stop token, so no stop text ended the answer.
            Some(_) => Finish::Eos,
            None if stops.is_empty() => Finish::Eos,
            None => Finish::Stop,
        },
        Some("stop_sequence") => Finish::Stop,
        Some("eos" | "eos_token") => Finish::Eos,
        Some("length" | "max_tokens") => Finish::Length,
        Some(other) => {
            let message =
                format!("a choice ended by {other:?}, which is not the end of a completion");
            return Err(Unusable::Refused(message));
        }
        None => return Err(Unusable::Broken("a choice has no finish_reason".to_owned())),
    };
    let mut text = match (choice.message, choice.text) {
        // The content is null if a model was thinking until the limit.
        (Some(spoken), _) => spoken.content.unwrap_or_default(),
        (None, Some(text)) => text,
        (None, None) => {
            let message = "a choice has neither a message nor a text".to_owned();
            return Err(Unusable::Broken(message));
        }
    };
    // Some servers leave in the stop text and the rest of its last token.
    let end = stops.iter().filter_map(|stop| text.find(stop)).min();
    if let Some(end) = end {
        text.truncate(end);
    }
    Ok(Completion {
        text,
        tokens: None,
        finish: end.map_or(finish, |_| Finish::Stop),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(answer: &Value, n: usize, stops: bool) -> Result<Vec<Completion>, Unusable> {
        let stops = vec!["\n".to_owned(); stops.into()];
        read(answer.to_string().as_bytes(), n, &stops).map(|(completions, _)| completions)
    }

    #[test]
    fn finish_reasons() {
        let eos = [
            (json!("stop"), Some(Value::Null)),
            (json!("stop"), Some(json!(2))),
        ];
        let cases = [
            (&eos[0], true, Finish::Eos),
            (&eos[1], true, Finish::Eos),
            (&(json!("stop"), Some(json!("\n"))), true, Finish::Stop),
            (&(json!("stop"), None), true, Finish::Stop),
            (&(json!("stop"), None), false, Finish::Eos),
            (&(json!("eos_token"), None), true, Finish::Eos),
            (&(json!("stop_sequence"), None), true, Finish::Stop),
            (&(json!("length"), None), true, Finish::Length),
        ];
        for ((reason, stop_reason), stops, finish) in cases {
            let mut choice = json!({"index": 0, "text": "a", "finish_reason": reason});
            if let Some(stop_reason) = stop_reason {
                choice["stop_reason"] = stop_reason.clone();
            }
            let completions = of(&json!({"choices": [choice]}), 1, stops).unwrap();
            assert_eq!(
                completions[0].finish, finish,
                "{reason} {stop_reason:?} {stops}"
            );
        }
        for reason in ["content_filter", "tool_calls", "abort"] {
            let choice = json!({"index": 0, "text": "a", "finish_reason": reason});
            let error = of(&json!({"choices": [choice]}), 1, false).unwrap_err();
            assert!(matches!(error, Unusable::Refused(_)), "{error:?}");
        }
    }

    #[test]
    fn a_choice_that_is_refused_leaves_the_others() {
        let choice = |index: usize, reason: &str| json!({"index": index, "text": "a", "finish_reason": reason});
        let answer =
            |reasons: [&str; 2]| json!({"choices": [choice(0, reasons[0]), choice(1, reasons[1])]});
        let kept = of(&answer(["content_filter", "stop"]), 2, false).unwrap();
        assert_eq!(kept.len(), 1);
        let error = of(&answer(["content_filter", "content_filter"]), 2, false).unwrap_err();
        assert!(matches!(error, Unusable::Refused(_)), "{error:?}");
    }

    #[test]
    fn an_error_in_place_of_an_answer_is_a_refusal_unless_it_may_pass() {
        let said = |error: Value| of(&json!({"error": error}), 1, false).unwrap_err();
        let too_long = Unusable::Refused("too long".to_owned());
        assert_eq!(said(json!({"message": "too long", "code": 400})), too_long);
        assert_eq!(
            said(json!({"message": "too long", "code": "long"})),
            too_long
        );
        assert_eq!(said(json!("too long")), too_long);
        for code in [408, 429, 500, 502] {
            let error = said(json!({"message": "later", "code": code}));
            assert!(matches!(error, Unusable::Broken(_)), "{code}: {error:?}");
        }
        let error = said(json!({"message": "no key", "code": 401}));
        assert_eq!(error, Unusable::Final("no key".to_owned()));
    }

    #[test]
    fn a_stop_text_that_is_left_in_is_cut() {
        let stops = ["b\n".to_owned(), "\n".to_owned(), "x".to_owned()];
        for (text, rest, expected) in [
            ("ab\nc\n", "a", Finish::Stop),
            ("ö\n", "ö", Finish::Stop),
            ("abc", "abc", Finish::Length),
        ] {
            let choice = json!({"index": 0, "text": text, "finish_reason": "length"});
            let answer = json!({"choices": [choice]}).to_string();
            let (completions, _) = read(answer.as_bytes(), 1, &stops).unwrap();
            let found = (completions[0].text.as_str(), completions[0].finish);
            assert_eq!(found, (rest, expected));
        }
    }

    #[test]
    fn choices_come_in_the_order_of_their_index() {
        let choice = |index: usize, text: &str| json!({"index": index, "message": {"content": text}, "finish_reason": "stop"});
        let answer = json!({"choices": [choice(2, "c"), choice(0, "a")], "usage": {"prompt_tokens": 5, "completion_tokens": 3}});
        let (completions, usage) = read(answer.to_string().as_bytes(), 3, &[]).unwrap();
        let texts: Vec<&str> = completions.iter().map(|c| c.text.as_str()).collect();
        assert_eq!(texts, ["a", "c"]);
        let expected = Usage {
            prompt: 5,
            completion: 3,
        };
        assert_eq!(usage, Some(expected));
    }

    #[test]
    fn what_is_no_answer_is_broken() {
        let good = json!({"index": 0, "text": "a", "finish_reason": "stop"});
        let other = |index: usize| json!({"index": index, "text": "a", "finish_reason": "stop"});
        for wrong in [
            json!({"choices": []}),
            json!({"choices": [good, good]}),
            json!({"choices": [good, other(2)]}),
            json!({"choices": [good, other(1), other(1)]}),
            json!({"choices": [{"index": 0, "text": "a"}]}),
            json!({"choices": [{"index": 0, "finish_reason": "stop"}]}),
            json!({"choices": [{"text": "a", "finish_reason": "stop"}]}),
            json!({"error": null}),
            json!([]),
            Value::Null,
        ] {
            let error = of(&wrong, 2, false).unwrap_err();
            assert!(matches!(error, Unusable::Broken(_)), "{wrong}: {error:?}");
        }
        assert!(matches!(read(b"<html>", 1, &[]), Err(Unusable::Broken(_))));
        assert!(matches!(
            read(&[0xff; 300], 1, &[]),
            Err(Unusable::Broken(_))
        ));
    }
}
