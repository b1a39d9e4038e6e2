//! Rendering of report templates.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, Output, State, UndefinedBehavior, value::Value};

use crate::report::image_path;

/// Text for an absent value.
const DASH: &str = "–";

/// Renders one of `files`. `titles` holds the titles of the figures by name.
pub(crate) fn render(
    files: &'static [(&'static str, &'static str)],
    name: &str,
    values: Value,
    titles: BTreeMap<String, String>,
) -> Result<String, Error> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    environment.set_syntax(syntax?);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("markdown".into()));
    environment.set_formatter(write_value);
    environment.add_filter("number", |value: &Value, digits: Option<usize>| {
        shown(value, |number| match digits {
            Some(digits) => format!("{number:.digits$}"),
            None => number.to_string(),
        })
    });
    environment.add_filter("signed", |value: &Value, digits: usize| {
        shown(value, |number| format!("{number:+.digits$}"))
    });
    environment.add_filter("percent", |value: &Value, digits: Option<usize>| {
        let digits = digits.unwrap_or(1);
        shown(value, |share| format!("{:.digits$} %", 100.0 * share))
    });
    environment.add_filter("signed_percent", |value: &Value| {
        shown(value, |share| format!("{:+.0} %", 100.0 * share))
    });
    environment.add_filter("points", |value: &Value| {
        shown(value, |share| format!("{:+.1}", 100.0 * share))
    });
    environment.add_filter("scientific", |value: &Value, digits: Option<usize>| {
        shown(value, |number| match digits {
            Some(digits) => format!("{number:.digits$e}"),
            None => format!("{number:e}"),
        })
    });
    environment.add_filter("interval", interval);
    environment.add_filter("shorten", shorten);
    environment.add_filter("quote", |text: &str| Value::from_safe_string(quote(text)));
    environment.add_function("figure", move |name: &str, caption: &str| {
        let image = |title| format!("![{title}]{}\n\n{caption}", image_path(name));
        Value::from_safe_string(titles.get(name).map(image).unwrap_or_default())
    });
    for (name, text) in files {
        environment.add_template(name, text)?;
    }
    environment.get_template(name)?.render(values)
}

/// Writes a value into the text. An absent value becomes a dash. A text is escaped so that it fits
/// into the cell of a table.
fn write_value(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let text = match value.is_none() {
        true => DASH.to_owned(),
        false if value.is_safe() => value.to_string(),
        false => value.to_string().replace('|', "\\|").replace('\n', " "),
    };
    Ok(out.write_str(&text)?)
}

/// Writes a number as text; an absent number becomes a dash.
fn shown(value: &Value, show: impl FnOnce(f64) -> String) -> Result<String, Error> {
    match value.is_none() {
        true => Ok(DASH.to_owned()),
        false => f64::try_from(value.clone()).map(show),
    }
}

fn interval(value: &Value) -> Result<String, Error> {
    if value.is_none() {
        return Ok(DASH.to_owned());
    }
    let part = |name| shown(&value.get_attr(name)?, |number| format!("{number:.3}"));
    let (estimate, low, high) = (part("estimate")?, part("low")?, part("high")?);
    Ok(format!("{estimate} ({low} – {high})"))
}

fn shorten(text: &str, length: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Writes a text as a block quote, and escapes the characters that have a meaning in Markdown.
fn quote(text: &str) -> String {
    let mut quoted = String::new();
    for line in text.trim().lines() {
        quoted += "> ";
        for c in line.chars() {
            if "*_`<>[]#|\\$~".contains(c) {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        quoted.push('\n');
    }
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(template: &'static str) -> Result<String, Error> {
        let values = json!({
            "share": 0.1256, "none": null, "name": "a|b\nc", "whole": 3,
            "rate": {"estimate": 0.5, "low": -0.25, "high": 0.75},
        });
        let files: &'static [(&str, &str)] = Box::leak(Box::new([("t.md", template)]));
        let titles = BTreeMap::from([("loss".to_owned(), "Loss".to_owned())]);
        render(
            files,
            "t.md",
            Value::from(minijinja::value::Serde(values)),
            titles,
        )
    }

    #[test]
    fn every_filter_has_its_form() {
        for (template, expected) in [
            (
                "{{ share | number(2) }} {{ share | number }}",
                "0.13 0.1256",
            ),
            ("{{ whole | number }} {{ whole | number(1) }}", "3 3.0"),
            (
                "{{ share | signed(1) }} {{ (0 - share) | signed(1) }}",
                "+0.1 -0.1",
            ),
            (
                "{{ share | percent }} {{ share | percent(0) }}",
                "12.6 % 13 %",
            ),
            (
                "{{ share | signed_percent }} {{ share | points }}",
                "+13 % +12.6",
            ),
            (
                "{{ share | scientific }} {{ share | scientific(1) }}",
                "1.256e-1 1.3e-1",
            ),
            ("{{ rate | interval }}", "0.500 (-0.250 – 0.750)"),
            (
                "{{ none }} {{ none | percent }} {{ none | interval }}",
                "– – –",
            ),
            ("{{ none and none.x | number(2) }}", "–"),
            ("{{ name }} {{ name | safe }}", "a\\|b c a|b\nc"),
            (
                "{{ name | shorten(4) }} {{ name | shorten(5) }}",
                "a\\|b … a\\|b c",
            ),
            ("{{ name | quote }}", "> a\\|b\n> c\n"),
            (
                "{{ [1, none, name] | join(' | ' | safe) }}",
                "1 | – | a\\|b c",
            ),
            (
                "{{ figure('loss', 'Nats.') }}",
                "![Loss](plots/loss.svg)\n\nNats.",
            ),
            ("{{ figure('other', 'Nats.') }}", ""),
        ] {
            assert_eq!(text(template).unwrap(), expected, "{template}");
        }
        for template in [
            "{{ other }}",
            "{{ rate.mean | number }}",
            "{{ name | number }}",
        ] {
            assert!(text(template).is_err(), "{template}");
        }
    }
}
