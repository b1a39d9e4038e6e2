//! Chat templates in Jinja, as Hugging Face folders carry them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use collimate_core::{Message, Role};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, ErrorKind, Value as Jinja, context};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::DataError;

/// Treatment of a conversation when the tokenizer has no chat template.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChatFallback {
    /// A conversation is an error: a made-up format would silently differ from the format that the
    /// model was trained on.
    #[default]
    Refuse,
    /// A conversation is written as `System: …`, `User: …` and `Assistant: …` turns with an empty
    /// line after each, then `Assistant:`; the answer follows after a space. BOS and EOS are as for
    /// plain text.
    Plain,
}

/// A compiled chat template.
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

const NAME: &str = "chat_template";

impl ChatTemplate {
    /// Compiles a template.
    ///
    /// # Errors
    /// [`DataError::ChatTemplate`] for wrong Jinja.
    pub fn new(source: &str) -> Result<Self, DataError> {
        Ok(Self {
            source: source.to_owned(),
            environment: Ok(compile(source)?),
        })
    }

    /// Compiles a template of a folder. A template that does not compile is refused only when a
    /// conversation is rendered: plain texts do not need it.
    pub(super) fn of_folder(source: &str) -> Self {
        let environment = compile(source).map_err(|error| match error {
            DataError::ChatTemplate(what) => what,
            other => other.to_string(),
        });
        Self {
            source: source.to_owned(),
            environment,
        }
    }

    /// The template's source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Renders messages; `special` holds `bos_token` and its like.
    pub(super) fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        special: &Map<String, Value>,
    ) -> Result<String, DataError> {
        let tokens: BTreeMap<String, Jinja> = special
            .iter()
            .filter(|(name, _)| name.ends_with("_token"))
            .filter_map(|(name, value)| Some((name.clone(), Jinja::from(value.as_str()?))))
            .collect();
        let tokens = Jinja::from(tokens);
        let messages = Jinja::from(Serde(messages));
        let environment = self
            .environment
            .as_ref()
            .map_err(|what| DataError::ChatTemplate(what.clone()))?;
        let template = environment.get_template(NAME).map_err(|e| refused(&e))?;
        template
            // Templates ask `tools is not none`: left undefined they would read as given.
            .render(context! { messages, add_generation_prompt, tools => (), documents => (), ..tokens })
            .map_err(|e| refused(&e))
    }
}

/// Compiles the Jinja of a chat template.
fn compile(source: &str) -> Result<Environment<'static>, DataError> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    environment.set_syntax(syntax.map_err(|e| refused(&e))?);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_filter("tojson", tojson);
    environment.add_function(
        "raise_exception",
        |text: String| -> Result<Jinja, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, text))
        },
    );
    // Templates ask whether the function is there, and write another date where it is not.
    environment.add_function(
        "strftime_now",
        |_: String| -> Result<Jinja, minijinja::Error> {
            let what = "the template writes the date of today (strftime_now), which changes the ids \
                        from day to day: write a date into the template";
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, what))
        },
    );
    environment
        .add_template_owned(NAME, source.to_owned())
        .map_err(|e| refused(&e))?;
    Ok(environment)
}

/// JSON as the templates of transformers write it: Python's `json.dumps(…, ensure_ascii=False)`.
///
/// The filter of Jinja makes JSON safe for HTML pages: it escapes `<`, `>`, `&` and `'`, which would be
/// other tokens.
fn tojson(
    value: &Jinja,
    indent: Option<Jinja>,
    options: Kwargs,
) -> Result<Jinja, minijinja::Error> {
    let text = minijinja::filters::tojson(value, indent, options)?.to_string();
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(place) = rest.find('\\') {
        plain.push_str(&rest[..place]);
        rest = &rest[place..];
        let escapes = [
            ("\\u003c", "<"),
            ("\\u003e", ">"),
            ("\\u0026", "&"),
            ("\\u0027", "'"),
        ];
        let (taken, written) = match escapes.into_iter().find(|(code, _)| rest.starts_with(code)) {
            Some((code, sign)) => (code.len(), sign),
            // A backslash and the sign that it escapes, which may be another backslash.
            None => {
                let end = rest
                    .char_indices()
                    .nth(2)
                    .map_or(rest.len(), |(end, _)| end);
                (end, &rest[..end])
            }
        };
        plain.push_str(written);
        rest = &rest[taken..];
    }
    plain.push_str(rest);
    Ok(Jinja::from_safe_string(plain))
}

fn refused(error: &minijinja::Error) -> DataError {
    let line = error
        .line()
        .map(|line| format!(" (line {line} of the template)"))
        .unwrap_or_default();
    let detail = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    DataError::ChatTemplate(format!("{detail}{line}"))
}

/// The error of [`ChatFallback::Refuse`].
pub(super) fn no_template(folder: Option<&Path>) -> DataError {
    let of = folder.map_or_else(String::new, |folder| format!(" of {}", folder.display()));
    DataError::ChatTemplate(format!(
        "the prompt is a conversation and the tokenizer{of} has no template: use a folder whose tokenizer_config.json has `chat_template`, or the fallback `plain` (library: `ChatFallback::Plain`; programs: `--chat-fallback plain`)"
    ))
}

/// The text of [`ChatFallback::Plain`].
pub(super) fn plain_prompt(messages: &[Message]) -> String {
    let mut text = String::new();
    for message in messages {
        let role = match message.role {
            Role::System => "System",
            Role::User => "User",
            Role::Assistant => "Assistant",
        };
        text.push_str(&format!("{role}: {}\n\n", message.content));
    }
    text.push_str("Assistant:");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The right values are those of Python's `json.dumps(…, ensure_ascii=False)`.
    #[test]
    fn tojson_escapes_nothing_for_html() {
        let written = |source: &str, value: Jinja| {
            let environment = compile(source).unwrap();
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
