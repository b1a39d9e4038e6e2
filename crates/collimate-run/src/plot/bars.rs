//! Groups of bars.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::frame::{AXIS, Area, Chart, Frame, Style, around, colour, extent, fit_text, show};

/// The bars of one colour, one in each group.
#[derive(Debug, Clone, PartialEq)]
pub struct BarSeries {
    /// Name in the legend.
    pub name: String,
    /// One value per group. A value that is not finite leaves a gap.
    pub values: Vec<f64>,
    /// Interval `(low, high)` of each value; empty if there are no intervals.
    pub intervals: Vec<(f64, f64)>,
}

impl BarSeries {
    /// Creates bars without intervals.
    pub fn new(name: impl Into<String>, values: Vec<f64>) -> Self {
        Self {
            name: name.into(),
            values,
            intervals: Vec::new(),
        }
    }

    /// Adds an interval to each bar.
    #[must_use]
    pub fn with_intervals(mut self, intervals: Vec<(f64, f64)>) -> Self {
        self.intervals = intervals;
        self
    }
}

/// Groups of bars that start at zero.
#[derive(Debug, Clone, PartialEq)]
pub struct BarChart {
    /// The title.
    pub title: String,
    /// Label of the groups.
    pub x_label: String,
    /// Label of the bars' heights.
    pub y_label: String,
    /// Names of the groups.
    pub groups: Vec<String>,
    /// The bars.
    pub series: Vec<BarSeries>,
}

/// Maximum number of bars in a chart that writes its values on the bars.
const NUMBERED: usize = 16;
/// Approximate number of letters that fit below the axis.
const LETTERS: usize = 90;
/// Height of a line of a group's name, in units.
const ROW: f64 = 15.0;
/// Share of a group's width that the bars take.
const FILL: f64 = 0.76;

impl BarChart {
    /// Creates a chart without bars.
    pub fn new(
        title: impl Into<String>,
        x_label: impl Into<String>,
        y_label: impl Into<String>,
        groups: Vec<String>,
    ) -> Self {
        Self {
            title: title.into(),
            x_label: x_label.into(),
            y_label: y_label.into(),
            groups,
            series: Vec::new(),
        }
    }

    /// Adds bars.
    #[must_use]
    pub fn with(mut self, series: BarSeries) -> Self {
        self.series.push(series);
        self
    }

