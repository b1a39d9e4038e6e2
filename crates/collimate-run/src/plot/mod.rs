//! Plots as SVG and PNG.

mod bars;
mod frame;
mod histogram;
mod line;

use std::path::{Path, PathBuf};

use collimate_files::{UNFINISHED, atomic_write};
use plotters::prelude::*;

use crate::RunError;

pub use bars::{BarChart, BarSeries};
pub use histogram::Histogram;
pub use line::{LineChart, LineSeries};

/// Width and height of a plot, in SVG units; the PNG has twice as many pixels.
const SIZE: (u32, u32) = (800, 480);
const PNG_SCALE: u32 = 2;

/// A plot.
///
/// # Examples
/// ```
/// use collimate_run::{LineChart, LineSeries, Plot};
/// # fn main() -> Result<(), collimate_run::RunError> {
/// # let folder = tempfile::tempdir().unwrap();
/// let chart = LineChart::new("Held-out loss", "step", "loss")
///     .with(LineSeries::new("seed 1", vec![(0.0, 0.69), (100.0, 0.52), (200.0, 0.47)]));
/// let [svg, png] = Plot::from(chart).write(&folder.path().join("loss"))?;
/// assert!(svg.ends_with("loss.svg") && png.ends_with("loss.png"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Plot {
    /// Lines over a numeric axis.
    Line(LineChart),
    /// Groups of bars.
    Bars(BarChart),
    /// Distributions drawn over each other.
    Histogram(Histogram),
}

impl From<LineChart> for Plot {
    fn from(chart: LineChart) -> Self {
        Self::Line(chart)
    }
}

impl From<BarChart> for Plot {
    fn from(chart: BarChart) -> Self {
        Self::Bars(chart)
    }
}

impl From<Histogram> for Plot {
    fn from(chart: Histogram) -> Self {
        Self::Histogram(chart)
    }
}

impl Plot {
    /// Returns the title.
    pub fn title(&self) -> &str {
        match self {
            Self::Line(chart) => &chart.title,
            Self::Bars(chart) => &chart.title,
            Self::Histogram(chart) => &chart.title,
        }
    }

    /// Returns the plot as the text of an SVG file.
    ///
    /// # Errors
    /// If there is nothing finite to draw.
    pub fn to_svg(&self) -> Result<String, RunError> {
        frame::register_fonts();
        let mut text = String::new();
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        self.draw(&root, 1.0)
            .map_err(|reason| self.failed(reason))?;
        drop(root);
        Ok(text)
    }

    fn failed(&self, reason: String) -> RunError {
        RunError::Plot {
            name: self.title().to_owned(),
            reason,
        }
    }

    /// Writes `STEM.svg` and `STEM.png`. Each file is written in full or not at all.
    ///
    /// # Errors
    /// If there is nothing finite to draw, or a file cannot be written.
    pub fn write(&self, stem: &Path) -> Result<[PathBuf; 2], RunError> {
        let with = |extension: &str| {
            let name = stem.file_name().unwrap_or_default().to_string_lossy();
            stem.with_file_name(format!("{name}.{extension}"))
        };
        let (svg, png) = (with("svg"), with("png"));
        atomic_write(&svg, self.to_svg()?.as_bytes())?;
        // The encoder is chosen by the extension, so the unfinished file has it too.
        let unfinished = png.with_file_name(format!("{UNFINISHED}{}.png", std::process::id()));
        let size = (SIZE.0 * PNG_SCALE, SIZE.1 * PNG_SCALE);
        let root = BitMapBackend::new(&unfinished, size).into_drawing_area();
        let drawn = self
            .draw(&root, f64::from(PNG_SCALE))
            .map_err(|reason| self.failed(reason));
        drop(root);
        drawn
            .and_then(|()| std::fs::rename(&unfinished, &png).map_err(RunError::io(&png)))
            .inspect_err(|_| {
                // Only the first error is reported.
                let _ = std::fs::remove_file(&unfinished);
            })?;
        Ok([svg, png])
    }

    fn draw<DB: DrawingBackend>(&self, root: &frame::Area<DB>, scale: f64) -> Result<(), String>
    where
        DB::ErrorType: 'static,
    {
        match self {
            Self::Line(chart) => chart.draw(root, scale),
            Self::Bars(chart) => chart.draw(root, scale),
            Self::Histogram(chart) => chart.draw(root, scale),
        }?;
        root.present().map_err(|error| error.to_string())
    }
}
