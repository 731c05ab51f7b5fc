//! Tables and pictures of what was computed.

mod history;
pub mod page;
mod path;
pub mod picture;

use std::fmt::Display;

use plotters::prelude::*;

use crate::error::{Error, Result};
use crate::fit::{CrossValidation, Grid, Score};

pub use history::{History, Reached};
pub use path::{path_plot, path_table};

/// Size of a picture, in units of SVG.
const SIZE: (u32, u32) = (760, 480);
/// Ends of an error bar, on the scale of log₁₀.
const CAP: f64 = 0.04;

/// The curve of a cross-validation as CSV: a row for each penalty, largest first.
///
/// # Errors
/// [`Error::Numerics`] when it cannot be put into words.
pub fn cv_table(cv: &CrossValidation) -> Result<String> {
    let other = cv.score != Score::LogLoss;
    let mut header: Vec<String> = if cv.grid.l1_ratio > 0.0 { vec!["l1".into()] } else { Vec::new() };
    header.extend(["l2".into(), format!("mean_{}", cv.score.words().replace(' ', "_")), "standard_error".into()]);
    header.extend(other.then(|| "mean_log_loss".to_owned()));
    header.extend(cv.folds.iter().map(|fold| format!("fold_{fold}")));
    let rows = (0..cv.grid.lambda.len()).map(|k| {
        let mut row: Vec<f64> = if cv.grid.l1_ratio > 0.0 { vec![cv.grid.l1(k)] } else { Vec::new() };
        row.extend([cv.grid.l2(k), cv.mean_score[k], cv.standard_error[k]]);
        row.extend(other.then(|| cv.mean_log_loss[k]));
        row.extend(cv.fold_score.iter().map(|fold| fold[k]));
        row
    });
    table(&header, rows)
}

/// Numbers as CSV.
fn table(header: &[String], rows: impl Iterator<Item = Vec<f64>>) -> Result<String> {
    let failed = |error: &dyn Display| Error::Numerics(format!("the table cannot be written: {error}"));
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(header).map_err(|e| failed(&e))?;
    for row in rows {
        table.write_record(row.iter().map(f64::to_string)).map_err(|e| failed(&e))?;
    }
    let bytes = table.into_inner().map_err(|e| failed(&e))?;
    String::from_utf8(bytes).map_err(|e| failed(&e))
}

/// The curve of a cross-validation as a picture (SVG): the mean score of each penalty, one standard error to either side.
///
/// # Errors
/// [`Error::Numerics`] when there is nothing to draw.
pub fn cv_curve(cv: &CrossValidation) -> Result<String> {
    let mut text = String::new();
    draw(cv, SVGBackend::with_string(&mut text, SIZE).into_drawing_area())
        .map_err(|message| Error::Numerics(format!("the curve cannot be drawn: {message}")))?;
    Ok(text)
}

/// What the axis of penalties says.
fn penalty_name(grid: &Grid) -> String {
    let part = grid.l1_ratio;
    let parts =
        if part > 0.0 && part < 1.0 { format!(": l1 = {part}·λ, l2 = {}·λ", 1.0 - part) } else { String::new() };
    format!("penalty {}{parts}", penalty_symbol(grid))
}

fn penalty_symbol(grid: &Grid) -> &'static str {
    match grid.l1_ratio {
        0.0 => "l2",
        1.0 => "l1",
        _ => "λ",
    }
}

/// Where no penalty at all stands on the scale of log₁₀ λ: a step below the smallest one.
fn place_of_none(lambda: &[f64]) -> f64 {
    let least = lambda.iter().copied().filter(|lambda| *lambda > 0.0).fold(f64::INFINITY, f64::min);
    if least.is_finite() { least.log10() - 1.0 } else { 0.0 }
}

/// Place, mean and standard error of a penalty.
type Point = (f64, f64, f64);

fn draw(cv: &CrossValidation, area: DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Result<(), String> {
    let failed = |error: &dyn Display| error.to_string();
    let lambda = &cv.grid.lambda;
    // No penalty at all stands a step to the left of the smallest one.
    let none = place_of_none(lambda);
    let x = |k: usize| if lambda[k] > 0.0 { lambda[k].log10() } else { none };
    let points: Vec<Point> = (0..lambda.len()).map(|k| (x(k), cv.mean_score[k], cv.standard_error[k])).collect();
    let range = |of: fn(&Point) -> [f64; 2], least: f64| {
        let low = points.iter().map(|point| of(point)[0]).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(|point| of(point)[1]).fold(f64::NEG_INFINITY, f64::max);
        let margin = (0.06 * (high - low)).max(least);
        low - margin..high + margin
    };
    let (xs, ys) = (range(|p| [p.0, p.0], 0.2), range(|p| [p.1 - p.2, p.1 + p.2], 1e-9));
    if !(ys.start.is_finite() && ys.end.is_finite()) {
        return Err("a score is not finite".into());
    }
    area.fill(&WHITE).map_err(|e| failed(&e))?;
    let title = format!("{}-fold cross-validation: mean {} ± one standard error", cv.folds.len(), cv.score.words());
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(78)
        .build_cartesian_2d(xs, ys.clone())
        .map_err(|e| failed(&e))?;
    let tick = |x: &f64| if lambda.contains(&0.0) && *x <= none + 1e-9 { "0".to_owned() } else { format!("1e{x:.0}") };
    let whole = |x: &f64| if (x - x.round()).abs() < 1e-9 { tick(x) } else { String::new() };
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_labels(12)
        .x_label_formatter(&whole)
        .x_desc(penalty_name(&cv.grid))
        .y_desc(cv.score.words())
        .draw()
        .map_err(|e| failed(&e))?;
    let ink = RGBColor(31, 87, 143);
    let marks = [
        (cv.one_se, RGBColor(150, 150, 150), "largest within one standard error"),
        (cv.best, RGBColor(200, 60, 40), "best"),
    ];
    for (k, colour, what) in marks {
        let upright = PathElement::new(vec![(x(k), ys.start), (x(k), ys.end)], colour.stroke_width(1));
        let series = chart.draw_series([upright]).map_err(|e| failed(&e))?;
        let sign = move |(x, y): (i32, i32)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2));
        series.label(format!("{what}: {} = {}", penalty_symbol(&cv.grid), lambda[k])).legend(sign);
    }
    for (x, mean, se) in &points {
        let bar = |from: (f64, f64), to: (f64, f64)| PathElement::new(vec![from, to], ink.mix(0.5).stroke_width(1));
        let bars = [
            bar((*x, mean - se), (*x, mean + se)),
            bar((x - CAP, mean - se), (x + CAP, mean - se)),
            bar((x - CAP, mean + se), (x + CAP, mean + se)),
        ];
        chart.draw_series(bars).map_err(|e| failed(&e))?;
    }
    let line = LineSeries::new(points.iter().map(|(x, mean, _)| (*x, *mean)), ink.stroke_width(2));
    chart.draw_series(line).map_err(|e| failed(&e))?;
    let dots = points.iter().map(|(x, mean, _)| Circle::new((*x, *mean), 3, ink.filled()));
    chart.draw_series(dots).map_err(|e| failed(&e))?;
    let legend = chart.configure_series_labels().background_style(WHITE.mix(0.85)).border_style(BLACK.mix(0.3)).draw();
    legend.map_err(|e| failed(&e))?;
    area.present().map_err(|e| failed(&e))
}
