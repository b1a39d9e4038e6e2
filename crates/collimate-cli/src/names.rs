//! Names of models and data sets on a hub, in the place of paths.

use std::path::{Path, PathBuf};

use collimate::data::{DataPart, data_files};
use serde_json::Value;

use crate::common::{Failure, usage};

/// Options whose values are model folders.
const MODELS: [&str; 7] = [
    "model",
    "judge",
    "reward_model",
    "policy_source",
    "labelled_by",
    "evaluator",
    "eft_judge",
];

/// Options whose values are data files.
const DATA: [&str; 5] = ["data", "test", "validation", "labelled", "unlabelled"];

/// Returns the folder of a model: the path itself, or the local copy of a model of a hub such as
/// `org/name` or `org/name@revision`. A path that exists is never taken for a name.
pub(crate) fn model(path: &Path) -> Result<PathBuf, Failure> {
    match name_of(path) {
        Some(name) => of_hub(Kind::Model, name),
        None => Ok(path.to_owned()),
    }
}

/// Returns the path of data: the path itself, or the local copy of a data set of a hub.
pub(crate) fn data(path: &Path) -> Result<PathBuf, Failure> {
    match name_of(path) {
        Some(name) => of_hub(Kind::Data, name),
        None => Ok(path.to_owned()),
    }
}

/// Returns the files that paths name: files, folders of data sets, patterns, and names on a hub.
/// `split` is the split of folders.
pub(crate) fn files(paths: &[PathBuf], split: Option<&str>) -> Result<Vec<PathBuf>, Failure> {
    let (mut files, mut used) = (Vec::new(), false);
    for path in paths {
        let (found, folder) = files_of(path, split)?;
        files.extend(found);
        used |= folder;
    }
    check_used(split, used)?;
    Ok(files)
}

/// Returns the files of one path, and true if the path is the folder of a data set.
fn files_of(path: &Path, split: Option<&str>) -> Result<(Vec<PathBuf>, bool), Failure> {
    let path = data(path)?;
    let folder = path.is_dir();
    let pattern = path.to_string_lossy().contains(['*', '?', '[']) && !path.exists();
    if !folder && !pattern {
        return Ok((vec![path], false));
    }
    let part = DataPart {
        split: split.filter(|_| folder),
        config: None,
    };
    Ok((data_files(&path, part)?, folder))
}

fn check_used(split: Option<&str>, used: bool) -> Result<(), Failure> {
    match split {
        Some(split) if !used => Err(usage(format!(
            "--split {split} needs the folder of a data set or a name on a hub, but the data are \
             files or a pattern"
        ))),
        _ => Ok(()),
    }
}

/// Reads the value of an option that names a model.
pub(crate) fn argument(text: &str) -> Result<PathBuf, String> {
    model(Path::new(text)).map_err(|error| error.to_string())
}

/// Reads the value of an option that names a model of which only the tokenizer is used.
pub(crate) fn tokenizer_argument(text: &str) -> Result<PathBuf, String> {
    match name_of(Path::new(text)) {
        Some(name) => of_hub(Kind::Tokenizer, name).map_err(|error| error.to_string()),
        None => Ok(text.into()),
    }
}

/// Gives every file of a value of `data` the weight of the value.
fn spread(config: &mut Value, counts: &[usize]) -> Result<(), Failure> {
    let Some(Value::Array(weights)) = config.get_mut("data_weights") else {
        return Ok(());
    };
    if weights.is_empty() {
        return Ok(());
    }
    if weights.len() != counts.len() {
        return Err(usage(format!(
            "{} weights in --data-weights for {} times --data: give one weight for each",
            weights.len(),
            counts.len()
        )));
    }
    let each = weights.iter().zip(counts);
    *weights = each
        .flat_map(|(weight, count)| std::iter::repeat_n(weight.clone(), *count))
        .collect();
    Ok(())
}

/// Replaces names in a configuration by local folders, and folders and patterns of data by their
/// files. `split` is the split of the training data.
pub(crate) fn resolve(config: &mut Value, split: Option<&str>) -> Result<(), Failure> {
    for option in MODELS {
        if let Some(Value::String(text)) = config.get_mut(option) {
            *text = model(Path::new(text))?.to_string_lossy().into_owned();
        }
    }
    let mut used = false;
    for option in DATA {
        let Some(Value::Array(list)) = config.get_mut(option) else {
            continue;
        };
        let mut files = Vec::new();
        // The number of files of each value.
        let mut counts = Vec::new();
        for value in std::mem::take(list) {
            let Value::String(text) = &value else {
                counts.push(1);
                files.push(value);
                continue;
            };
            // `--test` and `--validation` read the split of the same name.
            let own = ["test", "validation"].contains(&option);
            let named = if own { Some(option) } else { split };
            let (found, folder) = files_of(Path::new(text), named)?;
            used |= !own && folder;
            counts.push(found.len());
            files.extend(found.iter().map(|file| file.to_string_lossy().into()));
        }
        *list = files;
        if option == "data" {
            spread(config, &counts)?;
        }
    }
    check_used(split, used)
}

