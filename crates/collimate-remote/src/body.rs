//! Bodies of requests for completions.

use collimate_core::{Key, Message, Prompt, Purpose, Role, Sampling};
use rand::RngExt;
use serde_json::{Map, Value, json};

use crate::{Endpoint, ExtraSampling, RemoteConfig, RemoteError, TokenLimit};

/// Returns the key of request number `round` for a prompt.
pub(crate) fn place(seed: u64, prompt: usize, round: usize) -> Key {
    Key::new(seed, "remote")
        .with(prompt as u64)
        .with(round as u64)
}

/// Returns a seed of 31 bits, which every server supports. Different prompts, and different
/// requests for one prompt, get independent seeds. A repeated request keeps its seed.
pub(crate) fn request_seed(place: Key) -> u32 {
    place.rng(Purpose::Sampling).random::<u32>() >> 1
}

/// Checks that the prompt can be sent with these options.
pub(crate) fn check_prompt(config: &RemoteConfig, prompt: &Prompt) -> Result<(), RemoteError> {
    let refused = |message: &str| {
        Err(RemoteError::Prompt {
            message: message.to_owned(),
        })
    };
    match (prompt, config.endpoint) {
        (Prompt::Chat(messages), _) if messages.is_empty() => {
            refused("the conversation has no message")
        }
        (Prompt::Chat(_), Endpoint::Completions) => refused(
            "a conversation cannot be sent to completions: set endpoint to chat_completions, or \
             render it to text first",
        ),
        _ => Ok(()),
    }
}

/// Returns the request for `n` completions of a prompt that passed [`check_prompt`].
pub(crate) fn completions(
    config: &RemoteConfig,
    prompt: &Prompt,
    sampling: &Sampling,
    n: usize,
    seed: u32,
) -> Vec<u8> {
    let mut body: Map<String, Value> = config.extra_body.clone();
    let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
    set("model", json!(config.model));
    match (config.endpoint, prompt) {
        (Endpoint::Completions, prompt) => set("prompt", json!(prompt.to_plain())),
        (Endpoint::ChatCompletions, Prompt::Text(text)) => {
            let content = text.clone();
            let role = Role::User;
            set("messages", json!([Message::new(role, content)]))
        }
        (Endpoint::ChatCompletions, Prompt::Chat(messages)) => set("messages", json!(messages)),
    };
    if n > 1 {
        set("n", json!(n));
    }
    let limit = match config.token_limit {
        TokenLimit::MaxTokens => "max_tokens",
        TokenLimit::MaxCompletionTokens => "max_completion_tokens",
    };
    set(limit, json!(sampling.max_new_tokens));
    set("temperature", json!(sampling.temperature));
    set("top_p", json!(sampling.top_p));
    set("seed", json!(seed));
    if !sampling.stop.is_empty() {
        set("stop", json!(sampling.stop));
    }
    let always = config.extra_sampling == ExtraSampling::Always;
    if always || sampling.top_k > 0 {
        set("top_k", json!(sampling.top_k));
    }
    if always || sampling.repetition_penalty != 1.0 {
        set("repetition_penalty", json!(sampling.repetition_penalty));
    }
    // Some servers stream by default.
    set("stream", json!(false));
    Value::Object(body).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(config: &RemoteConfig, prompt: &Prompt, sampling: &Sampling, n: usize) -> Value {
        serde_json::from_slice(&completions(config, prompt, sampling, n, 7)).unwrap()
    }

    #[test]
    fn every_option_is_sent_and_defaults_that_servers_may_not_know_are_not() {
        let mut config = RemoteConfig {
            model: "m".into(),
            ..RemoteConfig::default()
        };
        config.extra_body.insert("min_p".into(), json!(0.1));
        let sampling = Sampling {
            temperature: 0.5,
            top_p: 0.9,
            top_k: 4,
            repetition_penalty: 1.5,
            max_new_tokens: 9,
            stop: vec!["\n".into()],
            ..Sampling::default()
        };
        let prompt = Prompt::from("hi");
        let expected = json!({
            "model": "m", "messages": [{"role": "user", "content": "hi"}], "n": 3,
            "temperature": 0.5, "top_p": 0.9, "top_k": 4, "repetition_penalty": 1.5,
            "max_tokens": 9, "stop": ["\n"], "seed": 7, "stream": false, "min_p": 0.1,
        });
        assert_eq!(sent(&config, &prompt, &sampling, 3), expected);

        config.endpoint = Endpoint::Completions;
        config.extra_body.clear();
        let expected = json!({
            "model": "m", "prompt": "hi", "temperature": 1.0, "top_p": 1.0, "max_tokens": 128,
            "seed": 7, "stream": false,
        });
        assert_eq!(sent(&config, &prompt, &Sampling::default(), 1), expected);
        config.extra_sampling = ExtraSampling::Always;
        let body = sent(&config, &prompt, &Sampling::default(), 1);
        assert_eq!(
            (&body["top_k"], &body["repetition_penalty"]),
            (&json!(0), &json!(1.0))
        );
    }

    #[test]
    fn conversations_keep_their_roles_and_are_refused_by_completions() {
        let message = |role, content: &str| Message::new(role, content);
        let chat = Prompt::Chat(vec![
            message(Role::System, "short"),
            message(Role::User, "2+2?"),
        ]);
        let mut config = RemoteConfig {
            token_limit: TokenLimit::MaxCompletionTokens,
            ..RemoteConfig::default()
        };
        let body = sent(&config, &chat, &Sampling::default(), 1);
        assert_eq!(body["messages"][0]["role"], "system");
        assert_eq!(body["messages"][1]["content"], "2+2?");
        assert_eq!(body["max_completion_tokens"], 128);
        assert!(check_prompt(&config, &chat).is_ok());
        assert!(check_prompt(&config, &Prompt::Chat(Vec::new())).is_err());
        config.endpoint = Endpoint::Completions;
        let error = check_prompt(&config, &chat).unwrap_err().to_string();
        assert!(error.contains("endpoint to chat_completions"), "{error}");
    }

    #[test]
    fn value_stability() {
        let seeds: Vec<u32> = [(0, 0), (1, 0), (0, 1)]
            .map(|(prompt, round)| request_seed(place(42, prompt, round)))
            .to_vec();
        assert_eq!(seeds, STABLE);
    }

    const STABLE: [u32; 3] = [1_923_444_756, 597_865_173, 1_369_582_994];
}
