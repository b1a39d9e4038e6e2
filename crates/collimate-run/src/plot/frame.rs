//! Shared parts of all plots: fonts, colours, title, legend and axes.

use std::ops::Range;
use std::sync::Once;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::data::float::pretty_print_float;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

pub(super) type Area<DB> = DrawingArea<DB, Shift>;

/// The colours of Okabe and Ito that are visible on white. Colour-blind readers can tell them
/// apart.
const PALETTE: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(60, 60, 60),
];
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);
pub(super) const AXIS: RGBColor = RGBColor(130, 130, 130);

/// Downward shift of text, in units. Text is centred by the box of its line, whose lower part, for
/// descenders, is mostly empty.
const NUDGE: f64 = 2.0;

/// Returns the colour of a series. From the eighth series on, the colours repeat in a darker shade.
pub(super) fn colour(index: usize) -> RGBColor {
    let RGBColor(red, green, blue) = PALETTE[index % PALETTE.len()];
    let dark = |part: u8| (f64::from(part) * 0.55f64.powi((index / PALETTE.len()) as i32)) as u8;
    RGBColor(dark(red), dark(green), dark(blue))
}

/// Registers the font for bitmaps. An SVG viewer uses its own sans-serif font.
pub(super) fn register_fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let bytes = epaint_default_fonts::UBUNTU_LIGHT;
        // The only possible error is a broken font, and this font is part of the program.
        let _ = register_font("sans-serif", FontStyle::Normal, bytes);
    });
}

/// Scale of one output, in pixels per unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) scale: f64,
}

impl Style {
    pub(super) fn px(self, units: f64) -> i32 {
        (units * self.scale).round() as i32
    }

    pub(super) fn stroke(self, units: f64) -> u32 {
        self.px(units).max(1) as u32
    }

    pub(super) fn text(self, size: f64) -> TextStyle<'static> {
        ("sans-serif", size * self.scale).into_font().color(&INK)
    }
}

pub(super) fn show<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> String {
    error.to_string()
}

/// The parts of a plot around the data.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    pub(super) x_label: &'a str,
    pub(super) y_label: &'a str,
    /// Names of the series, in the order of their colours.
    pub(super) names: Vec<&'a str>,
    pub(super) x: Range<f64>,
    pub(super) y: Range<f64>,
    /// Maximum number of labels on the x axis. If it is 0, the caller writes below the axis.
    pub(super) x_labels: usize,
    /// Height below the x axis, in units.
    pub(super) x_room: f64,
}

pub(super) type Chart<'a, DB> = ChartContext<'a, DB, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

impl Frame<'_> {
    /// Draws the frame and returns the chart to draw into.
    pub(super) fn draw<'d, DB: DrawingBackend>(
        &self,
        root: &'d Area<DB>,
        style: Style,
    ) -> Result<Chart<'d, DB>, String>
    where
        DB::ErrorType: 'static,
    {
        root.fill(&WHITE).map_err(show)?;
        let width = root.dim_in_pixel().0 as i32;
        let margin = style.px(16.0);
        let title = fit_text(root, self.title, width - 2 * margin, style, 20.0)?;
        let right = margin + self.legend(root, style)?;
        let mut chart = ChartBuilder::on(root)
            .caption(self.title, title)
            .margin(margin)
            .margin_right(right)
            .x_label_area_size(style.px(self.x_room))
            .y_label_area_size(style.px(64.0))
            .build_cartesian_2d(self.x.clone(), self.y.clone())
            .map_err(show)?;
        let x_label = label(&self.x);
        let y_label = label(&self.y);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .max_light_lines(0)
            .x_labels(self.x_labels)
            .y_labels(8)
            .y_label_offset(style.px(NUDGE))
            .x_label_formatter(&x_label)
            .y_label_formatter(&y_label)
            .x_desc(self.x_label)
            .y_desc(self.y_label)
            .label_style(style.text(13.0))
            .axis_desc_style(style.text(15.0))
            .bold_line_style(GRID.stroke_width(style.stroke(1.0)))
            .axis_style(AXIS.stroke_width(style.stroke(1.0)))
            .set_all_tick_mark_size(style.px(4.0))
            .draw()
            .map_err(show)?;
        Ok(chart)
    }

    /// Writes the names beside their colours on the right, and returns the width that they take.
    /// The series labels of Plotters would cover the data.
    fn legend<DB: DrawingBackend>(&self, root: &Area<DB>, style: Style) -> Result<i32, String>
    where
        DB::ErrorType: 'static,
    {
        let longest = self.names.iter().max_by_key(|name| name.chars().count());
        let Some(longest) = longest.filter(|_| self.names.len() > 1) else {
            return Ok(style.px(8.0));
        };
        let width = root.dim_in_pixel().0 as i32;
        let font = fit_text(root, longest, width / 4, style, 13.0)?;
        // An SVG's viewer may have a wider font.
        let text = root.estimate_text_size(longest, &font).map_err(show)?.0 as i32 * 6 / 5;
        let (swatch, row) = (style.px(12.0), style.px(20.0));
        let left = width - style.px(12.0) - text;
        let font = font.pos(Pos::new(HPos::Left, VPos::Center));
        for (index, name) in self.names.iter().enumerate() {
            let middle = style.px(60.0) + row * index as i32;
            let x = left - style.px(6.0) - swatch;
            let corners = [(x, middle - swatch / 2), (x + swatch, middle + swatch / 2)];
            let square = Rectangle::new(corners, colour(index).filled());
            root.draw(&square).map_err(show)?;
            let at = (left, middle + style.px(NUDGE));
            root.draw_text(name, &font, at).map_err(show)?;
        }
        Ok(text + swatch + style.px(16.0))
    }
}

/// Returns a function that writes the numbers of an axis. A value that is only a rounding error
/// away from zero is written as zero.
fn label(axis: &Range<f64>) -> impl Fn(&f64) -> String {
    let nothing = 1e-9 * (axis.end - axis.start).abs();
    move |value| match value.abs() < nothing {
        true => "0".to_owned(),
        false => pretty_print_float(*value, true),
    }
}

/// Returns the largest font of at most `size` units in which `text` is no wider than `room` pixels.
pub(super) fn fit_text<DB: DrawingBackend>(
    root: &Area<DB>,
    text: &str,
    room: i32,
    style: Style,
    size: f64,
) -> Result<TextStyle<'static>, String>
where
    DB::ErrorType: 'static,
{
    let font = style.text(size);
    let width = root.estimate_text_size(text, &font).map_err(show)?.0 as f64;
    let shrink = (f64::from(room) / width.max(1.0)).min(1.0);
    Ok(style.text(size * shrink))
}

/// Returns the smallest and largest finite value.
pub(super) fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .into_iter()
        .filter(|value| value.is_finite())
        .fold(None, |extent, value| {
            let (low, high) = extent.unwrap_or((value, value));
            Some((value.min(low), value.max(high)))
        })
}

/// Returns a range with some room beyond the data, even for a single value.
pub(super) fn around((low, high): (f64, f64)) -> Range<f64> {
    let room = match high - low {
        0.0 if low == 0.0 => 1.0,
        0.0 => low.abs() * 0.1,
        span => span * 0.05,
    };
    low - room..high + room
}
