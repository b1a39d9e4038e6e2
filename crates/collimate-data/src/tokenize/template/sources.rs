//! The chat templates of a folder.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::files::{io, object};
use super::ChatTemplate;
use super::date::Moment;
use crate::error::DataError;

const FILE: &str = "chat_template.jinja";
const FURTHER: &str = "additional_chat_templates";
const OF_PROCESSOR: &str = "chat_template.json";
const KEY: &str = "chat_template";
const DEFAULT: &str = "default";
const TOOL_USE: &str = "tool_use";

/// Templates of a folder, by name.
#[derive(Debug, Clone, Default)]
pub(in crate::tokenize) struct Named(Vec<(String, String)>);

impl Named {
    /// Reads the templates of a folder from Jinja files if there are any, else from `chat_template`
    /// of `tokenizer_config.json`, else from `chat_template.json`.
    pub(in crate::tokenize) fn of_folder(
        dir: &Path,
        config: &Map<String, Value>,
    ) -> Result<Self, DataError> {
        let read =
            |path: &Path| fs::read_to_string(path).map_err(|e| io(path, "cannot be read", e));
        let mut found = Self::default();
        let file = dir.join(FILE);
        if file.is_file() {
            found.put(DEFAULT, read(&file)?);
        }
        let further = dir.join(FURTHER);
        if further.is_dir() {
            let entries = fs::read_dir(&further).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let entries = entries.map_err(|e| io(&further, "cannot be read", e))?;
            let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
            paths.sort();
            for path in paths {
                let name = path.file_name().and_then(|name| name.to_str());
                if let Some(name) = name.and_then(|name| name.strip_suffix(".jinja")) {
                    found.put(name, read(&path)?);
                }
            }
        }
        if found.0.is_empty() {
            found.take(config.get(KEY));
        }
        if found.0.is_empty() {
            found.take(object(&dir.join(OF_PROCESSOR))?.get(KEY));
        }
        Ok(found)
    }

    fn put(&mut self, name: &str, source: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = source,
            None => self.0.push((name.to_owned(), source)),
        }
    }

    /// Adds the templates of a text, of a list of `{"name", "template"}`, or of an object.
    fn take(&mut self, value: Option<&Value>) {
        match value {
            Some(Value::String(source)) => self.put(DEFAULT, source.clone()),
            Some(Value::Array(list)) => {
                for entry in list {
                    let text = |key: &str| entry.get(key).and_then(Value::as_str);
                    if let (Some(name), Some(source)) = (text("name"), text("template")) {
                        self.put(name, source.to_owned());
                    }
                }
            }
            Some(Value::Object(named)) => {
                for (name, source) in named {
                    if let Some(source) = source.as_str() {
                        self.put(name, source.to_owned());
                    }
                }
            }
            _ => {}
        }
    }

    /// Returns the names of the templates.
    pub(in crate::tokenize) fn names(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    }

    /// Returns the source of the template with the given name.
    pub(in crate::tokenize) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, source)| source.as_str())
    }

    /// Returns the template for conversations: `tool_use` if tools are given and the folder has it,
    /// else `default`. If the folder has templates but not this one, a rendering is an error that
    /// names the templates.
    pub(in crate::tokenize) fn pick(
        &self,
        tools: bool,
        date: Option<Moment>,
    ) -> Option<ChatTemplate> {
        if self.0.is_empty() {
            return None;
        }
        let source = match self.get(TOOL_USE) {
            Some(source) if tools => Some(source),
            _ => self.get(DEFAULT),
        };
        Some(match source {
            Some(source) => ChatTemplate::of_folder(source, date),
            None => ChatTemplate::missing(format!(
                "the folder has templates {}, but none named `{DEFAULT}`: name one (library: \
                 `TokenizerOptions::chat_template`; programs: `--chat-template`)",
                self.names()
            )),
        })
    }

    /// Returns the templates as `tokenizer_config.json` lists them, if there are more than
    /// `default`.
    pub(in crate::tokenize) fn listed(&self) -> Option<Value> {
        let only_default = self.0.iter().all(|(name, _)| name == DEFAULT);
        let list = self.0.iter();
        let list = list.map(|(name, source)| json!({"name": name, "template": source}));
        (!only_default).then(|| list.collect())
    }
}
