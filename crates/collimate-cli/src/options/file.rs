//! Configuration files in YAML, TOML or JSON. The extension of the file decides the syntax.

use std::path::Path;

use collimate::data::{DataError, Input};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::commands::better_fit;
use crate::common::Failure;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Syntax {
    Json,
    Toml,
    Yaml,
}

impl Syntax {
    fn of(path: &Path, text: &str) -> Self {
        let ending = path.extension().and_then(|ending| ending.to_str());
        match ending.map(str::to_ascii_lowercase).as_deref() {
            Some("toml") => Self::Toml,
            Some("yaml" | "yml") => Self::Yaml,
            Some("json") => Self::Json,
            // A pipe has no extension.
            _ if text.trim_start().starts_with('{') => Self::Json,
            _ => Self::Yaml,
        }
    }

    fn parse<T: DeserializeOwned>(self, text: &str) -> Result<T, Trouble> {
        match self {
            Self::Json => serde_json::from_str(text).map_err(|error| Trouble {
                line: Some(error.line()),
                text: {
                    let text = error.to_string();
                    let end = format!(" at line {} column {}", error.line(), error.column());
                    text.strip_suffix(&end).unwrap_or(&text).to_owned()
                },
            }),
            Self::Toml => toml::from_str(text).map_err(|error| Trouble {
                line: error
                    .span()
                    .map(|span| 1 + text[..span.start].matches('\n').count()),
                text: error.message().to_owned(),
            }),
            Self::Yaml => serde_saphyr::from_str(text).map_err(|error| Trouble {
                line: error
                    .location()
                    .and_then(|place| usize::try_from(place.line()).ok()),
                text: {
                    let text = error
                        .without_snippet()
                        .render_with_formatter(&serde_saphyr::UserMessageFormatter);
                    let line = text.lines().next().unwrap_or_default();
                    // The line number is already at the front of the message.
                    line.split(" at line ").next().unwrap_or(line).to_owned()
                },
            }),
        }
    }
}

/// An error of a parser.
struct Trouble {
    line: Option<usize>,
    text: String,
}

/// Reads the options of a file for the command `name`. The file alone must be a valid
/// configuration. An unknown key, or a value of the wrong type, is refused with its line number.
pub(crate) fn read<C: DeserializeOwned>(path: &Path, name: &str) -> Result<Value, Failure> {
    let wrong = |error: &str| -> Failure { format!("{}: {error}", path.display()).into() };
    let text = match Input::open(path).and_then(Input::into_text) {
        Ok(text) => text,
        Err(DataError::Missing { .. }) => return Err(wrong("no such file: check the path")),
        Err(DataError::Empty { .. }) => return Err(wrong("is empty: give at least one option")),
        Err(error) => return Err(error.into()),
    };
    let syntax = Syntax::of(path, &text);
    let at = |trouble: Trouble| -> Failure {
        let line = trouble
            .line
            .map_or_else(String::new, |line| format!(":{line}"));
        format!("{}{line}: {}", path.display(), trouble.text).into()
    };
    let value: Value = syntax.parse(&text).map_err(at)?;
    // Serde would accept a list for a struct.
    if !value.is_object() {
        return Err(wrong(
            "holds no options: write OPTION: VALUE lines, as config print shows them",
        ));
    }
    if let Err(trouble) = syntax.parse::<C>(&text) {
        // The parser knows the line. The value knows the path, and its errors have the same words
        // in all syntaxes. If there are several faults, the two may find different ones.
        let said = match serde_path_to_error::deserialize::<_, C>(&value) {
            Err(error) if unlike(&error.inner().to_string(), &trouble.text) => trouble.text.clone(),
            Err(error) => match error.path().to_string().as_str() {
                "." => error.inner().to_string(),
                path => format!("{path}: {}", error.inner()),
            },
            Ok(_) => trouble.text.clone(),
        };
        let advice = match better_fit(&value, name) {
            Some(other) => {
                format!("{said}: this looks like a configuration for `collimate {other}`")
            }
            None => with_nearest(&said),
        };
        return Err(at(Trouble {
            text: advice,
            ..trouble
        }));
    }
    Ok(value)
}

/// Returns true if both texts name an unknown field and the two fields differ.
fn unlike(one: &str, other: &str) -> bool {
    let unknown = |text: &str| -> Option<String> {
        let (_, rest) = text.split_once("unknown field `")?;
        Some(rest.split('`').next()?.to_owned())
    };
    unknown(one)
        .zip(unknown(other))
        .is_some_and(|(one, other)| one != other)
}

/// Adds advice to a parser's text: the nearest expected name, or the syntax for a name that has
/// options.
pub(crate) fn with_nearest(text: &str) -> String {
    if text.contains("invalid type: unit variant, expected") {
        return format!(
            "{text}: this name has options: write {{\"name\": {{}}}} instead of \"name\""
        );
    }
    let mut names = text.split('`').skip(1).step_by(2);
    let is_name = text.contains("unknown field") || text.contains("unknown variant");
    let Some(wrong) = names.next().filter(|_| is_name) else {
        return text.to_owned();
    };
    // Parsers write the expected names with or without quotes.
    let expected = text
        .split_once("expected one of ")
        .map_or("", |(_, list)| list);
    let bare = expected.split(", ").map(|name| name.trim_matches('`'));
    let near = names
        .chain(bare)
        .map(|name| (strsim::jaro_winkler(wrong, name), name))
        .filter(|(near, _)| *near > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, name)) => format!("{text}: did you mean `{name}`?"),
        None => text.to_owned(),
    }
}
