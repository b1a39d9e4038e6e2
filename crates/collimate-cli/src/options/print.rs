//! A configuration as YAML, with the description of every option.

use std::fmt::Write;

use serde_json::Value;

use super::docs::Docs;

/// Maximum width of a description's line.
const WIDTH: usize = 100;

/// Writes the configuration as YAML, with the description of each option as a comment above it.
pub(crate) fn yaml(config: &Value, docs: &Docs) -> String {
    let mut text = String::new();
    fields(&mut text, config, docs, Some(docs.schema()), 0);
    text
}

fn fields(text: &mut String, value: &Value, docs: &Docs, node: Option<&Value>, depth: usize) {
    let Value::Object(all) = value else { return };
    let indent = "  ".repeat(depth);
    for (name, value) in all {
        let node = node.and_then(|node| docs.property(node, name));
        if let Some(about) = node.and_then(|node| node.get("description")?.as_str()) {
            for line in wrapped(about, WIDTH - indent.len()) {
                let _ = writeln!(text, "{indent}# {line}");
            }
        }
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                let _ = writeln!(text, "{indent}{name}:");
                fields(text, value, docs, node, depth + 1);
            }
            // JSON is valid YAML: texts, numbers, lists and empty objects stay on one line.
            value => {
                let _ = writeln!(text, "{indent}{name}: {value}");
            }
        }
    }
}

/// Wraps the first paragraph of a description into lines.
fn wrapped(about: &str, width: usize) -> Vec<String> {
    let paragraph = about.split("\n\n").next().unwrap_or_default();
    let mut lines: Vec<String> = Vec::new();
    for word in paragraph.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
