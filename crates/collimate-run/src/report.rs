//! `report.md`, with its plots.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use collimate_files::atomic_write;

use crate::{Plot, RunError};

/// A report in Markdown, built from top to bottom.
///
/// # Examples
/// ```
/// use collimate_run::Report;
/// # fn main() -> Result<(), collimate_run::RunError> {
/// # let folder = tempfile::tempdir().unwrap();
/// let report = Report::new("SER on a small model")
///     .section("Accuracy")
///     .text("On held-out pairs.")
///     .table(["loop", "accuracy"], [["0", "0.62"], ["1", "0.71"]]);
/// let path = report.write(folder.path())?;
/// assert!(std::fs::read_to_string(path).unwrap().contains("| 1    | 0.71     |"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Report {
    text: String,
    plots: Vec<(String, Plot)>,
}

impl Report {
    /// An empty report.
    pub fn new(title: &str) -> Self {
        Self {
            text: format!("# {title}\n"),
            plots: Vec::new(),
        }
    }

    /// Starts a section.
    #[must_use]
    pub fn section(self, heading: &str) -> Self {
        self.block(&format!("## {heading}"))
    }

    /// Adds a paragraph (Markdown).
    #[must_use]
    pub fn text(self, paragraph: &str) -> Self {
        self.block(paragraph)
    }

    /// Adds a table; a short row is filled up with empty cells.
    #[must_use]
    pub fn table<H, R, C, D>(self, header: H, rows: R) -> Self
    where
        H: IntoIterator<Item = C>,
        C: AsRef<str>,
        R: IntoIterator,
        R::Item: IntoIterator<Item = D>,
        D: AsRef<str>,
    {
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        let mut table: Vec<Vec<String>> =
            vec![header.into_iter().map(|text| cell(text.as_ref())).collect()];
        let rows = rows.into_iter();
        table.extend(rows.map(|row| row.into_iter().map(|text| cell(text.as_ref())).collect()));
        let columns = table.iter().map(Vec::len).max().unwrap_or(0);
        table
            .iter_mut()
            .for_each(|row| row.resize(columns, String::new()));
        let width = |column: usize| {
            let cells = table.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        table.insert(1, widths.iter().map(|&width| "-".repeat(width)).collect());
        let lines = table.iter().map(|row| {
            let mut line = "|".to_owned();
            for (text, &width) in row.iter().zip(&widths) {
                let fill = " ".repeat(width - text.chars().count());
                let _ = write!(line, " {text}{fill} |");
            }
            line
        });
        let lines: Vec<String> = lines.collect();
        self.block(&lines.join("\n"))
    }

    /// Adds a plot, written as `plots/NAME.svg` and `plots/NAME.png`, with a caption below it.
    #[must_use]
    pub fn figure(mut self, name: &str, plot: impl Into<Plot>, caption: &str) -> Self {
        let plot = plot.into();
        let image = format!("![{}](plots/{name}.svg)", plot.title());
        self.plots.push((name.to_owned(), plot));
        self.block(&image).block(caption)
    }

    /// The Markdown.
    pub fn as_markdown(&self) -> &str {
        &self.text
    }

    /// Writes the plots and `report.md` into `folder`.
    ///
    /// # Errors
    /// When a plot has nothing to draw or a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, RunError> {
        if !self.plots.is_empty() {
            let plots = folder.join("plots");
            fs::create_dir_all(&plots).map_err(RunError::io(&plots))?;
            for (name, plot) in &self.plots {
                plot.write(&plots.join(name))?;
            }
        }
        let path = folder.join("report.md");
        atomic_write(&path, self.text.as_bytes())?;
        Ok(path)
    }

    fn block(mut self, block: &str) -> Self {
        if !block.is_empty() {
            let _ = write!(self.text, "\n{block}\n");
        }
        self
    }
}
