//! Files in folders and files that match a pattern.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::wrong;
use crate::error::DataError;

/// Deepest folder inside a dataset that is searched for files.
const DEEPEST: usize = 8;

/// Largest number of files of a dataset.
const MOST_FILES: usize = 100_000;

/// Patterns do not match hidden files.
const VISIBLE: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// Collects the data files in a folder and the folders inside it.
pub(super) fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), DataError> {
    let failed = |source| DataError::Io {
        path: folder.to_owned(),
        what: "the folder cannot be read".to_owned(),
        source,
    };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        // Files in a cache of the hub are links.
        if path.is_dir() {
            if depth < DEEPEST {
                walk(&path, depth + 1, files)?;
            }
        } else if kind(&path).is_some() && !NO_DATA.contains(&&*name) {
            files.push(path);
        }
        if files.len() > MOST_FILES {
            return Err(wrong(
                folder,
                format!("more than {MOST_FILES} data files: name a folder or a pattern inside"),
            ));
        }
    }
    Ok(())
}

/// Files of a dataset that hold no rows.
const NO_DATA: [&str; 5] = [
    "config.json",
    "dataset_info.json",
    "dataset_infos.json",
    "dataset_dict.json",
    "state.json",
];

/// Returns the kind of a data file by its name.
fn kind(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.')?.1 {
        "parquet" => Some("Parquet"),
        "jsonl" | "json" | "ndjson" => Some("JSON"),
        "csv" | "tsv" => Some("a table"),
        _ => None,
    }
}

/// Checks that all files have the same kind.
pub(super) fn one_kind(files: Vec<PathBuf>) -> Result<Vec<PathBuf>, DataError> {
    let mut known = files.iter().filter_map(|file| Some((kind(file)?, file)));
    let Some((first, like)) = known.next() else {
        return Ok(files);
    };
    match known.find(|(kind, _)| *kind != first) {
        None => Ok(files),
        Some((kind, file)) => Err(wrong(
            file,
            format!(
                "{kind}, but {} is {first}: give files of one format, for instance by a pattern",
                like.display()
            ),
        )),
    }
}

/// Refuses files named `…-00000-of-00002.…` of which one is missing.
pub(super) fn all_shards(files: Vec<PathBuf>) -> Result<Vec<PathBuf>, DataError> {
    let mut sets: BTreeMap<(PathBuf, u32), (BTreeSet<u32>, &PathBuf)> = BTreeMap::new();
    for file in &files {
        if let Some((stem, index, count)) = shard(file) {
            let set = sets.entry((stem, count));
            set.or_insert_with(|| (BTreeSet::new(), file))
                .0
                .insert(index);
        }
    }
    for ((_, count), (found, file)) in &sets {
        if let Some(missing) = (0..*count).find(|index| !found.contains(index)) {
            return Err(wrong(
                file,
                format!(
                    "file {missing:05} of {count} is missing, where counting begins at 00000: fetch \
                     all files, or name those that are there by a pattern"
                ),
            ));
        }
    }
    Ok(files)
}

/// Returns the part of the path before the number of a shard, the number, and the count.
fn shard(file: &Path) -> Option<(PathBuf, u32, u32)> {
    let name = file.file_name()?.to_str()?;
    let (before, after) = name.split_once("-of-")?;
    let (stem, index) = before.rsplit_once('-')?;
    let number = |text: &str| match text.len() == 5 {
        true => text.parse::<u32>().ok(),
        false => None,
    };
    let (index, count) = (number(index)?, number(after.get(..5)?)?);
    Some((file.with_file_name(stem), index, count))
}

/// Returns a path of the card inside a folder.
pub(super) fn inside(folder: &Path, path: &str) -> Result<PathBuf, DataError> {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    let path = path.strip_prefix("./").unwrap_or(path);
    match !path.contains("://") && Path::new(path).components().all(plain) {
        true => Ok(folder.join(path)),
        false => Err(wrong(
            &folder.join("README.md"),
            format!("`{path}` lies outside the folder: name files of the folder in `configs`"),
        )),
    }
}

/// Returns the files that match a pattern, in the order of their names. `base` is a folder whose
/// name is no pattern.
pub(super) fn matching(path: &Path, base: Option<&Path>) -> Result<Vec<PathBuf>, DataError> {
    let text = match base.and_then(|base| Some((base, path.strip_prefix(base).ok()?))) {
        Some((base, inner)) => {
            let base = Pattern::escape(&base.to_string_lossy());
            Path::new(&base).join(inner).to_string_lossy().into_owned()
        }
        None => path.to_string_lossy().into_owned(),
    };
    let found = glob::glob_with(&text, VISIBLE)
        .map_err(|error| wrong(path, format!("not a pattern of files: {}", error.msg)))?;
    let mut files = Vec::new();
    for file in found {
        let file = file.map_err(|error| DataError::Io {
            path: error.path().to_owned(),
            what: "the folder cannot be read".to_owned(),
            source: error.into(),
        })?;
        if !file.is_dir() {
            files.push(file);
        }
        if files.len() > MOST_FILES {
            return Err(wrong(
                path,
                format!("more than {MOST_FILES} files: narrow the pattern"),
            ));
        }
    }
    match files.is_empty() {
        true => Err(wrong(path, "no file matches this pattern: check the path")),
        false => Ok(files),
    }
}
