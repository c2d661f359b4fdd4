//! A figure's course as an SVG chart, drawn by `plotters`.
//!
//! The colours that are drawn are only names: the page's style sheet maps each to one that fits a
//! light or a dark screen.

use plotters::prelude::*;

use super::view::Point;
use crate::domain::kpi::{Kpi, Unit, text};
use crate::error::{Error, Kind, Result};

/// Text and axes: `#010101`.
const INK: RGBColor = RGBColor(1, 1, 1);
/// The grid: `#020202`.
const GRID: RGBColor = RGBColor(2, 2, 2);
/// Values: `#030303`.
const VALUE: RGBColor = RGBColor(3, 3, 3);
/// The target: `#040404`.
const TARGET: RGBColor = RGBColor(4, 4, 4);

const SIZE: (u32, u32) = (640, 240);
/// At most so many moments are named below the chart.
const NAMED: usize = 8;

/// The values that there are in the course of a figure, each with its place.
pub(super) fn values(kpi: Kpi, series: &[Point]) -> Vec<(usize, f64)> {
    let value = |point: &Point| point.values.get(kpi.name()).copied().flatten();
    series.iter().enumerate().filter_map(|(at, point)| Some((at, value(point)?))).collect()
}

/// The chart; `summary` says in words what it shows.
pub(super) fn svg(
    kpi: Kpi,
    series: &[Point],
    target: Option<f64>,
    summary: &str,
) -> Result<String> {
    let values = values(kpi, series);
    let mut drawn = String::new();
    draw(&mut drawn, kpi, series, &values, target).map_err(|source| {
        Error::new(Kind::Bug, "a chart cannot be drawn").caused_by(anyhow::anyhow!("{source}"))
    })?;
    let (name, title) = (kpi.name(), kpi.title());
    let summary = super::forms::escaped(summary);
    let head = format!(
        "<svg role=\"img\" aria-labelledby=\"{name}-t {name}-d\" viewBox=\"0 0 {} {}\" xmlns=\"http://www.w3.org/2000/svg\">\
         <title id=\"{name}-t\">{title}</title><desc id=\"{name}-d\">{summary}</desc>",
        SIZE.0, SIZE.1,
    );
    // The first tag of the drawing has a fixed size and no words.
    let body = drawn.split_once('>').map(|(_, body)| body).unwrap_or_default();
    Ok(head + body)
}

#[expect(clippy::cast_precision_loss, reason = "places in a short row")]
fn draw(
    drawn: &mut String,
    kpi: Kpi,
    series: &[Point],
    values: &[(usize, f64)],
    target: Option<f64>,
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(drawn, SIZE).into_drawing_area();
    let last = series.len().saturating_sub(1) as f64;
    let (low, high) = range(kpi, values, target);
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .margin_right(24)
        .x_label_area_size(30)
        .y_label_area_size(86)
        .build_cartesian_2d(-0.4..last + 0.4, low..high)?;
    let ink = |size: i32| ("sans-serif", size).into_font().color(&INK);
    let label = |x: &f64| {
        let at = x.round();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place")]
        let point = series.get(at as usize).filter(|_| (x - at).abs() < 1e-6 && at >= 0.0);
        point.map(|point| point.label.clone()).unwrap_or_default()
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .x_labels(series.len().min(NAMED))
        .y_labels(5)
        .x_label_formatter(&label)
        .y_label_formatter(&|y| text::value(*y, kpi.unit()))
        .label_style(ink(15))
        .draw()?;
    if let Some(target) = target {
        let ends = [(-0.4, target), (last + 0.4, target)];
        chart.draw_series(DashedLineSeries::new(ends, 6, 4, TARGET.stroke_width(2)))?;
    }
    // Where nothing is recorded the line has a gap.
    for run in values.chunk_by(|(a, _), (b, _)| a + 1 == *b) {
        let points = || run.iter().map(|(at, value)| (*at as f64, *value));
        chart.draw_series(LineSeries::new(points(), VALUE.stroke_width(2)))?;
        chart.draw_series(points().map(|point| Circle::new(point, 4, VALUE.filled())))?;
    }
    root.present()?;
    drop(chart);
    drop(root);
    Ok(())
}

/// What the axis shows: a share near its values, everything else from zero.
fn range(kpi: Kpi, values: &[(usize, f64)], target: Option<f64>) -> (f64, f64) {
    let all = || values.iter().map(|(_, value)| *value).chain(target);
    let (least, most) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    if kpi.unit() == Unit::Percent {
        let room = ((100.0 - least) * 0.25).max(0.005);
        return ((least - room).max(0.0), 100.0 + room / 4.0);
    }
    (0.0, if most > 0.0 { most * 1.15 } else { 1.0 })
}
