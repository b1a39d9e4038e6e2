//! Settings of chat templates.

use collimate_core::Json;

use super::date::Moment;
use super::{ChatTemplate, DataError};

/// Variables of a chat template other than the messages, as `apply_chat_template` of transformers
/// takes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChatOptions {
    /// Additional variables of the template, such as `enable_thinking`.
    pub template_kwargs: Vec<(String, Json)>,
    /// Descriptions of the tools that the model may call. With tools, a folder with a template
    /// `tool_use` renders with that template.
    pub tools: Option<Vec<Json>>,
    /// The day that `strftime_now` writes, such as `2025-01-31`. If `None`, the day of the
    /// rendering in UTC is used, and ids change from day to day.
    pub date: Option<String>,
}

/// Variables that a rendering sets itself.
const TAKEN: [&str; 3] = ["messages", "tools", "add_generation_prompt"];

impl ChatOptions {
    /// Returns the date, or `None` for the day of the rendering.
    pub(in crate::tokenize) fn moment(&self) -> Result<Option<Moment>, DataError> {
        self.date.as_deref().map(Moment::parse).transpose()
    }

    /// Refuses variables and tools that a template does not read.
    pub(in crate::tokenize) fn check(
        &self,
        template: Option<&ChatTemplate>,
    ) -> Result<(), DataError> {
        let refuse =
            |name: &str, rule: &str| Err(DataError::argument("chat_template_kwargs", name, rule));
        for (name, _) in &self.template_kwargs {
            if TAKEN.contains(&name.as_str()) {
                return refuse(name, "the renderer sets this variable: remove the variable");
            }
            if !template.is_some_and(|template| template.names(name)) {
                return refuse(
                    name,
                    "the chat template does not read this variable: remove the variable",
                );
            }
        }
        if self.tools.is_some() && !template.is_some_and(|template| template.names("tools")) {
            return refuse(
                "tools",
                "the chat template reads no tools: remove the tools",
            );
        }
        Ok(())
    }
}
