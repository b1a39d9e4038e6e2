//! Options of scoring and their checks.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::check::{check_extra, check_url, wrong};
use crate::{RemoteConfig, RemoteError};

/// API endpoint that items are sent to. Both endpoints are beside `/v1`, not below it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreEndpoint {
    /// `/classify`, vLLM's
    /// [classification](https://docs.vllm.ai/en/stable/models/pooling_models/classify/). A [reward
    /// model](https://docs.vllm.ai/en/stable/models/pooling_models/reward/) reads prompt and
    /// completion as one text. The score is one of the numbers in `probs`.
    #[default]
    Classify,
    /// `/score`, vLLM's [score](https://docs.vllm.ai/en/stable/models/pooling_models/scoring/). A
    /// cross-encoder compares `text_1`, the prompt, with `text_2`, the completion.
    Score,
}

/// Form in which `/classify` gets an item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreInput {
    /// One text: prompt, `separator`, completion. Conversations are refused.
    #[default]
    Text,
    /// `messages` that the server renders, with the completion as the assistant's message. vLLM
    /// takes one conversation per request, so `batch` must be 1.
    Messages,
}

/// Options of scoring.
///
/// | field | default | range |
/// |---|---|---|
/// | `endpoint` | `classify` | see [`ScoreEndpoint`] |
/// | `url` | null: beside the base URL's `/v1` | a whole URL, as `base_url` |
/// | `input` | `text` | see [`ScoreInput`]; `text` for `score` |
/// | `separator` | empty | empty for `score` and `messages` |
/// | `class` | null: `probs` has one number | an index into `probs`; null for `score` |
/// | `use_activation` | null: not sent | |
/// | `batch` | 32 | 1 to 4096; 1 for `messages` |
/// | `refused` | null: an error | a finite number |
/// | `extra_body` | `{}` | no field that this crate sends |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScoreConfig {
    /// API endpoint that items are sent to.
    pub endpoint: ScoreEndpoint,
    /// The whole URL. If `None`, the base URL of the [`RemoteConfig`] is used, with `/classify` or
    /// `/score` in place of the final `/v1`.
    pub url: Option<String>,
    /// Form in which `/classify` gets an item.
    pub input: ScoreInput,
    /// Text between prompt and completion in one text.
    pub separator: String,
    /// Index of the score in `probs`. `None` takes the only number, and several numbers are then an
    /// error.
    pub class: Option<usize>,
    /// If `false`, asks vLLM for the raw output of the model's head. If `true`, asks for the output
    /// after the activation (a sigmoid or softmax). `None` leaves the choice to the server.
    pub use_activation: Option<bool>,
    /// Number of items per request.
    pub batch: usize,
    /// Score of an item that the server refuses ([`RemoteError::is_refusal`]), logged with a
    /// warning. If `None`, a refusal makes [`Scorer::score`](collimate_core::Scorer::score) fail.
    pub refused: Option<f32>,
    /// Fields added to every request, for options that only this server has.
    pub extra_body: Map<String, Value>,
}

impl Default for ScoreConfig {
    fn default() -> Self {
        Self {
            endpoint: ScoreEndpoint::default(),
            url: None,
            input: ScoreInput::default(),
            separator: String::new(),
            class: None,
            use_activation: None,
            batch: 32,
            refused: None,
            extra_body: Map::new(),
        }
    }
}

const OWN: [&str; 6] = [
    "input",
    "messages",
    "model",
    "text_1",
    "text_2",
    "use_activation",
];

impl ScoreConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`RemoteError::Option`] for the first value that is invalid, alone or in combination with
    /// others.
    ///
    /// # Examples
    /// ```
    /// use collimate_remote::ScoreConfig;
    /// let config = ScoreConfig { batch: 0, ..ScoreConfig::default() };
    /// let error = config.check().unwrap_err().to_string();
    /// assert_eq!(error, "batch is 0 but must be from 1 to 4096 items");
    /// ```
    pub fn check(&self) -> Result<(), RemoteError> {
        if let Some(url) = &self.url {
            check_url("url", url)?;
        }
        if !(1..=4096).contains(&self.batch) {
            return wrong("batch", self.batch, "from 1 to 4096 items");
        }
        if let Some(score) = self.refused.filter(|score| !score.is_finite()) {
            return wrong("refused", score, "a finite number, or null for an error");
        }
        if self.input == ScoreInput::Messages {
            if self.batch != 1 {
                let allowed = "1 if input is messages: a request holds one conversation";
                return wrong("batch", self.batch, allowed);
            }
            if !self.separator.is_empty() {
                let allowed = "empty if input is messages: the server renders the messages";
                return wrong("separator", format!("{:?}", self.separator), allowed);
            }
        }
        if self.endpoint == ScoreEndpoint::Score {
            if self.input == ScoreInput::Messages {
                return wrong("input", "messages", "text if endpoint is score");
            }
            if !self.separator.is_empty() {
                let allowed = "empty if endpoint is score: two texts are sent";
                return wrong("separator", format!("{:?}", self.separator), allowed);
            }
            if let Some(class) = self.class {
                let allowed = "null if endpoint is score: the server returns one number";
                return wrong("class", class, allowed);
            }
        }
        check_extra(&self.extra_body, &OWN)
    }

    /// Returns the URL that items are sent to.
    pub(crate) fn url(&self, remote: &RemoteConfig) -> String {
        let base = remote.base();
        let base = base.strip_suffix("/v1").unwrap_or(base);
        let path = match self.endpoint {
            ScoreEndpoint::Classify => "classify",
            ScoreEndpoint::Score => "score",
        };
        match &self.url {
            Some(url) => url.clone(),
            None => format!("{base}/{path}"),
        }
    }
}
