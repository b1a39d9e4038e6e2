//! A picture of a metric over the steps of all cells.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use crate::cell::plain;
use crate::plan::SEED;
use crate::results::newest;
use crate::{Curve, PlanArgs, Row, read_rows};

/// Size of the picture in SVG units.
const SIZE: (u32, u32) = (800, 440);

/// Colours of the seeds: Okabe and Ito, which colour-blind readers can tell apart.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(60, 60, 60),
];
const GREY: RGBColor = RGBColor(200, 200, 200);

/// Options of a picture.
#[derive(Debug, Args)]
pub struct PlotArgs {
    #[command(flatten)]
    plan: PlanArgs,
    /// Name of the metric, as in the `curves` of the plan
    #[arg(long, value_name = "NAME", default_value = "loss")]
    curve: String,
    /// Draw the mean of N steps, which end at the step
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    mean: u16,
    /// File of the picture
    #[arg(long, value_name = "FILE.svg")]
    out: PathBuf,
}

/// Draws a metric of every finished cell that has it. A seed has a colour. Cells of one seed that differ
/// in anything else have a broad pale line, then a line of dashes, then shorter dashes. If there is
/// only one seed, every cell has a colour.
///
/// # Errors
/// Returns an error if the plan or the results cannot be read, no row has the metric, or the file
/// cannot be written.
pub fn plot(args: &PlotArgs) -> Result<ExitCode> {
    let (plan, cells, results) = args.plan.read()?;
    let rows = read_rows(&results)?;
    let rows = newest(&rows);
    let found = cells.iter().filter_map(|cell| rows.get(cell.id.as_str()));
    let curves: Vec<(&Row, &Curve)> = found
        .filter_map(|row| Some((*row, row.curves.get(&args.curve)?)))
        .filter(|(_, curve)| !curve.is_empty())
        .collect();
    let longest = curves.iter().map(|(_, curve)| curve.len()).max();
    let Some(longest) = longest else {
        bail!(
            "{}: no row has a curve {:?}: the plan names metrics under `curves`",
            results.display(),
            args.curve
        );
    };
    let mean = usize::from(args.mean);
    ensure!(
        mean <= longest,
        "--mean {mean} is above the {longest} steps of the longest curve"
    );
    let lines = curves
        .iter()
        .map(|(row, curve)| (*row, smooth(curve, mean)));
    let lines: Vec<(&Row, Curve)> = lines.filter(|(_, curve)| !curve.is_empty()).collect();
    if lines.len() < cells.len() {
        eprintln!(
            "{} of {} cells are drawn: the others have no result, or no curve in it",
            lines.len(),
            cells.len()
        );
    }
    let text = draw(&lines, &args.curve).map_err(|error| anyhow!("{}: {error}", plan.name))?;
    std::fs::write(&args.out, text).with_context(|| args.out.display().to_string())?;
    eprintln!("wrote {}", args.out.display());
    Ok(ExitCode::SUCCESS)
}

/// Returns the mean of the last `n` points at each point from the n-th on.
fn smooth(curve: &Curve, n: usize) -> Curve {
    let mean = |part: &[(u64, f64)]| {
        let sum: f64 = part.iter().map(|point| point.1).sum();
        (part[n - 1].0, sum / n as f64)
    };
    curve.windows(n).map(mean).collect()
}

/// Returns the value on the axis of the seeds, and the values on all others.
fn parts(row: &Row) -> (String, String) {
    let seed = row.axes.get(SEED).map(plain).unwrap_or_default();
    let others = row.axes.iter().filter(|(axis, _)| *axis != SEED);
    let others: Vec<String> = others.map(|(_, value)| plain(value)).collect();
    (seed, others.join(" "))
}

/// Returns the place of each different text in the order in which they come.
fn places<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut places = BTreeMap::new();
    for text in texts {
        let next = places.len();
        places.entry(text).or_insert(next);
    }
    places
}

fn draw(lines: &[(&Row, Curve)], name: &str) -> Result<String, Box<dyn std::error::Error>> {
    // Only the width of a text is taken from this font: a viewer has its own sans-serif font.
    let font = epaint_default_fonts::UBUNTU_LIGHT;
    let _ = register_font("sans-serif", FontStyle::Normal, font);
    let parts: Vec<(String, String)> = lines.iter().map(|(row, _)| parts(row)).collect();
    let seeds = places(parts.iter().map(|(seed, _)| seed.as_str()));
    let others = places(parts.iter().map(|(_, other)| other.as_str()));
    let points = || lines.iter().flat_map(|(_, curve)| curve);
    let last = points().map(|point| point.0).max().unwrap_or(1) as f64;
    let low = points().map(|point| point.1).fold(f64::MAX, f64::min);
    let high = points().map(|point| point.1).fold(f64::MIN, f64::max);
    let room = ((high - low) * 0.05).max(1e-6);
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..last, low - room..high + room)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .max_light_lines(0)
            .bold_line_style(GREY)
            .x_label_formatter(&|step| format!("{step}"))
            .x_desc("step")
            .y_desc(name)
            .label_style(("sans-serif", 13))
            .axis_desc_style(("sans-serif", 15))
            .draw()?;
        for ((_, curve), (seed, other)) in lines.iter().zip(&parts) {
            let (colour, kind) = match seeds.len() {
                1 => (others[other.as_str()], 0),
                _ => (seeds[seed.as_str()], others[other.as_str()] as i32),
            };
            let colour = COLOURS[colour % COLOURS.len()];
            let (dash, dashed) = ((12 / kind.max(1)).max(2), kind > 0);
            // A line of dashes stays visible where it lies on the solid one.
            let style = match dashed || others.len() == 1 || seeds.len() == 1 {
                false => colour.mix(0.4).stroke_width(5),
                true => colour.stroke_width(2),
            };
            let points = curve.iter().map(|(step, value)| (*step as f64, *value));
            let drawn = match dashed {
                false => chart.draw_series(LineSeries::new(points, style))?,
                true => chart.draw_series(DashedLineSeries::new(points, dash, 6, style))?,
            };
            let label = match (other.as_str(), seeds.len()) {
                ("", _) => format!("seed {seed}"),
                (other, 1) => other.to_owned(),
                (other, _) => format!("{other}, seed {seed}"),
            };
            let gap = if dashed { 6 } else { 0 };
            drawn.label(label).legend(move |place| {
                EmptyElement::at(place)
                    + PathElement::new([(0, 0), (12 - gap / 2, 0)], style)
                    + PathElement::new([(12 + gap / 2, 0), (24, 0)], style)
            });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(GREY)
            .label_font(("sans-serif", 13))
            .draw()?;
        root.present()?;
    }
    Ok(text)
}
