//! What all plots share: fonts, colours, title, legend, axes.

use std::sync::Once;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

pub(super) type Area<DB> = DrawingArea<DB, Shift>;

/// The colours of Okabe and Ito that show on white, told apart by colour-blind eyes.
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
const AXIS: RGBColor = RGBColor(130, 130, 130);

/// Text is centred by its line's box, whose lower part, for tails, is mostly empty: in units.
const NUDGE: f64 = 2.0;

/// The colour of a series; from the eighth on the colours come back darker.
pub(super) fn colour(index: usize) -> RGBColor {
    let RGBColor(red, green, blue) = PALETTE[index % PALETTE.len()];
    let dark = |part: u8| (f64::from(part) * 0.55f64.powi((index / PALETTE.len()) as i32)) as u8;
    RGBColor(dark(red), dark(green), dark(blue))
}

/// Bitmaps need a font in the program; an SVG's viewer brings its own sans-serif.
pub(super) fn register_fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let bytes = epaint_default_fonts::UBUNTU_LIGHT;
        // The only error is a broken font, and this one is part of the program.
        let _ = register_font("sans-serif", FontStyle::Normal, bytes);
    });
}

/// Sizes of one output, in its pixels.
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

    pub(super) fn text(self, size: f64, colour: RGBColor) -> TextStyle<'static> {
        ("sans-serif", size * self.scale).into_font().color(&colour)
    }

    pub(super) fn label(self) -> TextStyle<'static> {
        self.text(15.0, INK)
    }

    pub(super) fn small(self) -> TextStyle<'static> {
        self.text(13.0, INK)
    }
}

pub(super) fn show<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> String {
    error.to_string()
}

/// An axis: its range and its labelled points.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    ticks: Vec<f64>,
    decimals: usize,
}

impl Axis {
    /// An axis over `low..high` with about `wanted` round labels; its ends are `low` and `high`
    /// themselves, or the next labels outwards when `widen` is set.
    pub(super) fn new(low: f64, high: f64, wanted: usize, widen: bool) -> Self {
        let (low, high) = if high > low {
            (low, high)
        } else {
            let room = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
            (low - room, high + room)
        };
        let raw = (high - low) / wanted as f64;
        let magnitude = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .map(|factor| factor * magnitude)
            .into_iter()
            .find(|step| *step >= raw * (1.0 - 1e-9))
            .unwrap_or(10.0 * magnitude);
        // A label may miss an end by rounding alone.
        let slack = 1e-6;
        let (first, last) = if widen {
            ((low / step + slack).floor(), (high / step - slack).ceil())
        } else {
            ((low / step - slack).ceil(), (high / step + slack).floor())
        };
        let ticks: Vec<f64> = (first as i64..=last as i64)
            .map(|k| k as f64 * step)
            .collect();
        let (low, high) = if widen {
            (first * step, last * step)
        } else {
            (low, high)
        };
        let decimals = (0..9)
            .find(|&decimals| {
                let unit = step * 10f64.powi(decimals as i32);
                (unit - unit.round()).abs() < 1e-6 * unit
            })
            .unwrap_or(9);
        Self {
            low,
            high,
            ticks,
            decimals,
        }
    }

    pub(super) fn text(&self, value: f64) -> String {
        if value == 0.0 {
            return "0".to_owned();
        }
        let largest = self.low.abs().max(self.high.abs());
        if largest >= 1e6 || (largest > 0.0 && largest < 1e-4) {
            return format!("{value:e}");
        }
        let text = format!("{value:.*}", self.decimals);
        if text
            .trim_start_matches('-')
            .chars()
            .all(|c| matches!(c, '0' | '.'))
        {
            "0".to_owned()
        } else {
            text
        }
    }
}

/// Everything around the data.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    pub(super) x_label: &'a str,
    pub(super) y_label: &'a str,
    pub(super) names: Vec<&'a str>,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// True if the x axis is a scale; else the caller writes below it.
    pub(super) x_scale: bool,
    /// Height, in units, of what stands below the x axis, besides the label.
    pub(super) x_room: f64,
}

pub(super) type Chart<'a, DB> = ChartContext<
    'a,
    DB,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

