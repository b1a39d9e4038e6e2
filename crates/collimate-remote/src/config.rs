//! The options of a server and their checks.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::check::{check_extra, check_url, is_variable, wrong};
use crate::{ApiKey, RemoteError};

/// The longest time that an option may name, in seconds: a day.
const DAY: f64 = 86_400.0;

/// What prompts are sent to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `{base_url}/chat/completions`: the server renders the messages. A plain text is sent as one
    /// message of the user.
    #[default]
    ChatCompletions,
    /// `{base_url}/completions`: the model continues the text as it is. Conversations are refused.
    Completions,
}

/// The name under which the limit of new tokens is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenLimit {
    /// `max_tokens`: what nearly every server reads.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`: what OpenAI's reasoning models want. Chat alone knows it.
    MaxCompletionTokens,
}

/// When `top_k` and `repetition_penalty` are sent, which OpenAI's API does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExtraSampling {
    /// Where they change anything. A server may have defaults of its own then: llama.cpp's `top_k`
    /// is 40, vLLM's are those of the model's `generation_config.json`.
    #[default]
    Changed,
    /// Always, as vLLM and llama.cpp read `top_k`: 0 keeps all.
    Always,
}

/// Where a server is and how it is asked. Times are in seconds.
///
/// | field | default | range |
/// |---|---|---|
/// | `base_url` | `http://127.0.0.1:8000/v1` | http or https, no user, query or fragment |
/// | `model` | | must be named |
/// | `api_key_env` | `OPENAI_API_KEY` | name of a variable; null: no key is sent |
/// | `endpoint` | `chat_completions` | see [`Endpoint`] |
/// | `token_limit` | `max_tokens` | see [`TokenLimit`] |
/// | `extra_sampling` | `changed` | see [`ExtraSampling`] |
/// | `n_per_request` | null: all at once | at least 1 |
/// | `extra_body` | `{}` | no field that this crate sends |
/// | `connect_timeout` | 10 | (0, 86400] |
/// | `timeout` | 600 | (0, 86400] |
/// | `max_retries` | 5 | at most 1000 |
/// | `backoff_first` | 0.5 | (0, 86400] |
/// | `backoff_most` | 30 | [`backoff_first`, 86400] |
/// | `retry_after_most` | 60 | [0, 86400] |
/// | `concurrency` | 8 | 1 to 1024 |
///
/// # Examples
/// ```
/// use collimate_remote::RemoteConfig;
/// let config = RemoteConfig { model: "m".into(), timeout: 0.0, ..RemoteConfig::default() };
/// let error = config.check().unwrap_err().to_string();
/// assert_eq!(error, "timeout is 0: above 0, at most 86400 seconds");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemoteConfig {
    /// What the paths of the API are put behind, with or without a slash at its end.
    pub base_url: String,
    /// The model, as the server names it.
    pub model: String,
    /// The NAME of the environment variable that holds the key. `None` sends no key.
    pub api_key_env: Option<String>,
    /// What prompts are sent to.
    pub endpoint: Endpoint,
    /// How the limit of new tokens is named.
    pub token_limit: TokenLimit,
    /// When the options that only some servers know are sent.
    pub extra_sampling: ExtraSampling,
    /// At most this many completions of a prompt are asked for by one request; `None` asks for all.
    /// With 1 the field `n` is never sent, which some servers do not know.
    pub n_per_request: Option<usize>,
    /// Fields added to every request, for options that only this server has.
    pub extra_body: Map<String, Value>,
    /// Limit for one connection, TLS included.
    pub connect_timeout: f64,
    /// Limit for one request, from its start to the last byte of its answer.
    pub timeout: f64,
    /// How often a failed request is repeated at most.
    pub max_retries: usize,
    /// The wait before the first repetition; it doubles with each.
    pub backoff_first: f64,
    /// The longest wait that is not asked for by the server.
    pub backoff_most: f64,
    /// The longest wait that a server can ask for by `Retry-After`.
    pub retry_after_most: f64,
    /// Requests that are under way at once, at most.
    pub concurrency: usize,
}

impl Default for RemoteConfig {
    fn default() -> Self {
        Self {
            base_url: "http://127.0.0.1:8000/v1".to_owned(),
            model: String::new(),
            api_key_env: Some("OPENAI_API_KEY".to_owned()),
            endpoint: Endpoint::default(),
            token_limit: TokenLimit::default(),
            extra_sampling: ExtraSampling::default(),
            n_per_request: None,
            extra_body: Map::new(),
            connect_timeout: 10.0,
            timeout: 600.0,
            max_retries: 5,
            backoff_first: 0.5,
            backoff_most: 30.0,
            retry_after_most: 60.0,
            concurrency: 8,
        }
    }
}

/// Fields that requests for completions have already.
const OWN: [&str; 13] = [
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "model",
    "n",
    "prompt",
    "repetition_penalty",
    "seed",
    "stop",
    "stream",
    "temperature",
    "top_k",
    "top_p",
];

impl RemoteConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`RemoteError::Option`] for the first value that is not allowed.
    pub fn check(&self) -> Result<(), RemoteError> {
        check_url("base_url", &self.base_url)?;
        if self.model.is_empty() {
            return wrong("model", "empty", "the name under which the server has it");
        }
        if let Some(variable) = &self.api_key_env
            && !is_variable(variable)
        {
            // It may be the key itself.
            let allowed = "the name of an environment variable: letters, digits and _";
            return wrong("api_key_env", "not shown", allowed);
        }
        let limit = self.token_limit;
        if self.endpoint == Endpoint::Completions && limit == TokenLimit::MaxCompletionTokens {
            let allowed = "max_tokens where endpoint is completions";
            return wrong("token_limit", "max_completion_tokens", allowed);
        }
        if self.n_per_request == Some(0) {
            return wrong("n_per_request", "0", "at least 1, or null for all at once");
        }
        check_extra(&self.extra_body, &OWN)?;
        for (option, value) in [
            ("connect_timeout", self.connect_timeout),
            ("timeout", self.timeout),
            ("backoff_first", self.backoff_first),
        ] {
            if !(value > 0.0 && value <= DAY) {
                return wrong(option, value, "above 0, at most 86400 seconds");
            }
        }
        if !(self.backoff_most >= self.backoff_first && self.backoff_most <= DAY) {
            let allowed = "at least backoff_first, at most 86400 seconds";
            return wrong("backoff_most", self.backoff_most, allowed);
        }
        if !(0.0..=DAY).contains(&self.retry_after_most) {
            let allowed = "from 0 to 86400 seconds";
            return wrong("retry_after_most", self.retry_after_most, allowed);
        }
        if self.max_retries > 1000 {
            return wrong("max_retries", self.max_retries, "from 0 to 1000");
        }
        if !(1..=1024).contains(&self.concurrency) {
            return wrong("concurrency", self.concurrency, "from 1 to 1024");
        }
        Ok(())
    }

    /// The base URL without a slash at its end.
    pub(crate) fn base(&self) -> &str {
        self.base_url.trim_end_matches('/')
    }

    /// The key that the options name.
    pub(crate) fn key(&self) -> Result<Option<ApiKey>, RemoteError> {
        self.api_key_env
            .as_deref()
            .map(ApiKey::from_env)
            .transpose()
    }
}
