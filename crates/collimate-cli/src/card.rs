//! Model cards: the file `README.md` in the folder of every model that a run saves.

mod method;

use std::fs;
use std::path::{Path, PathBuf};

use collimate::files::atomic_write;
use serde_json::{Value, json};

use crate::common::{self, Failure};
use crate::names;
use crate::runs::HashedFile;
use crate::templates::TEMPLATES;

/// File of a card, as model hubs show it.
const CARD: &str = "README.md";

/// Groups of numbers of a summary that a card shows: objects with a number for each model.
const METRICS: [&str; 8] = [
    "accuracy",
    "controls",
    "win_rate",
    "mean_score",
    "reward",
    "task_accuracy",
    "perplexity",
    "tax",
];

/// Facts on a run that stand in the cards of all of its models.
#[derive(Debug, Clone)]
pub(crate) struct Card {
    pub(crate) command: &'static str,
    /// Every option of the run.
    pub(crate) config: Value,
    /// Folder of the model that the run started from; absent for the synthetic world.
    pub(crate) base: Option<PathBuf>,
    /// Folder of the run.
    pub(crate) run: PathBuf,
    /// Files and model folders that the run reads.
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) files: Vec<HashedFile>,
}

impl Card {
    /// Writes the card of one model that is saved before the run has ended: a card without metrics.
    ///
    /// # Errors
    /// If the card cannot be written.
    pub(crate) fn write(&self, folder: &Path, about: &str) -> Result<(), Failure> {
        let text = self.text(folder, about, &Value::Null)?;
        Ok(atomic_write(&folder.join(CARD), text.as_bytes())?)
    }

