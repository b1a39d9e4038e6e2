//! The metrics of a finished training, read from its files.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

/// A metric over the epochs of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedMetric {
    /// `train` or `valid`.
    pub split: &'static str,
    /// Name of the metric, as Burn names its file.
    pub name: String,
    /// The value of each epoch.
    pub epochs: Vec<f64>,
}

impl fmt::Display for LoggedMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<6} {:<20}", self.split, self.name)?;
        let mut epochs = self.epochs.iter();
        epochs.try_for_each(|value| write!(f, "{value:9.3}"))
    }
}

/// Reads the metrics that a finished training has logged in its folder, one file per epoch and metric,
/// sorted by name. Burn's own summary reads the files while they are still written.
///
/// # Errors
/// A file that cannot be read, or that does not end with a number.
pub fn logged_metrics(folder: &Path) -> io::Result<Vec<LoggedMetric>> {
    let mut metrics = Vec::new();
    for split in ["train", "valid"] {
        let epoch = |number: usize| folder.join(split).join(format!("epoch-{number}"));
        let mut files = fs::read_dir(epoch(1))?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        files.sort();
        for file in files {
            let paths = (1..).map(|number| epoch(number).join(&file));
            let epochs = paths
                .take_while(|path| path.exists())
                .map(|path| last_value(&path))
                .collect::<io::Result<_>>()?;
            let name = Path::new(&file).with_extension("").display().to_string();
            metrics.push(LoggedMetric {
                split,
                name,
                epochs,
            });
        }
    }
    Ok(metrics)
}

/// The number at the beginning of a file's last line: the value of the whole epoch.
fn last_value(path: &Path) -> io::Result<f64> {
    let text = fs::read_to_string(path)?;
    let last = text.trim_end().lines().last().unwrap_or_default();
    let value = last.split(',').next().unwrap_or_default();
    let wrong = |error| io::Error::other(format!("{}: {value:?}: {error}", path.display()));
    value.parse().map_err(wrong)
}
