//! No path of this machine in a result.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Variables;

/// Keeps this machine's paths out of the results.
pub(crate) struct Hide {
    paths: Vec<(String, String)>,
}

impl Hide {
    pub(crate) fn new(variables: &Variables, work: &Path) -> Self {
        let mut paths: Vec<(String, String)> = variables.paths().collect();
        let mut add = |path: Option<PathBuf>, name: &str| {
            let text = path.map(|path| path.display().to_string());
            if let Some(text) = text.filter(|text| text.len() > 1) {
                paths.push((text, name.to_owned()));
            }
        };
        add(fs::canonicalize(work).ok(), "WORK");
        add(work.is_absolute().then(|| work.to_owned()), "WORK");
        add(std::env::current_dir().ok(), ".");
        add(std::env::var_os("HOME").map(PathBuf::from), "~");
        // The longest first: one may lie within another.
        paths.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Self { paths }
    }

    pub(crate) fn text(&self, text: &str) -> String {
        self.paths
            .iter()
            .fold(text.to_owned(), |text, (path, name)| {
                text.replace(path, name)
            })
    }

    pub(crate) fn json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => self.text(&text).into(),
            Value::Array(items) => items.into_iter().map(|item| self.json(item)).collect(),
            Value::Object(map) => map
                .into_iter()
                .map(|(key, value)| (key, self.json(value)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            other => other,
        }
    }
}