    /// Splits a group's name into two lines if it is too long for one.
    fn lines<'a>(&self, name: &'a str) -> Vec<&'a str> {
        let long = name.chars().count() * self.groups.len() > LETTERS;
        let middle = name.len() / 2;
        let spaces = name.match_indices(' ').map(|(at, _)| at);
        match spaces.min_by_key(|at| at.abs_diff(middle)).filter(|_| long) {
            Some(at) => vec![&name[..at], &name[at + 1..]],
            None => vec![name],
        }
    }

    fn check(&self) -> Result<(f64, f64), String> {
        for series in &self.series {
            let (values, intervals) = (series.values.len(), series.intervals.len());
            let groups = self.groups.len();
            if values != groups || (intervals != 0 && intervals != groups) {
                return Err(format!(
                    "series {} has {values} values and {intervals} intervals for {groups} groups",
                    series.name
                ));
            }
        }
        let values = self.series.iter().flat_map(|s| s.values.iter().copied());
        let ends = self
            .series
            .iter()
            .flat_map(|s| s.intervals.iter().flat_map(|i| [i.0, i.1]));
        let extent = extent(values.chain(ends)).ok_or("there is no finite value to draw")?;
        Ok((extent.0.min(0.0), extent.1.max(0.0)))
    }

    pub(super) fn draw<DB: DrawingBackend>(&self, root: &Area<DB>, scale: f64) -> Result<(), String>
    where
        DB::ErrorType: 'static,
    {
        let style = Style { scale };
        let (low, high) = self.check()?;
        let bars = self.groups.len() * self.series.len();
        let room = around((low, high));
        let wrapped = self.groups.iter().any(|name| self.lines(name).len() > 1);
        let frame = Frame {
            title: &self.title,
            x_label: &self.x_label,
            y_label: &self.y_label,
            names: self.series.iter().map(|s| s.name.as_str()).collect(),
            x: 0.0..self.groups.len() as f64,
            // Bars start at the axis, with room beyond their ends for the numbers.
            y: if low < 0.0 { room.start } else { 0.0 }..room.end,
            x_labels: 0,
            x_room: 46.0 + if wrapped { ROW } else { 0.0 },
        };
        let mut chart = frame.draw(root, style)?;
        if low < 0.0 {
            let zero = vec![(frame.x.start, 0.0), (frame.x.end, 0.0)];
            let zero = PathElement::new(zero, AXIS.stroke_width(style.stroke(1.0)));
            chart.draw_series([zero]).map_err(show)?;
        }
        let width = FILL / self.series.len() as f64;
        for (index, series) in self.series.iter().enumerate() {
            let bar = |group: usize| group as f64 + (1.0 - FILL) / 2.0 + index as f64 * width;
            for (group, &value) in series.values.iter().enumerate() {
                if !value.is_finite() {
                    continue;
                }
                let (left, right) = (bar(group) + 0.03 * width, bar(group) + 0.97 * width);
                let shape = Rectangle::new([(left, 0.0), (right, value)], colour(index).filled());
                chart.draw_series([shape]).map_err(show)?;
                let middle = (left + right) / 2.0;
                let interval = series
                    .intervals
                    .get(group)
                    .filter(|i| (i.1 - i.0).is_finite());
                if let Some(&(from, to)) = interval {
                    whisker(root, &chart, (middle, from, to), style)?;
                }
                if bars <= NUMBERED {
                    let top = interval.map_or(value, |i| i.1).max(value).max(0.0);
                    let (x, y) = chart.backend_coord(&(middle, top));
                    let room =
                        chart.backend_coord(&(right, 0.0)).0 - chart.backend_coord(&(left, 0.0)).0;
                    let text = number(value);
                    let font = fit_text(root, &text, room, style, 13.0)?
                        .pos(Pos::new(HPos::Center, VPos::Bottom));
                    root.draw(&Text::new(text, (x, y - style.px(4.0)), font))
                        .map_err(show)?;
                }
            }
        }
        for (group, name) in self.groups.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(group as f64 + 0.5, frame.y.start));
            let slot = chart.backend_coord(&(group as f64 + 1.0, 0.0)).0
                - chart.backend_coord(&(group as f64, 0.0)).0;
            for (row, line) in self.lines(name).into_iter().enumerate() {
                let font = fit_text(root, line, slot - style.px(6.0), style, 13.0)?
                    .pos(Pos::new(HPos::Center, VPos::Top));
                let at = (x, y + style.px(8.0 + ROW * row as f64));
                root.draw(&Text::new(line.to_owned(), at, font))
                    .map_err(show)?;
            }
        }
        Ok(())
    }
}

/// Draws an interval: a line with a short bar at each end.
fn whisker<DB: DrawingBackend>(
    root: &Area<DB>,
    chart: &Chart<'_, DB>,
    (x, from, to): (f64, f64, f64),
    style: Style,
) -> Result<(), String>
where
    DB::ErrorType: 'static,
{
    let stroke = RGBColor(40, 40, 40).stroke_width(style.stroke(1.5));
    let (low, high) = (
        chart.backend_coord(&(x, from)),
        chart.backend_coord(&(x, to)),
    );
    root.draw(&PathElement::new([low, high], stroke))
        .map_err(show)?;
    let half = style.px(5.0);
    for (x, y) in [low, high] {
        let cap = PathElement::new([(x - half, y), (x + half, y)], stroke);
        root.draw(&cap).map_err(show)?;
    }
    Ok(())
}

/// Writes a number with three significant digits, and a whole number, such as a count, without a
/// point.
fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e6 {
        // Zero has no sign.
        return format!("{:.0}", value + 0.0);
    }
    let whole = value.abs().max(1e-12).log10().floor() as i32;
    let decimals = (2 - whole).clamp(0, 4) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(
            [0.6178, 12.34, -3.0, 123456.0, 0.0].map(number),
            ["0.618", "12.3", "-3", "123456", "0"]
        );
    }
}
