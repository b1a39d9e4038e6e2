//! Histograms that show several distributions in one plot.

use plotters::prelude::*;

use super::frame::{Area, Frame, Style, around, colour, extent, show};

/// Distributions drawn over each other. All use the same bins, and each is shown as shares of its
/// own count.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// The title.
    pub title: String,
    /// Label of the values that are counted.
    pub x_label: String,
    /// Names and values of the distributions. Values that are not finite are left out.
    pub series: Vec<(String, Vec<f64>)>,
    /// Number of bins; if absent, chosen from the data.
    pub bins: Option<usize>,
}

impl Histogram {
    /// Creates a histogram without data.
    pub fn new(title: impl Into<String>, x_label: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            x_label: x_label.into(),
            series: Vec::new(),
            bins: None,
        }
    }

    /// Adds a distribution.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, values: Vec<f64>) -> Self {
        self.series.push((name.into(), values));
        self
    }

    pub(super) fn draw<DB: DrawingBackend>(&self, root: &Area<DB>, scale: f64) -> Result<(), String>
    where
        DB::ErrorType: 'static,
    {
        let style = Style { scale };
        let values = || self.series.iter().flat_map(|s| s.1.iter().copied());
        let (low, high) = extent(values()).ok_or("there is no finite value to draw")?;
        let count = self.bins.unwrap_or_else(|| bins(values().count())).max(1);
        let x = if high > low {
            low..high
        } else {
            around((low, high))
        };
        let shares: Vec<Vec<f64>> = self
            .series
            .iter()
            .map(|s| shares(&s.1, x.start, x.end, count))
            .collect();
        let most = shares.iter().flatten().copied().fold(0.0, f64::max);
        let edge = |bin: usize| x.start + (x.end - x.start) * bin as f64 / count as f64;
        let frame = Frame {
            title: &self.title,
            x_label: &self.x_label,
            y_label: "share",
            names: self.series.iter().map(|s| s.0.as_str()).collect(),
            x: x.clone(),
            y: 0.0..most * 1.05,
            x_labels: 10,
            x_room: 46.0,
        };
        let mut chart = frame.draw(root, style)?;
        for (index, shares) in shares.iter().enumerate() {
            let steps = shares.iter().enumerate();
            let steps =
                steps.flat_map(|(bin, &share)| [(edge(bin), share), (edge(bin + 1), share)]);
            // The outline keeps both distributions readable if they overlap.
            let area = AreaSeries::new(steps, 0.0, colour(index).mix(0.35))
                .border_style(colour(index).stroke_width(style.stroke(1.5)));
            chart.draw_series(area).map_err(show)?;
        }
        Ok(())
    }
}

/// Returns the number of bins by the rule of Rice, 2·∛n, limited to 5 to 60 so that bins can be
/// told apart.
fn bins(values: usize) -> usize {
    ((2.0 * (values as f64).cbrt()).ceil() as usize).clamp(5, 60)
}

fn shares(values: &[f64], low: f64, high: f64, count: usize) -> Vec<f64> {
    let mut shares = vec![0.0; count];
    let finite = || values.iter().filter(|value| value.is_finite());
    let one = 1.0 / finite().count().max(1) as f64;
    for value in finite() {
        let bin = ((value - low) / (high - low) * count as f64) as usize;
        shares[bin.min(count - 1)] += one;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_one_and_the_largest_value_is_in_the_last_bin() {
        let shares = shares(&[0.0, 0.1, 1.0, f64::NAN], 0.0, 1.0, 4);
        let third = 1.0 / 3.0;
        assert_eq!(shares, [2.0 * third, 0.0, 0.0, third]);
    }
}
