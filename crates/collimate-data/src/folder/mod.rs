//! Files of a dataset: a file, a folder with splits, or a pattern.

mod card;
mod found;
mod split_names;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use self::card::CardConfig;
use self::found::{all_shards, inside, matching, one_kind, walk};
use self::split_names::{Names, by_names};
use crate::error::DataError;

/// Part of a dataset to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DataPart<'a> {
    /// Configuration (subset) of the dataset. If `None`, the only one or the default one is taken.
    pub config: Option<&'a str>,
    /// Split, such as `train`. If `None`, the only one is taken.
    pub split: Option<&'a str>,
}

impl<'a> DataPart<'a> {
    /// Returns a split of the only configuration or the default one.
    pub fn split(name: &'a str) -> Self {
        Self {
            split: Some(name),
            ..Self::default()
        }
    }
}

/// Returns the files of a dataset in the order in which they are read.
///
/// | path | files |
/// |---|---|
/// | a file, or a pipe | this file |
/// | a pattern with `*`, `?` or `[…]` | the files that match, in the order of their names |
/// | a folder | the files of one split |
///
/// The splits of a folder come from the card `README.md`, if its front matter has `configs`. Else
/// they follow from the names, as in `datasets`: `data/NAME-00000-of-00002.parquet`, then folders,
/// then files whose name has the word `train`, `validation` or `test` (or `dev`, `eval` and the
/// like). Without such a name all files are the split `train`. The layout of the branch
/// `refs/convert/parquet` (`CONFIG/SPLIT/0000.parquet`) is known, too.
///
/// If there are several splits, one must be named: unlike `load_dataset`, which returns all of them
/// by name, a run reads one.
///
/// # Errors
/// Nothing is there, or the files of a split have different formats. A folder has several splits or
/// configurations, and `part` names none; the error lists them. `part` names a split of a file or a
/// pattern. The card cannot be read, or names files outside the folder.
///
/// # Examples
/// ```
/// use collimate_data::{DataPart, data_files};
/// let folder = std::env::temp_dir().join(format!("collimate-files-{}", std::process::id()));
/// std::fs::create_dir_all(folder.join("data"))?;
/// for name in ["train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"] {
///     std::fs::write(folder.join(format!("data/{name}.jsonl")), "{}")?;
/// }
/// assert!(data_files(&folder, DataPart::default()).is_err());
/// assert_eq!(data_files(&folder, DataPart::split("train"))?.len(), 2);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn data_files(path: impl AsRef<Path>, part: DataPart<'_>) -> Result<Vec<PathBuf>, DataError> {
    let path = path.as_ref();
    let known = path.metadata();
    if known.as_ref().is_ok_and(|kind| kind.is_dir()) {
        return of_folder(path, part);
    }
    let kind = match known.is_ok() {
        true => "a file",
        false => "a pattern",
    };
    let files = match known.is_ok() {
        true => vec![path.to_owned()],
        false if is_pattern(path) => matching(path, None)?,
        false => {
            return Err(DataError::Missing {
                path: path.to_owned(),
            });
        }
    };
    if let Some(name) = part.config.or(part.split) {
        return Err(wrong(
            path,
            format!(
                "{kind} has no splits and no configurations, so `{name}` cannot be chosen: name the \
                 folder of the dataset, or leave the choice out"
            ),
        ));
    }
    one_kind(files)
}

fn wrong(path: &Path, what: impl Into<String>) -> DataError {
    DataError::Format {
        path: path.to_owned(),
        what: what.into(),
    }
}

fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

/// Files by split. The key is the name of the split.
type Splits = BTreeMap<String, Vec<PathBuf>>;

