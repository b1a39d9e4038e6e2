//! Options for rendering conversations: the fallback, variables of the chat template, and its date.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use collimate::core::Json;
use collimate::data::{
    ChatFallback, ChatOptions, DataError, OnRewrittenPrompt, TextTokenizer, TokenizerOptions,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::json_name;

/// Name of the option whose value is an object with the user's own keys.
pub(crate) const KWARGS: &str = "chat_template_kwargs";

/// Variables of a chat template, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct TemplateKwargs(
    #[schemars(with = "BTreeMap<String, serde_json::Value>")] BTreeMap<String, Json>,
);

impl FromStr for TemplateKwargs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|_| {
            "not a JSON object: write it like {\"enable_thinking\": false}, in single quotes"
                .to_owned()
        })
    }
}

/// Options that decide how conversations become text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rendering {
    pub(crate) chat_fallback: ChatFallback,
    /// Name of one of the chat templates in the model folder.
    pub(crate) template: Option<String>,
    pub(crate) kwargs: TemplateKwargs,
    pub(crate) date: Option<String>,
    pub(crate) on_rewritten: OnRewrittenPrompt,
}

/// Returns the [`Rendering`] of a configuration with all of its options.
macro_rules! rendering {
    ($config:expr) => {
        $crate::rendering::Rendering {
            chat_fallback: $config.chat_fallback,
            template: $config.chat_template.clone(),
            kwargs: $config.chat_template_kwargs.clone(),
            date: $config.template_date.clone(),
            on_rewritten: $config.on_rewritten_prompt,
        }
    };
}
pub(crate) use rendering;

impl Rendering {
    /// Opens the tokenizer of a folder.
    pub(crate) fn open(&self, dir: &Path) -> Result<TextTokenizer, DataError> {
        let kwargs = self.kwargs.0.iter();
        let chat = ChatOptions {
            template_kwargs: kwargs.map(|(k, v)| (k.clone(), v.clone())).collect(),
            tools: None,
            date: self.date.clone(),
        };
        let options = TokenizerOptions {
            chat_template: self.template.clone(),
            chat_fallback: self.chat_fallback,
            chat,
            ..TokenizerOptions::default()
        };
        let tokenizer = TextTokenizer::from_folder_with(dir, &options)?
            .with_on_rewritten_prompt(self.on_rewritten);
        if let Some(date) = &self.date
            && !tokenizer
                .chat_template()
                .is_some_and(|template| template.source().contains("strftime_now"))
        {
            return Err(DataError::Argument {
                name: "template_date",
                value: date.clone(),
                rule: "the chat template does not write today's date: remove the date".to_owned(),
            });
        }
        Ok(tokenizer)
    }
}

/// Flags of the commands that render conversations.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct RenderArgs {
    /// Handling of messages if the model has no chat template: refuse them, or write them as plain
    /// text with their roles [default: refuse]
    #[arg(long, value_parser = json_name::<ChatFallback>, value_name = "HOW")]
    pub(crate) chat_fallback: Option<ChatFallback>,
    /// Name of a chat template in the model folder [default: default]
    #[arg(long, value_name = "NAME")]
    pub(crate) chat_template: Option<String>,
    /// Variables of the chat template as a JSON object, such as {"enable_thinking": false}
    #[arg(long, value_parser = TemplateKwargs::from_str, value_name = "JSON")]
    pub(crate) chat_template_kwargs: Option<TemplateKwargs>,
    /// Date that the chat template uses as today, such as 2025-01-31 [default: today in UTC]
    #[arg(long, value_name = "DATE")]
    pub(crate) template_date: Option<String>,
}

/// Flags of the commands that turn rows of prompt and answer into tokens.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RowRenderArgs {
    #[command(flatten)]
    pub(crate) render: RenderArgs,
    /// Handling of rows whose prompt is tokenised differently once the answer follows: count them,
    /// or fail
    #[arg(long, value_parser = json_name::<OnRewrittenPrompt>, value_name = "POLICY")]
    #[arg(default_value = "count")]
    pub(crate) on_rewritten_prompt: OnRewrittenPrompt,
}

impl RenderArgs {
    /// Returns the first given flag that needs a chat template.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--chat-template", self.chat_template.is_some()),
            (
                "--chat-template-kwargs",
                self.chat_template_kwargs.is_some(),
            ),
            ("--template-date", self.template_date.is_some()),
        ];
        flags
            .into_iter()
            .find(|(_, given)| *given)
            .map(|(name, _)| name)
    }

    /// Returns the rendering that the flags describe.
    pub(crate) fn rendering(&self) -> Rendering {
        Rendering {
            chat_fallback: self.chat_fallback.unwrap_or_default(),
            template: self.chat_template.clone(),
            kwargs: self.chat_template_kwargs.clone().unwrap_or_default(),
            date: self.template_date.clone(),
            on_rewritten: OnRewrittenPrompt::default(),
        }
    }
}

impl RowRenderArgs {
    /// Returns the rendering that the flags describe.
    pub(crate) fn rendering(&self) -> Rendering {
        Rendering {
            on_rewritten: self.on_rewritten_prompt,
            ..self.render.rendering()
        }
    }
}