impl Frame<'_> {
    /// Draws it and returns the chart to draw into.
    pub(super) fn draw<'d, DB: DrawingBackend>(
        &self,
        root: &'d Area<DB>,
        style: Style,
    ) -> Result<Chart<'d, DB>, String>
    where
        DB::ErrorType: 'static,
    {
        root.fill(&WHITE).map_err(show)?;
        let (width, height) = root.dim_in_pixel();
        let (width, height) = (width as i32, height as i32);
        let margin = style.px(16.0);
        let title = self.fit(root, self.title, width - 2 * margin, style)?;
        root.draw(&Text::new(self.title.to_owned(), (margin, margin), title))
            .map_err(show)?;
        let top = self.legend(root, style, margin, margin + style.px(30.0))?;

        let measure = |text: &str, font: &TextStyle<'_>| {
            root.estimate_text_size(text, font)
                .map(|size| size.0 as i32)
                .map_err(show)
        };
        let mut widest = 0;
        for &tick in &self.y.ticks {
            widest = widest.max(measure(&self.y.text(tick), &style.small())?);
        }
        let left = margin + style.px(24.0) + widest + style.px(10.0);
        // Half of the last label stands right of the axis.
        let last = self.x.ticks.last().map_or(0.0, |tick| *tick);
        let right = (margin + style.px(4.0)).max(if self.x_scale {
            measure(&self.x.text(last), &style.small())? / 2 + style.px(6.0)
        } else {
            0
        });
        let below = style.px(self.x_room);
        let bottom = margin + style.px(20.0) + below;
        let mut chart = ChartBuilder::on(root)
            .margin_left(left)
            .margin_right(right)
            .margin_top(top)
            .margin_bottom(bottom)
            .build_cartesian_2d(self.x.low..self.x.high, self.y.low..self.y.high)
            .map_err(show)?;
        self.axes(root, &mut chart, style)?;
        let area = chart.plotting_area().get_pixel_range();
        let centre = (area.0.start + area.0.end) / 2;
        let below_axis = Pos::new(HPos::Center, VPos::Bottom);
        let x_label = Text::new(
            self.x_label.to_owned(),
            (centre, height - style.px(10.0)),
            style.label().pos(below_axis),
        );
        root.draw(&x_label).map_err(show)?;
        let middle = (area.1.start + area.1.end) / 2;
        // Turned text hangs from its top, which is then its left side.
        let turned = style
            .label()
            .transform(FontTransform::Rotate270)
            .pos(Pos::new(HPos::Center, VPos::Top));
        let y_label = Text::new(self.y_label.to_owned(), (style.px(12.0), middle), turned);
        root.draw(&y_label).map_err(show)?;
        Ok(chart)
    }

    fn axes<DB: DrawingBackend>(
        &self,
        root: &Area<DB>,
        chart: &mut Chart<'_, DB>,
        style: Style,
    ) -> Result<(), String>
    where
        DB::ErrorType: 'static,
    {
        let grid = GRID.stroke_width(style.stroke(1.0));
        let axis = AXIS.stroke_width(style.stroke(1.0));
        let at = |x: f64, y: f64| chart.backend_coord(&(x, y));
        let line = |from, to, colour: ShapeStyle| root.draw(&PathElement::new([from, to], colour));
        let gap = style.px(6.0);
        for &tick in &self.y.ticks {
            let (left, right) = (at(self.x.low, tick), at(self.x.high, tick));
            line(left, right, if tick == 0.0 { axis } else { grid }).map_err(show)?;
            let text = Text::new(
                self.y.text(tick),
                (left.0 - gap, left.1 + style.px(NUDGE)),
                style.small().pos(Pos::new(HPos::Right, VPos::Center)),
            );
            root.draw(&text).map_err(show)?;
        }
        line(
            at(self.x.low, self.y.low),
            at(self.x.high, self.y.low),
            axis,
        )
        .map_err(show)?;
        if self.x_scale {
            for &tick in &self.x.ticks {
                let foot = at(tick, self.y.low);
                line(foot, (foot.0, foot.1 + style.px(4.0)), axis).map_err(show)?;
                let text = Text::new(
                    self.x.text(tick),
                    (foot.0, foot.1 + gap + style.px(NUDGE)),
                    style.small().pos(Pos::new(HPos::Center, VPos::Top)),
                );
                root.draw(&text).map_err(show)?;
            }
        }
        Ok(())
    }

    /// Draws the names beside their colours, in as many rows as they need; returns where they end.
    fn legend<DB: DrawingBackend>(
        &self,
        root: &Area<DB>,
        style: Style,
        left: i32,
        top: i32,
    ) -> Result<i32, String>
    where
        DB::ErrorType: 'static,
    {
        if self.names.len() < 2 {
            return Ok(top + style.px(6.0));
        }
        let width = root.dim_in_pixel().0 as i32;
        let (swatch, gap, row) = (style.px(14.0), style.px(6.0), style.px(22.0));
        let (mut x, mut y) = (left, top);
        for (index, name) in self.names.iter().enumerate() {
            let text = root
                .estimate_text_size(name, &style.small())
                .map_err(show)?
                .0 as i32;
            let whole = swatch + gap + text;
            if x > left && x + whole > width - left {
                (x, y) = (left, y + row);
            }
            let middle = y + row / 2;
            let box_ = [(x, middle - swatch / 2), (x + swatch, middle + swatch / 2)];
            root.draw(&Rectangle::new(box_, colour(index).filled()))
                .map_err(show)?;
            let font = style.small().pos(Pos::new(HPos::Left, VPos::Center));
            let at = (x + swatch + gap, middle + style.px(NUDGE));
            let label = Text::new((*name).to_owned(), at, font);
            root.draw(&label).map_err(show)?;
            x += whole + style.px(20.0);
        }
        Ok(y + row + style.px(12.0))
    }

    /// The title's font, smaller where the title is long.
    fn fit<DB: DrawingBackend>(
        &self,
        root: &Area<DB>,
        text: &str,
        room: i32,
        style: Style,
    ) -> Result<TextStyle<'static>, String>
    where
        DB::ErrorType: 'static,
    {
        fit_text(root, text, room, style, 20.0)
    }
}

/// The largest font of at most `size` units in which `text` is no wider than `room` pixels.
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
    let font = style.text(size, INK);
    let width = root.estimate_text_size(text, &font).map_err(show)?.0 as f64;
    let shrink = (f64::from(room) / width.max(1.0)).min(1.0);
    Ok(style.text(size * shrink, INK))
}

/// Smallest and largest finite value.
pub(super) fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .into_iter()
        .filter(|value| value.is_finite())
        .fold(None, |extent, value| {
            let (low, high) = extent.unwrap_or((value, value));
            Some((value.min(low), value.max(high)))
        })
}
