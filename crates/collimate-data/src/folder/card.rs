//! Configurations in the card of a dataset.

use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;

use crate::error::DataError;

/// Largest card in bytes.
const LARGEST: u64 = 16 << 20;

/// Front matter of a card, as far as it is read.
#[derive(Debug, Default, Deserialize)]
struct Card {
    configs: Option<Vec<CardConfig>>,
}

/// One configuration of a dataset.
#[derive(Debug, Deserialize)]
pub(super) struct CardConfig {
    config_name: String,
    data_files: Option<Files>,
    data_dir: Option<String>,
    #[serde(default)]
    default: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Files {
    Path(String),
    List(Vec<Item>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Item {
    Path(String),
    Split { split: String, path: Paths },
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Paths {
    One(String),
    Many(Vec<String>),
}

impl CardConfig {
    pub(super) fn name(&self) -> &str {
        &self.config_name
    }

    pub(super) fn data_dir(&self) -> Option<&str> {
        self.data_dir.as_deref()
    }

    /// Returns true for the configuration that is read if none is named.
    pub(super) fn is_default(&self) -> bool {
        self.default || self.config_name == "default"
    }

    /// Returns pairs of a split and a pattern. A pattern without a split belongs to `train`.
    pub(super) fn patterns(&self) -> Vec<(&str, &str)> {
        match &self.data_files {
            None => Vec::new(),
            Some(Files::Path(path)) => vec![("train", path)],
            Some(Files::List(items)) => items.iter().flat_map(Item::patterns).collect(),
        }
    }
}

impl Item {
    fn patterns(&self) -> Vec<(&str, &str)> {
        match self {
            Self::Path(path) => vec![("train", path)],
            Self::Split { split, path } => match path {
                Paths::One(path) => vec![(split, path)],
                Paths::Many(paths) => paths.iter().map(|path| (&**split, &**path)).collect(),
            },
        }
    }
}

/// Returns the configurations in the card of a folder. A folder without a card has none.
///
/// # Errors
/// The card cannot be read, or its front matter is not what `datasets` writes.
pub(super) fn configs(folder: &Path) -> Result<Vec<CardConfig>, DataError> {
    let path = folder.join("README.md");
    let long = path.metadata().is_ok_and(|known| known.len() > LARGEST);
    let read = match long {
        true => Err(std::io::Error::from(ErrorKind::FileTooLarge)),
        false => std::fs::read(&path),
    };
    let text = match read {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(DataError::Io {
                path,
                what: "the card cannot be read".to_owned(),
                source,
            });
        }
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
    };
    let Some(front) = front_matter(&text) else {
        return Ok(Vec::new());
    };
    let card: Option<Card> = serde_saphyr::from_str(front).map_err(|error| {
        let said = error.to_string();
        let first = said.lines().next().unwrap_or_default();
        DataError::Format {
            path,
            what: format!(
                "the front matter cannot be read ({first}): repair `configs`, or name the files by a \
                 pattern"
            ),
        }
    })?;
    Ok(card.and_then(|card| card.configs).unwrap_or_default())
}

/// Returns the text between the first two lines of three dashes.
fn front_matter(text: &str) -> Option<&str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let rest = text.strip_prefix("---")?;
    let rest = rest.strip_prefix('\r').unwrap_or(rest).strip_prefix('\n')?;
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return Some(&rest[..at]);
        }
        at += line.len();
    }
    None
}