    /// Writes the card of each model in a run folder, with the metrics of the run.
    ///
    /// # Errors
    /// A folder that cannot be read, or a card that cannot be written.
    pub(crate) fn write_all(&self, run: &Path, about: &str) -> Result<(), Failure> {
        let summary = match fs::read(run.join("summary.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(_) => Value::Null,
        };
        for folder in models(run)? {
            let text = self.text(&folder, about, &summary)?;
            atomic_write(&folder.join(CARD), text.as_bytes())?;
        }
        Ok(())
    }

    fn text(&self, folder: &Path, about: &str, summary: &Value) -> Result<String, Failure> {
        let encoder = folder.join("modules.json").exists();
        let adapter = folder.join("adapter_config.json").is_file();
        let config = match adapter {
            true => "adapter_config.json",
            false => "config.json",
        };
        let config: Value = serde_json::from_slice(&fs::read(folder.join(config))?)?;
        let architecture = config["architectures"][0].as_str().unwrap_or_default();
        let scores = match adapter {
            true => config["task_type"] == "SEQ_CLS",
            false => architecture.ends_with("ForSequenceClassification"),
        };
        let (library, task) = match (encoder, scores) {
            (false, true) if adapter => ("peft", "text-classification"),
            (false, false) if adapter => ("peft", "text-generation"),
            (true, _) => ("sentence-transformers", "text-classification"),
            (false, true) => ("transformers", "text-classification"),
            (false, false) => ("transformers", "text-generation"),
        };
        let command = self.command.replace('_', "-");
        let method = method::of(self.command, &self.config);
        let files = self
            .files
            .iter()
            .map(|file| json!({"name": name(&file.path), "blake3": file.blake3}));
        let values = json!({
            "name": name(folder),
            "adapter": adapter,
            "is_start": matches!(name(folder).as_str(), "start" | "sft"),
            "command": command,
            "version": env!("CARGO_PKG_VERSION"),
            "base": self.base.as_deref().map(name),
            "about": self.without_folders(about),
            "method": method,
            "files": files.collect::<Vec<Value>>(),
            "metrics": metrics(summary),
            "options": serde_json::to_string_pretty(&self.named(&self.config))?,
        });
        let body = TEMPLATES.render("card.md", &values, Vec::new())?;
        let mut tags = vec!["collimate", "alignment", command.as_str()];
        if let Some(loss) = method["loss"].as_str().filter(|loss| *loss != command) {
            tags.push(loss);
        }
        let tags: String = tags.iter().map(|tag| format!("- {tag}\n")).collect();
        Ok(format!(
            "---\nlibrary_name: {library}\npipeline_tag: {task}\ntags:\n{tags}---\n{}",
            body.as_markdown()
        ))
    }

    /// Replaces the paths of the run's files and models in a text by their names, longest path first.
    fn without_folders(&self, text: &str) -> String {
        let mut paths: Vec<(String, String)> = self
            .paths
            .iter()
            .map(|path| (path.display().to_string(), name(path)))
            .collect();
        // Files that the run wrote itself, such as answers of a policy.
        paths.push((format!("{}/", self.run.display()), String::new()));
        paths.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        paths
            .into_iter()
            .fold(text.to_owned(), |text, (path, name)| {
                text.replace(&path, &name)
            })
    }

    /// Returns the options with names in place of the paths of files and models, and without the user
    /// of a URL: neither folders nor passwords belong in a card.
    fn named(&self, config: &Value) -> Value {
        match config {
            Value::String(text) => {
                let path = Path::new(text);
                let known = self.paths.iter().any(|known| known == path);
                match known || path.is_absolute() && path.exists() {
                    true => json!(name(path)),
                    false => json!(without_user(text)),
                }
            }
            Value::Array(items) => items.iter().map(|item| self.named(item)).collect(),
            Value::Object(fields) => {
                let fields = fields.iter();
                let fields = fields.map(|(key, value)| (key.clone(), self.named(value)));
                Value::Object(fields.collect())
            }
            other => other.clone(),
        }
    }
}

/// Folders of a run that hold a model.
fn models(run: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for folder in [run.to_path_buf(), run.join("models")] {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            if common::is_model(&path) && path.join("tokenizer.json").is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Numbers of a summary, a row for each metric and model.
fn metrics(summary: &Value) -> Vec<Value> {
    let mut rows = Vec::new();
    for metric in METRICS {
        let values = summary[metric].as_object().into_iter().flatten();
        for (of, value) in values.filter(|(_, value)| value.is_number()) {
            rows.push(json!({"metric": metric.replace('_', " "), "of": of, "value": value}));
        }
    }
    rows
}

/// The last part of a path, or the name of a repository.
fn name(path: &Path) -> String {
    if let Some(name) = names::repository(path) {
        return name;
    }
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Returns a URL without `user:password@`; any other text stays.
fn without_user(text: &str) -> String {
    let found = text.split_once("://").and_then(|(scheme, rest)| {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let at = rest[..end].rfind('@')?;
        Some(format!("{scheme}://{}", &rest[at + 1..]))
    });
    found.unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_names_no_folder_and_no_password() {
        let paths = [
            "./pairs.jsonl",
            "../models/llama",
            "/pairs.jsonl",
            "data/p.jsonl",
        ];
        let card = Card {
            command: "dpo",
            config: Value::Null,
            base: None,
            run: PathBuf::from("/home/me/run"),
            paths: paths.iter().map(PathBuf::from).collect(),
            files: Vec::new(),
        };
        let about = "Model: `../models/llama`. ./pairs.jsonl and /pairs.jsonl, data/p.jsonl, https://x.y/z \
                     and `/home/me/run/pool.jsonl`";
        assert_eq!(
            card.without_folders(about),
            "Model: `llama`. pairs.jsonl and pairs.jsonl, p.jsonl, https://x.y/z and `pool.jsonl`"
        );
        let options = json!({
            "data": ["./pairs.jsonl"], "judge": "http://user:secret@host:8000/v1", "after": "/metadata/x",
        });
        let expected = json!({"data": ["pairs.jsonl"], "judge": "http://host:8000/v1", "after": "/metadata/x"});
        assert_eq!(card.named(&options), expected);
    }
}
