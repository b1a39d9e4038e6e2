//! Settings of renderings.

use collimate_core::Json;

use super::date::Moment;
use super::{ChatTemplate, DataError};

/// What a chat template is given beside the messages, as `apply_chat_template` of transformers takes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChatOptions {
    /// Further variables of the template, such as `enable_thinking`.
    pub template_kwargs: Vec<(String, Json)>,
    /// Descriptions of the tools that the model may call. A folder with a template `tool_use` renders
    /// with that one then.
    pub tools: Option<Vec<Json>>,
    /// The day that `strftime_now` writes, as `2025-01-31`. Without it, it is the day of the rendering
    /// in UTC, and ids change from day to day.
    pub date: Option<String>,
}

/// Variables that a rendering sets itself.
const TAKEN: [&str; 3] = ["messages", "tools", "add_generation_prompt"];

impl ChatOptions {
    /// Returns the date, or `None` for the day of the rendering.
    pub(in crate::tokenize) fn moment(&self) -> Result<Option<Moment>, DataError> {
        self.date.as_deref().map(Moment::parse).transpose()
    }

    /// Refuses what a template does not read.
    pub(in crate::tokenize) fn check(
        &self,
        template: Option<&ChatTemplate>,
    ) -> Result<(), DataError> {
        let refuse =
            |name: &str, rule: &str| Err(DataError::argument("chat_template_kwargs", name, rule));
        for (name, _) in &self.template_kwargs {
            if TAKEN.contains(&name.as_str()) {
                return refuse(name, "the rendering sets this variable itself");
            }
            if !template.is_some_and(|template| template.names(name)) {
                return refuse(
                    name,
                    "the chat template does not read this variable: take it out",
                );
            }
        }
        if self.tools.is_some() && !template.is_some_and(|template| template.names("tools")) {
            return refuse("tools", "the chat template reads no tools: take them out");
        }
        Ok(())
    }
}