/// Returns the name of the repository whose copy lies at a path in the cache of a hub, such as
/// `org/name` for `…/models--org--name/snapshots/COMMIT`.
pub(crate) fn repository(path: &Path) -> Option<String> {
    let commit = path.file_name()?.to_str()?;
    let snapshots = path.parent()?;
    let folder = snapshots.parent()?.file_name()?.to_str()?;
    let of_commit = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
    let (kind, name) = folder.split_once("--")?;
    let known = ["models", "datasets"].contains(&kind);
    let inside = snapshots.file_name()? == "snapshots" && of_commit && known;
    inside.then(|| name.replacen("--", "/", 1))
}

/// Kind of a repository.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Model,
    /// A model without its weights.
    Tokenizer,
    Data,
}

/// Returns the text of a path that can only be a name: `org/name`, with a revision if there is one.
fn name_of(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    let (owner, name) = text.split_once('/')?;
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '~'])
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let (name, _) = name.split_once('@').unwrap_or((name, ""));
    let ending = Path::new(name).extension().and_then(|end| end.to_str());
    let file = ending.is_some_and(|end| {
        [
            "jsonl", "json", "csv", "tsv", "txt", "gz", "parquet", "gguf",
        ]
        .contains(&end)
    });
    // A folder of this owner's name means a path that was mistyped.
    let local = Path::new(owner).exists();
    (part(owner) && part(name) && !file && !local && !path.exists()).then_some(text)
}

#[cfg(not(feature = "hub"))]
fn of_hub(_: Kind, name: &str) -> Result<PathBuf, Failure> {
    Err(format!(
        "{name}: no such file or folder; to fetch models and data sets by name, build with the \
         feature `hub`"
    )
    .into())
}

#[cfg(feature = "hub")]
fn of_hub(kind: Kind, name: &str) -> Result<PathBuf, Failure> {
    use std::cell::RefCell;

    use collimate::hub::{Hub, Progress, RepoKind, RepoName, Watch};
    use indicatif::{ProgressBar, ProgressStyle};

    let (kind, wanted) = match kind {
        Kind::Model => (RepoKind::Model, with_weights(of_model())),
        Kind::Tokenizer => (RepoKind::Model, of_model()),
        Kind::Data => (RepoKind::Dataset, of_data()),
    };
    let repo = RepoName::parse(kind, name)?;
    let interrupt = crate::runs::interrupt();
    let stop = || interrupt.is_set();
    let style =
        ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}");
    let bar = ProgressBar::new(0).with_style(style?);
    let last = RefCell::new(String::new());
    let show = |at: &Progress<'_>| {
        if *last.borrow() != at.file {
            *last.borrow_mut() = at.file.to_owned();
            // A terminal shows the bar; elsewhere each file is one line.
            if bar.is_hidden() {
                let megabytes = at.size as f64 / 1e6;
                crate::common::tell(&format!("{name}: fetching {} ({megabytes:.1} MB)", at.file));
            }
            bar.set_message(format!("{} ({} of {})", at.file, at.number, at.files));
        }
        bar.set_length(at.size);
        bar.set_position(at.received);
    };
    let watch = Watch::default().progress(&show).stop(&stop);
    let folder = Hub::from_env()?.folder(&repo, &wanted, &watch);
    bar.finish_and_clear();
    // The text may be a mistyped path.
    folder.map_err(|error| {
        format!("there is no folder {name}, and the hub gave no such repository: {error}").into()
    })
}

/// Adds weights as safetensors.
#[cfg(feature = "hub")]
fn with_weights(files: collimate::hub::Wanted) -> collimate::hub::Wanted {
    files.require_one_of([
        "model.safetensors",
        "model.safetensors.index.json",
        "adapter_model.safetensors",
    ])
}

/// The files of a model without weights: settings, tokenizer, templates.
#[cfg(feature = "hub")]
fn of_model() -> collimate::hub::Wanted {
    collimate::hub::Wanted::new()
        .require_one_of(["config.json", "adapter_config.json"])
        .allow("config.json")
        .allow("generation_config.json")
        .allow("tokenizer.json")
        .allow("tokenizer_config.json")
        .allow("special_tokens_map.json")
        .matching(|path| {
            let of_modules = ["modules.json", "sentence_bert_config.json"].contains(&path)
                || path == "config_sentence_transformers.json";
            let module = path.split_once('/').is_some_and(|(folder, file)| {
                folder.starts_with(['1', '2', '3'])
                    && ["config.json", "model.safetensors"].contains(&file)
            });
            of_modules || module || path.ends_with(".jinja") || path == "chat_template.json"
        })
}

/// The files of a data set: rows, and the card that names splits.
#[cfg(feature = "hub")]
fn of_data() -> collimate::hub::Wanted {
    collimate::hub::Wanted::new()
        .allow("README.md")
        .matching(|path| {
            let ends = |end: &&str| path.ends_with(*end);
            [
                ".parquet",
                ".jsonl",
                ".json",
                ".jsonl.gz",
                ".json.gz",
                ".csv",
                ".tsv",
                ".csv.gz",
            ]
            .iter()
            .any(ends)
        })
}
