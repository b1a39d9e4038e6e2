//! Comparisons of summaries (summarize from feedback).

use collimate_core::{PreferencePair, Prompt};
use serde_json::Value;

use super::Bad;
use super::fields::{Object, field, list, number, text};
use super::sink::Sink;

pub(super) fn row(row: &Object, sink: &mut Sink<PreferencePair>) -> Result<(), Bad> {
    sink.seen.columns(row, &["info", "summaries", "choice"])?;
    let info = object(field(row, "info")?, "info")?;
    let [first, second] = list(row, "summaries")? else {
        return Err(Bad::fields("field `summaries` does not have two entries"));
    };
    let first = text(object(first, "summaries[0]")?, "text")?;
    let second = text(object(second, "summaries[1]")?, "text")?;
    let choice = number(row, "choice")?;
    let (chosen, rejected) = if choice == 0.0 {
        (first, second)
    } else if choice == 1.0 {
        (second, first)
    } else {
        return Err(Bad::fields(format!(
            "field `choice` is {choice}, expected 0 or 1"
        )));
    };
    sink.pair(
        Prompt::Text(prompt(info)?),
        chosen.to_owned(),
        rejected.to_owned(),
        None,
    );
    Ok(())
}

/// Returns a Reddit post with its metadata, or a news article, and the request for a summary.
fn prompt(info: &Object) -> Result<String, Bad> {
    let known = |key: &str| info.get(key).and_then(Value::as_str);
    let mut prompt = String::new();
    for (key, label) in [("subreddit", "SUBREDDIT: r/"), ("title", "TITLE: ")] {
        if let Some(value) = known(key) {
            prompt.push_str(&format!("{label}{value}\n\n"));
        }
    }
    match known("article") {
        Some(article) if known("post").is_none() => prompt.push_str(&format!("ARTICLE: {article}")),
        _ => prompt.push_str(&format!("POST: {}", text(info, "post")?)),
    }
    prompt.push_str("\n\nTL;DR:");
    Ok(prompt)
}

fn object<'a>(value: &'a Value, name: &str) -> Result<&'a Object, Bad> {
    value
        .as_object()
        .ok_or_else(|| Bad::fields(format!("`{name}` is not a JSON object")))
}
