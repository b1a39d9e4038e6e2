//! Chat templates in Jinja, as Hugging Face folders carry them.

mod date;
mod environment;
mod json;
mod methods;
mod objects;
mod options;
mod python;
mod repr;
pub(super) mod sources;
mod tags;
mod values;

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use collimate_core::{Json, Message, Role};
use minijinja::{Environment, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::date::Moment;
use self::environment::{NAME, compile};
pub use self::options::ChatOptions;
use crate::error::DataError;

/// Treatment of a conversation when the tokenizer has no chat template.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChatFallback {
    /// A conversation is an error. An invented format would silently differ from the format of the
    /// model's training data.
    #[default]
    Refuse,
    /// A conversation becomes `System: …`, `User: …` and `Assistant: …` turns with an empty line
    /// after each, then `Assistant:`. The answer follows after a space. BOS and EOS are as for
    /// plain text.
    Plain,
}

/// A compiled chat template that renders as in transformers.
///
/// A rendering that takes more than 20 million steps, or produces more than 64 MiB, is an error.
///
/// # Differs from
/// Jinja2: `%` does not format texts (the filter `format` does). A filter such as `map` gives a
/// list instead of a generator. A loop over `none` has no iterations.
#[derive(Clone)]
pub struct ChatTemplate {
    source: String,
    /// The compiled template, or the reason why it does not compile.
    environment: Result<Environment<'static>, String>,
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl ChatTemplate {
    /// Compiles a template.
    ///
    /// # Errors
    /// [`DataError::ChatTemplate`] for invalid Jinja.
    pub fn new(source: &str) -> Result<Self, DataError> {
        let environment = compile(source, None).map_err(|e| refused(&e))?;
        Ok(Self {
            source: source.to_owned(),
            environment: Ok(environment),
        })
    }

    /// Compiles a template of a folder. A template that does not compile causes an error only when
    /// a conversation is rendered, because plain texts do not need it.
    pub(super) fn of_folder(source: &str, date: Option<Moment>) -> Self {
        Self {
            source: source.to_owned(),
            environment: compile(source, date).map_err(|error| described(&error)),
        }
    }

    /// Makes a template that the folder lacks, with the reason.
    pub(super) fn missing(what: String) -> Self {
        Self {
            source: String::new(),
            environment: Err(what),
        }
    }

    /// Returns the source of the template.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns true if the source contains the name as a word.
    pub(super) fn names(&self, name: &str) -> bool {
        let in_word = |sign: char| sign.is_alphanumeric() || sign == '_';
        self.source.match_indices(name).any(|(at, _)| {
            !self.source[..at].ends_with(in_word)
                && !self.source[at + name.len()..].starts_with(in_word)
        })
    }

    /// Returns the present day in UTC, if the template writes a date.
    pub(super) fn today(&self) -> Option<String> {
        let day = || Moment::now().format("%Y-%m-%d").ok();
        self.names("strftime_now").then(day).flatten()
    }

    /// Returns true if a message has a key whose name does not occur in the template.
    pub(super) fn leaves_unread(&self, messages: &[Message]) -> bool {
        let reads = |key: &str| match values::REASONING.contains(&key) {
            true => values::REASONING.iter().any(|name| self.names(name)),
            false => self.names(key),
        };
        let keys = messages.iter().flat_map(|message| &message.further);
        let says = |value: &Json| match value {
            Json::Null | Json::Bool(false) => false,
            Json::Text(text) => !text.is_empty(),
            Json::List(list) => !list.is_empty(),
            _ => true,
        };
        keys.into_iter()
            .any(|(key, value)| says(value) && !reads(key))
    }

    /// Renders messages. `special` holds `bos_token` and other special tokens.
    pub(super) fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        special: &Map<String, Value>,
        options: &ChatOptions,
    ) -> Result<String, DataError> {
        let environment = self
            .environment
            .as_ref()
            .map_err(|what| DataError::ChatTemplate(what.clone()))?;
        let template = environment.get_template(NAME).map_err(|e| refused(&e))?;
        let context = values::context(messages, add_generation_prompt, special, options);
        let mut page = Page(Vec::new());
        // The engine panics on some slices with a negative step.
        let rendered = catch_unwind(AssertUnwindSafe(|| {
            template.render_captured_to(context, &mut page).map(drop)
        }));
        let rendered = rendered.map_err(|_| {
            let what = "the template uses an operation that the template engine does not support";
            DataError::ChatTemplate(what.to_owned())
        })?;
        rendered.map_err(|e| refused(&e))?;
        String::from_utf8(page.0).map_err(|e| DataError::ChatTemplate(e.to_string()))
    }
}

/// Largest size of a rendering in bytes.
const LONGEST: usize = 64 << 20;

/// The text of a rendering, with a limited length.
struct Page(Vec<u8>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST {
            return Err(io::Error::other("more than 64 MiB"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn described(error: &minijinja::Error) -> String {
    let line = error
        .line()
        .map(|line| format!(" (line {line} of the template)"))
        .unwrap_or_default();
    let detail = match error.kind() {
        ErrorKind::OutOfFuel => "the template does not end: more than 20 million steps".to_owned(),
        ErrorKind::WriteFailure => "the template writes more than 64 MiB".to_owned(),
        kind => error
            .detail()
            .map_or_else(|| kind.to_string(), str::to_owned),
    };
    format!("{detail}{line}")
}

fn refused(error: &minijinja::Error) -> DataError {
    DataError::ChatTemplate(described(error))
}

/// Returns the error of [`ChatFallback::Refuse`].
pub(super) fn no_template(folder: Option<&Path>) -> DataError {
    let of = folder.map_or_else(String::new, |folder| format!(" of {}", folder.display()));
    DataError::ChatTemplate(format!(
        "the prompt is a conversation, but the tokenizer{of} has no template: use a folder whose \
         tokenizer_config.json has `chat_template`, or the fallback `plain` (library: \
         `ChatFallback::Plain`; programs: `--chat-fallback plain`)"
    ))
}

/// Returns the text of [`ChatFallback::Plain`].
pub(super) fn plain_prompt(messages: &[Message]) -> String {
    let mut text = String::new();
    for message in messages {
        let role = match message.role {
            Role::System => "System",
            Role::User => "User",
            Role::Assistant => "Assistant",
            Role::Tool => "Tool",
        };
        text.push_str(&format!("{role}: {}\n\n", message.content));
    }
    text.push_str("Assistant:");
    text
}

#[cfg(test)]
mod tests {
    use minijinja::{Value as Jinja, context};

    use super::*;

    /// Expected values come from Python's `json.dumps(…, ensure_ascii=False)`.
    #[test]
    fn tojson_escapes_nothing_for_html() {
        let written = |source: &str, value: Jinja| {
            let environment = compile(source, None).unwrap();
            let template = environment.get_template(NAME).unwrap();
            template.render(context! { value }).unwrap()
        };
        let text = "it's <b> & \"q\" \\u003c \\ é\n";
        let expected = "\"it's <b> & \\\"q\\\" \\\\u003c \\\\ é\\n\"";
        assert_eq!(written("{{ value | tojson }}", text.into()), expected);
        let list = Jinja::from(vec!["<a>", "b\\"]);
        assert_eq!(
            written("{{ value | tojson }}", list.clone()),
            r#"["<a>", "b\\"]"#
        );
        assert_eq!(
            written("{{ value | tojson(indent=2) }}", list),
            "[\n  \"<a>\",\n  \"b\\\\\"\n]"
        );
    }
}
