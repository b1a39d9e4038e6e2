//! Options of a server and their checks.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::check::{check_extra, check_url, is_variable, wrong};
use crate::{ApiKey, RemoteError};

/// Largest time of an option, in seconds: a day.
const DAY: f64 = 86_400.0;

/// API endpoint that prompts are sent to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `{base_url}/chat/completions`: the server renders the messages. A plain text is sent as a
    /// single user message.
    #[default]
    ChatCompletions,
    /// `{base_url}/completions`: the model continues the text as it is. Conversations are refused.
    Completions,
}

/// Name of the field for the limit of new tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenLimit {
    /// `max_tokens`, which nearly every server supports.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`, which OpenAI's reasoning models require. Only chat endpoints
    /// support it.
    MaxCompletionTokens,
}

/// Condition for sending `top_k` and `repetition_penalty`, which OpenAI's API lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExtraSampling {
    /// Sends them if they have an effect. Else a server may use its own defaults. For `top_k` these
    /// are 40 in llama.cpp, and the model's `generation_config.json` in vLLM.
    #[default]
    Changed,
    /// Always sends them, in the convention of vLLM and llama.cpp: a `top_k` of 0 keeps all tokens.
    Always,
}

/// Address and options of a server. Times are in seconds.
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
/// assert_eq!(error, "timeout is 0 but must be above 0, at most 86400 seconds");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemoteConfig {
    /// URL before the paths of the API, with or without a final slash.
    pub base_url: String,
    /// Name of the model on the server.
    pub model: String,
    /// NAME of the environment variable with the key. If `None`, no key is sent.
    pub api_key_env: Option<String>,
    /// API endpoint that prompts are sent to.
    pub endpoint: Endpoint,
    /// Name of the field for the limit of new tokens.
    pub token_limit: TokenLimit,
    /// Condition for sending options that only some servers support.
    pub extra_sampling: ExtraSampling,
    /// Largest number of completions per request. If `None`, one request asks for all. With 1, the
    /// field `n` is never sent, for servers that do not support it.
    pub n_per_request: Option<usize>,
    /// Fields added to every request, for options that only this server has.
    pub extra_body: Map<String, Value>,
    /// Limit for opening one connection, including TLS.
    pub connect_timeout: f64,
    /// Limit for one request, from its start to the last byte of the answer.
    pub timeout: f64,
    /// Largest number of repetitions of a failed request.
    pub max_retries: usize,
    /// Wait before the first repetition. It doubles with each repetition.
    pub backoff_first: f64,
    /// Longest wait that the client chooses by itself.
    pub backoff_most: f64,
    /// Longest wait that a server can request by `Retry-After`.
    pub retry_after_most: f64,
    /// Largest number of simultaneous requests.
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

/// Fields that this crate itself puts into requests for completions.
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
            return wrong("model", "empty", "the name of the model on the server");
        }
        if let Some(variable) = &self.api_key_env
            && !is_variable(variable)
        {
            // The value may be the key itself.
            let allowed = "the name of an environment variable: letters, digits and _";
            return wrong("api_key_env", "a text (not shown)", allowed);
        }
        let limit = self.token_limit;
        if self.endpoint == Endpoint::Completions && limit == TokenLimit::MaxCompletionTokens {
            let allowed = "max_tokens if endpoint is completions";
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

    /// Returns the base URL without a final slash.
    pub(crate) fn base(&self) -> &str {
        self.base_url.trim_end_matches('/')
    }

    /// Reads the key that the options name.
    pub(crate) fn key(&self) -> Result<Option<ApiKey>, RemoteError> {
        self.api_key_env
            .as_deref()
            .map(ApiKey::from_env)
            .transpose()
    }
}
