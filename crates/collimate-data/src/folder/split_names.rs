//! Splits from the names of files, by the rules of `datasets`.

use std::collections::{BTreeMap, BTreeSet};

/// Splits with the words that name them.
const SPLITS: [(&str, &[&str]); 3] = [
    ("train", &["train", "training"]),
    ("validation", &["validation", "valid", "dev", "val"]),
    ("test", &["test", "testing", "eval", "evaluation"]),
];

/// Places of files by split.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) splits: BTreeMap<String, Vec<usize>>,
    /// Configurations that the names show.
    pub(super) configs: BTreeSet<String>,
    /// Files that belong to no split.
    pub(super) none: Vec<usize>,
}

/// Sorts files into splits. Each file is given by the parts of its path inside the folder.
///
/// # Errors
/// The names show several configurations, and `config` is `None`. A name has the words of two
/// splits.
pub(super) fn by_names(files: &[Vec<String>], config: Option<&str>) -> Result<Names, String> {
    if let Some(converted) = converted(files) {
        return of_config(converted, config);
    }
    let sharded: Vec<Option<&str>> = files.iter().map(|file| shard_of(file)).collect();
    if sharded.iter().any(Option::is_some) {
        return Ok(sorted(sharded.into_iter()));
    }
    let of_folder = |file: &Vec<String>| {
        let mut found = file.iter().rev().skip(1).map(|name| word_in(name));
        found
            .find(|split| !matches!(split, Ok(None)))
            .unwrap_or(Ok(None))
    };
    let of_name = |file: &Vec<String>| word_in(file.last().map_or("", String::as_str));
    for rule in [&of_folder as &dyn Fn(&Vec<String>) -> _, &of_name] {
        let found: Vec<Option<&str>> = files.iter().map(rule).collect::<Result<_, String>>()?;
        if found.iter().any(Option::is_some) {
            return Ok(sorted(found.into_iter()));
        }
    }
    Ok(sorted(files.iter().map(|_| Some("train"))))
}

fn sorted<'a>(splits: impl Iterator<Item = Option<&'a str>>) -> Names {
    let mut names = Names::default();
    for (at, split) in splits.enumerate() {
        match split {
            Some(split) => names.splits.entry(split.to_owned()).or_default().push(at),
            None => names.none.push(at),
        }
    }
    names
}

/// Returns configuration and split of each file, if all files are named `CONFIG/SPLIT/0000.parquet`.
fn converted(files: &[Vec<String>]) -> Option<Vec<[&str; 2]>> {
    let parts = |file: &'_ Vec<String>| -> bool {
        let [_, _, name] = &file[..] else {
            return false;
        };
        name.strip_suffix(".parquet")
            .is_some_and(|stem| stem.len() == 4 && is_number(stem))
    };
    let all = !files.is_empty() && files.iter().all(parts);
    all.then(|| files.iter().map(|file| [&*file[0], &*file[1]]).collect())
}

fn of_config(files: Vec<[&str; 2]>, config: Option<&str>) -> Result<Names, String> {
    let configs: BTreeSet<&str> = files.iter().map(|[config, _]| *config).collect();
    let mut each = configs.iter();
    let wanted = match (config, each.next(), each.next()) {
        (Some(config), ..) => config,
        (None, Some(only), None) => only,
        _ if configs.contains("default") => "default",
        _ => {
            let names: Vec<String> = configs.iter().map(|name| format!("`{name}`")).collect();
            return Err(format!(
                "a dataset with several configurations: choose one of {}",
                names.join(", ")
            ));
        }
    };
    let mut names = Names::default();
    for (at, [config, split]) in files.iter().enumerate() {
        if *config == wanted {
            names
                .splits
                .entry((*split).to_owned())
                .or_default()
                .push(at);
        }
    }
    names.configs = configs.into_iter().map(str::to_owned).collect();
    Ok(names)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the split of a file named `SPLIT-00000-of-00002.…`, in the folder or in its folder `data`.
fn shard_of(file: &[String]) -> Option<&str> {
    let name = match file {
        [name] => name,
        [data, name] if data == "data" => name,
        _ => return None,
    };
    // A hash may follow the number of shards.
    let (before, total) = name.split_once("-of-")?;
    let (split, index) = before.rsplit_once('-')?;
    let number = |text: &str| text.len() == 5 && is_number(text);
    (number(total.get(..5)?) && number(index) && !split.is_empty()).then_some(split)
}

/// Returns the split whose word is in a name, between separators.
///
/// # Errors
/// The name has the words of two splits.
fn word_in(name: &str) -> Result<Option<&'static str>, String> {
    let separator = |c: char| "-._ ".contains(c) || c.is_ascii_digit();
    let words: Vec<&str> = name.split(separator).collect();
    let mut found = SPLITS
        .iter()
        .filter(|(_, known)| known.iter().any(|word| words.contains(word)));
    match (found.next(), found.next()) {
        (Some((one, _)), Some((other, _))) => Err(format!(
            "the name `{name}` has the words of the splits `{one}` and `{other}`: rename it, or name \
             the files by a pattern"
        )),
        (one, _) => Ok(one.map(|(split, _)| *split)),
    }
}
