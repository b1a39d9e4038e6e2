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
        epochs.try_for_each(|value| match value.abs() < 0.01 && *value != 0.0 {
            true => write!(f, "{value:9.1e}"),
            false => write!(f, "{value:9.3}"),
        })
    }
}

/// Reads the metrics that a finished training has logged in its folder, one file per epoch and metric,
/// sorted by name. Burn's own summary reads the files while they are still written.
///
/// A metric whose file does not end with a number is left out: some metrics of Burn log texts. Begin a
/// training in an empty folder, because Burn leaves the files of later epochs of an earlier training.
///
/// # Errors
/// If a folder or a file cannot be read.
pub fn logged_metrics(folder: &Path) -> io::Result<Vec<LoggedMetric>> {
    let mut metrics = Vec::new();
    for split in ["train", "valid"] {
        let epoch = |number: usize| folder.join(split).join(format!("epoch-{number}"));
        let first = epoch(1);
        let mut files = fs::read_dir(&first)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", first.display())))?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        files.sort();
        for file in files {
            let paths = (1..).map(|number| epoch(number).join(&file));
            let epochs = paths
                .take_while(|path| path.exists())
                .map(|path| last_value(&path))
                .collect::<io::Result<Option<Vec<f64>>>>()?;
            let Some(epochs) = epochs else {
                continue;
            };
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

/// Returns the number at the beginning of a file's last line, the value of the whole epoch, if it is a
/// number.
fn last_value(path: &Path) -> io::Result<Option<f64>> {
    let text = fs::read(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    let text = String::from_utf8_lossy(&text);
    let last = text.trim_end().lines().last().unwrap_or_default();
    let value = last.split(',').next().unwrap_or_default();
    Ok(value.parse().ok())
}
