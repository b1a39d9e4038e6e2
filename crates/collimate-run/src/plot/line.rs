//! Lines over a numeric axis.

use plotters::prelude::{Color, DrawingBackend};
use plotters::series;

use super::frame::{Area, Frame, Style, around, colour, extent, show};

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct LineSeries {
    /// Name in the legend.
    pub name: String,
    /// Points from left to right. A point that is not finite leaves a gap.
    pub points: Vec<(f64, f64)>,
}

impl LineSeries {
    /// Creates a line.
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self {
            name: name.into(),
            points,
        }
    }
}

/// Lines over a numeric axis.
#[derive(Debug, Clone, PartialEq)]
pub struct LineChart {
    /// The title.
    pub title: String,
    /// Label of the x axis.
    pub x_label: String,
    /// Label of the y axis.
    pub y_label: String,
    /// The lines.
    pub series: Vec<LineSeries>,
    /// Ends of the y axis; if absent, the data decides.
    pub y_range: Option<(f64, f64)>,
}

/// Maximum number of points of a line that shows each point.
const MARKED: usize = 40;

/// Maximum number of points that a line is drawn with; a plot is 800 units wide.
const DRAWN: usize = 2000;

/// Returns at most [`DRAWN`] points of a line that look like all: the lowest and the highest of each
/// part, in order.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= DRAWN {
        return points.to_vec();
    }
    let size = points.len().div_ceil(DRAWN / 2);
    let mut drawn = Vec::with_capacity(DRAWN);
    for part in points.chunks(size) {
        let by_height = |a: &usize, b: &usize| part[*a].1.total_cmp(&part[*b].1);
        let low = (0..part.len()).min_by(by_height).unwrap_or(0);
        let high = (0..part.len()).max_by(by_height).unwrap_or(0);
        drawn.push(part[low.min(high)]);
        if low != high {
            drawn.push(part[low.max(high)]);
        }
    }
    drawn
}

impl LineChart {
    /// Creates a chart without lines.
    pub fn new(
        title: impl Into<String>,
        x_label: impl Into<String>,
        y_label: impl Into<String>,
    ) -> Self {
        Self {
            title: title.into(),
            x_label: x_label.into(),
            y_label: y_label.into(),
            series: Vec::new(),
            y_range: None,
        }
    }

    /// Adds a line.
    #[must_use]
    pub fn with(mut self, series: LineSeries) -> Self {
        self.series.push(series);
        self
    }

    /// Sets the ends of the y axis.
    #[must_use]
    pub fn with_y_range(mut self, low: f64, high: f64) -> Self {
        self.y_range = Some((low, high));
        self
    }

    pub(super) fn draw<DB: DrawingBackend>(&self, root: &Area<DB>, scale: f64) -> Result<(), String>
    where
        DB::ErrorType: 'static,
    {
        let style = Style { scale };
        let finite = |&&(x, y): &&(f64, f64)| x.is_finite() && y.is_finite();
        let points = || {
            self.series
                .iter()
                .flat_map(|s| s.points.iter().filter(finite))
        };
        let nothing = "there is no finite point to draw";
        let (left, right) = extent(points().map(|p| p.0)).ok_or(nothing)?;
        let (low, high) = extent(points().map(|p| p.1)).ok_or(nothing)?;
        // If all x values are whole numbers, such as steps or loops, only whole numbers get a
        // label.
        let x_labels = match points().all(|p| p.0.fract() == 0.0) {
            true => (right - left).clamp(1.0, 9.0) as usize + 1,
            false => 10,
        };
        let y = match self.y_range {
            Some((low, high)) if low < high => low..high,
            _ => around((low, high)),
        };
        let frame = Frame {
            title: &self.title,
            x_label: &self.x_label,
            y_label: &self.y_label,
            names: self.series.iter().map(|s| s.name.as_str()).collect(),
            x: around((left, right)),
            y,
            x_labels,
            x_room: 46.0,
        };
        let mut chart = frame.draw(root, style)?;
        for (index, series) in self.series.iter().enumerate() {
            let stroke = colour(index).stroke_width(style.stroke(2.0)).filled();
            let marked = series.points.len() <= MARKED;
            let radius = if marked { style.stroke(3.5) } else { 0 };
            for run in series.points.split(|point| !finite(&point)) {
                let line = series::LineSeries::new(thinned(run), stroke).point_size(radius);
                chart.draw_series(line).map_err(show)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_keeps_its_peaks() {
        let mut points: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i), 0.0)).collect();
        points[54_321].1 = 9.0;
        points[54_322].1 = -9.0;
        let drawn = thinned(&points);
        assert!(drawn.len() <= DRAWN, "{}", drawn.len());
        assert!(drawn.contains(&(54_321.0, 9.0)) && drawn.contains(&(54_322.0, -9.0)));
        assert!(drawn.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(thinned(&points[..50]), points[..50]);
    }
}
