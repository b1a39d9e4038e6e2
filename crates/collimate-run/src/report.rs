//! The files `report.md` and `report.html` with their plots.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use collimate_files::atomic_write;
use minijinja::value::{Serde, Value};
use serde::Serialize;

use crate::{Plot, RunError, html, markdown, template};

/// File name of a report.
const REPORT: &str = "report.md";

/// Plots of a report, each with the stem of its file names.
pub type Figures = Vec<(String, Plot)>;

/// Templates of reports: Markdown files with expressions in the language of
/// [Jinja](https://docs.rs/minijinja/latest/minijinja/syntax/).
///
/// A template that reads an undefined value is an error, so a test that renders a template finds
/// every misspelt name. A null is written as a dash. The columns of tables are aligned afterwards.
///
/// | filter or function | `0.7123` becomes |
/// |---|---|
/// | `number(2)`, `number` | 0.71, 0.7123 |
/// | `signed(2)` | +0.71 |
/// | `percent`, `percent(0)` | 71.2 %, 71 % |
/// | `signed_percent`, `points` | +71 %, +71.2 |
/// | `scientific(1)`, `scientific` | 7.1e-1, 7.123e-1 |
/// | `interval` | an object with `estimate`, `low` and `high`: 0.712 (0.690 – 0.735) |
/// | `shorten(400)` | a text in one line, cut after this number of characters |
/// | `quote` | a text as a block quote, with the characters of Markdown escaped |
/// | `figure(name, caption)` | the plot of this name with a caption below it; nothing if there is no such plot |
///
/// Texts are escaped for the cells of tables. The filter `safe` leaves Markdown unchanged.
///
/// # Examples
/// ```
/// use collimate_run::Templates;
///
/// const LOOPS: &str = "# {{ title }}
///
/// | loop | accuracy |
/// |---|---|
/// {% for share in shares %}
/// | {{ loop.index0 }} | {{ share | percent }} |
/// {% endfor %}
/// ";
/// const TEMPLATES: Templates = Templates::new(&[("loops.md", LOOPS)]);
///
/// # fn main() -> Result<(), collimate_run::RunError> {
/// let values = serde_json::json!({"title": "A small model", "shares": [0.62, 0.71]});
/// let report = TEMPLATES.render("loops.md", &values, Vec::new())?;
/// assert!(report.as_markdown().contains("| 1    | 71.0 %   |"));
///
/// let nothing = serde_json::json!({});
/// let error = TEMPLATES.render("loops.md", &nothing, Vec::new()).unwrap_err();
/// assert!(error.to_string().starts_with("report template loops.md, line 1: undefined value"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Templates {
    files: &'static [(&'static str, &'static str)],
}

impl Templates {
    /// Takes file names and texts. A template may include or import the others.
    pub const fn new(files: &'static [(&'static str, &'static str)]) -> Self {
        Self { files }
    }

    /// Renders the template `name`.
    ///
    /// # Errors
    /// [`RunError::Template`] if the template does not exist, cannot be parsed, reads an absent
    /// value, or does not show one of the figures.
    pub fn render(
        &self,
        name: &str,
        values: &impl Serialize,
        figures: Figures,
    ) -> Result<Report, RunError> {
        let titles = figures.iter();
        let titles = titles.map(|(name, plot)| (name.clone(), plot.title().to_owned()));
        let values = Value::from(Serde(values));
        let text = template::render(self.files, name, values, titles.collect())
            .map_err(|error| RunError::template(name, &error))?;
        let text = markdown::tidy(&text);
        let hidden = |(figure, _): &&(String, Plot)| !text.contains(&image_path(figure));
        match figures.iter().find(hidden) {
            Some((figure, _)) => Err(RunError::Template {
                place: name.to_owned(),
                reason: format!("the figure {figure} is not shown"),
            }),
            None => Ok(Report { text, figures }),
        }
    }
}

/// Returns the path of an image, in the form that a report links to.
pub(crate) fn image_path(figure: &str) -> String {
    format!("({})", svg_path(figure))
}

/// Returns the path of a plot beside a report.
fn svg_path(figure: &str) -> String {
    format!("plots/{figure}.svg")
}

/// A rendered report.
#[derive(Debug, Clone)]
pub struct Report {
    text: String,
    figures: Figures,
}

impl Report {
    /// Returns the Markdown.
    pub fn as_markdown(&self) -> &str {
        &self.text
    }

    /// Returns the Markdown and the figures, to be included in another report.
    pub fn into_parts(self) -> (String, Figures) {
        (self.text, self.figures)
    }

    /// Returns the report as an HTML page that holds the plots and needs no other file. A click on the
    /// head of a column sorts a table.
    ///
    /// # Errors
    /// If a plot has nothing to draw.
    pub fn to_html(&self) -> Result<String, RunError> {
        let mut figures = BTreeMap::new();
        for (name, plot) in &self.figures {
            figures.insert(svg_path(name), plot.to_svg()?);
        }
        html::page(&self.text, &figures)
    }

    /// Writes the plots, `report.md` and `report.html` into `folder`. Returns the path of `report.md`.
    ///
    /// # Errors
    /// If a plot has nothing to draw or a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, RunError> {
        self.write_as(folder, REPORT)
    }

    /// Writes the plots, and the text under the given name instead of `report.md`. If the name ends in
    /// `.md`, a page with the ending `.html` is written too.
    ///
    /// # Errors
    /// As [`Report::write`].
    pub fn write_as(&self, folder: &Path, name: &str) -> Result<PathBuf, RunError> {
        if !self.figures.is_empty() {
            let plots = folder.join("plots");
            fs::create_dir_all(&plots).map_err(RunError::io(&plots))?;
            for (name, plot) in &self.figures {
                plot.write(&plots.join(name))?;
            }
        }
        let path = folder.join(name);
        if path.extension().is_some_and(|ending| ending == "md") {
            let page = self.to_html()?;
            atomic_write(&path.with_extension("html"), page.as_bytes())?;
        }
        atomic_write(&path, self.text.as_bytes())?;
        Ok(path)
    }
}