fn of_folder(folder: &Path, part: DataPart<'_>) -> Result<Vec<PathBuf>, DataError> {
    let configs = card::configs(folder)?;
    let splits = match configs.is_empty() {
        false => of_card(folder, &configs, part)?,
        true => of_names(folder, folder, part.config)?,
    };
    let listed = || {
        let each = splits.iter().map(|(name, files)| {
            let count = files.len();
            let plural = if count == 1 { "" } else { "s" };
            format!("`{name}` ({count} file{plural})")
        });
        each.collect::<Vec<_>>().join(", ")
    };
    let mut each = splits.iter();
    let files = match (part.split, each.next(), each.next()) {
        (_, None, _) => return Err(wrong(folder, "a folder without data files: name another")),
        (Some(name), ..) => match splits.get(name) {
            Some(files) => files,
            None => {
                let what = format!("no split `{name}`: the folder has {}", listed());
                return Err(wrong(folder, what));
            }
        },
        (None, Some((_, files)), None) => files,
        (None, ..) => {
            let what = format!("a folder with several splits: choose one of {}", listed());
            return Err(wrong(folder, what));
        }
    };
    one_kind(all_shards(files.clone())?)
}

/// Returns the splits of the configuration that is asked for, or the default one.
fn of_card(folder: &Path, configs: &[CardConfig], part: DataPart<'_>) -> Result<Splits, DataError> {
    let names: Vec<String> = configs.iter().map(|c| format!("`{}`", c.name())).collect();
    let names = names.join(", ");
    let found = match (part.config, configs) {
        (Some(name), _) => configs.iter().find(|config| config.name() == name),
        (None, [only]) => Some(only),
        (None, _) => configs.iter().find(|config| config.is_default()),
    };
    let Some(config) = found else {
        let what = match part.config {
            Some(name) => format!("no configuration `{name}`: the card has {names}"),
            None => format!("a dataset with several configurations: choose one of {names}"),
        };
        return Err(wrong(folder, what));
    };
    let base = match config.data_dir() {
        Some(dir) => inside(folder, dir)?,
        None => folder.to_owned(),
    };
    let patterns = config.patterns();
    if patterns.is_empty() {
        return of_names(folder, &base, None);
    }
    let mut splits = Splits::new();
    for (split, pattern) in patterns {
        let files = matching(&inside(&base, pattern)?, Some(&base))?;
        splits.entry(split.to_owned()).or_default().extend(files);
    }
    Ok(splits)
}

/// Returns the splits that the names of the files in a folder show.
fn of_names(root: &Path, folder: &Path, config: Option<&str>) -> Result<Splits, DataError> {
    let mut files = Vec::new();
    walk(folder, 0, &mut files)?;
    files.sort();
    let saved = |name: &str| root.join(name).is_file();
    if files.is_empty() && (saved("dataset_dict.json") || saved("state.json")) {
        return Err(wrong(
            root,
            "a folder of Arrow files, written by `save_to_disk`: write the dataset with `to_parquet`",
        ));
    }
    let relative = |file: &PathBuf| {
        let inner = file.strip_prefix(folder).unwrap_or(file);
        let parts = inner
            .components()
            .map(|part| part.as_os_str().to_string_lossy());
        parts.map(|part| part.into_owned()).collect::<Vec<_>>()
    };
    let names: Vec<Vec<String>> = files.iter().map(relative).collect();
    let Names {
        splits,
        configs,
        none,
    } = by_names(&names, config).map_err(|what| wrong(root, what))?;
    if let Some(name) = config
        && !configs.contains(name)
    {
        let what = match configs.is_empty() {
            true => format!("no configuration `{name}`: the folder has no card with `configs`"),
            false => {
                let names: Vec<String> = configs.iter().map(|c| format!("`{c}`")).collect();
                format!(
                    "no configuration `{name}`: the folder has {}",
                    names.join(", ")
                )
            }
        };
        return Err(wrong(root, what));
    }
    if let [first, ..] = none[..] {
        let (count, name) = (none.len(), files[first].display());
        tracing::warn!(
            "{}: {count} files belong to no split, the first is {name}",
            root.display()
        );
    }
    let named = |(split, places): (String, Vec<usize>)| {
        (split, places.iter().map(|&at| files[at].clone()).collect())
    };
    Ok(splits.into_iter().map(named).collect())
}
