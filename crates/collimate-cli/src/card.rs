//! Model cards: the file `README.md` in the folder of every model that a run saves.

use std::fs;
use std::path::{Path, PathBuf};

use collimate::files::atomic_write;
use collimate::losses::{DirectLoss, FORMULA_SYMBOLS, PreferenceLoss};
use serde_json::{Value, json};

use crate::common::Failure;
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
pub(crate) struct Card {
    pub(crate) command: &'static str,
    /// Every option of the run.
    pub(crate) config: Value,
    /// Folder of the model that the run started from; absent for the synthetic world.
    pub(crate) base: Option<PathBuf>,
    pub(crate) files: Vec<HashedFile>,
}

impl Card {
    /// Writes the card of each model in a run folder. A card that the user has changed is replaced
    /// only by a run that continues.
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
        let config: Value = serde_json::from_slice(&fs::read(folder.join("config.json"))?)?;
        let architecture = config["architectures"][0].as_str().unwrap_or_default();
        let (library, task) = match (encoder, architecture.ends_with("ForSequenceClassification")) {
            (true, _) => ("sentence-transformers", "text-classification"),
            (false, true) => ("transformers", "text-classification"),
            (false, false) => ("transformers", "text-generation"),
        };
        let command = self.command.replace('_', "-");
        let method = self.method();
        let files = self
            .files
            .iter()
            .map(|file| json!({"name": name(&file.path), "blake3": file.blake3}));
        let values = json!({
            "name": name(folder),
            "command": command,
            "version": env!("CARGO_PKG_VERSION"),
            "base": self.base.as_deref().map(name),
            "about": self.without_folders(about),
            "method": method,
            "files": files.collect::<Vec<Value>>(),
            "metrics": metrics(summary),
            "options": serde_json::to_string_pretty(&named(&self.config))?,
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

    /// Removes the folders of the run's files and of the base model from a text.
    fn without_folders(&self, text: &str) -> String {
        let files = self.files.iter().map(|file| file.path.as_path());
        let parents = files.chain(self.base.as_deref()).filter_map(Path::parent);
        let parents = parents.filter(|parent| !parent.as_os_str().is_empty());
        parents.fold(text.to_owned(), |text, parent| {
            text.replace(&format!("{}/", parent.display()), "")
        })
    }

    /// The method as a title, and the formula of the loss where there is one.
    fn method(&self) -> Value {
        let options = &self.config;
        let of_loss = |title: &str, loss: &Value| {
            let loss: Option<PreferenceLoss> = serde_json::from_value(loss.clone()).ok();
            json!({
                "title": match &loss {
                    Some(loss) => format!("{title} with the loss `{}`, β = {}", loss.name(), loss.beta()),
                    None => title.to_owned(),
                },
                "formula": loss.map(|loss| loss.formula()),
                "symbols": FORMULA_SYMBOLS,
                "loss": loss.map(|loss| loss.name()),
            })
        };
        let plain = |title: &str, formula: Option<&str>, symbols: &str| json!({"title": title, "formula": formula, "symbols": symbols, "loss": null});
        const REWARD: &str = "−log σ(s(x, w) − s(x, l))";
        const SCORES: &str =
            "w is the chosen answer, l the rejected answer, s the score, σ the logistic function.";
        match self.command {
            "dpo" => of_loss("Direct alignment", &options["align"]["loss"]),
            "sera" => of_loss(
                "Self-reviewed alignment (SeRA, arXiv:2410.09362)",
                &options["align"]["loss"],
            ),
            "self_rewarding" => of_loss(
                "Self-Rewarding language models (arXiv:2401.10020)",
                &options["recipe"]["loss"],
            ),
            "rule" => of_loss("Direct alignment to a rule", &options["align"]["loss"]),
            "kto" => plain(
                "Kahneman-Tversky optimisation (KTO, arXiv:2402.01306) on labelled answers",
                Some(
                    "λ_D (1 − σ(β (r − z))) for desirable answers,  λ_U (1 − σ(β (z − r))) for the others",
                ),
                "r = log π − log ρ of an answer, z the mean log-ratio of mismatched answers, at least 0.",
            ),
            "reward" => plain(
                "Reward model on preference pairs (Bradley-Terry)",
                Some(REWARD),
                SCORES,
            ),
            "ser" => plain(
                &format!(
                    "Self-evolved reward learning (SER, arXiv:2411.00418), recipe `{}`",
                    options["ser"]["recipe"].as_str().unwrap_or_default()
                ),
                Some(REWARD),
                SCORES,
            ),
            "ppo" => plain(
                &format!(
                    "Reinforcement learning from a reward ({})",
                    options["policy"]["ppo"]["estimator"]
                        .as_str()
                        .unwrap_or("policy gradient")
                ),
                Some("−min(ρ A, clip(ρ, 1 − ε, 1 + ε) A)"),
                "ρ is the ratio of the new and the old probability of a token, A the advantage.",
            ),
            _ => plain(
                "Supervised fine-tuning",
                Some("−Σ log π(y_t | x, y_<t) / |y|"),
                "x is the prompt, y the answer, π the model.",
            ),
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
            if path.join("config.json").is_file() && path.join("tokenizer.json").is_file() {
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

/// The last part of a path.
fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// The options with names in place of paths: the folders of a machine do not belong in a card.
fn named(config: &Value) -> Value {
    match config {
        Value::String(text) if Path::new(text).is_absolute() => json!(name(Path::new(text))),
        Value::Array(items) => items.iter().map(named).collect(),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(key, value)| (key.clone(), named(value)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}
