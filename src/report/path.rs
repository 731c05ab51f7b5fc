//! The path of a penalty as a table and as a picture.

use std::fmt::Display;

use plotters::prelude::*;

use super::{SIZE, penalty_name, place_of_none, table};
use crate::error::{Error, Result};
use crate::fit::Path;

/// Columns that are named beside their lines: those whose coefficients end largest.
const NAMED: usize = 9;
/// Letters of a name at the most, and room for it.
const NAME: usize = 22;
const MARGIN: f64 = 0.26;
/// Least distance of two names, as a part of the height.
const APART: f64 = 0.055;

/// The path as CSV: a row for each penalty, largest first; `names` are those of the features.
///
/// # Errors
/// [`Error::Numerics`] when it cannot be put into words.
pub fn path_table(path: &Path, names: &[String]) -> Result<String> {
    let first = ["lambda", "l1", "l2", "nonzero", "log_loss", "deviance_explained", "(Intercept)"];
    let header: Vec<String> = first.into_iter().map(str::to_owned).chain(names.iter().cloned()).collect();
    let rows = path.models.fits.iter().enumerate().map(|(k, fit)| {
        let grid = &path.grid;
        let nonzero = path.nonzero[k] as f64;
        let mut row = vec![grid.lambda[k], grid.l1(k), grid.l2(k), nonzero, path.log_loss[k]];
        row.extend([path.deviance_explained[k], fit.intercept]);
        row.extend(&fit.coefficients);
        row
    });
    table(&header, rows)
}

/// The path as a picture (SVG): the coefficient of each feature over the penalty, which falls from left to right. `spreads` are the
/// standard deviations of the features: what is drawn is βⱼ·sdⱼ, so that columns of all units share an axis.
///
/// # Errors
/// [`Error::Numerics`] when there is nothing to draw.
pub fn path_plot(path: &Path, names: &[String], spreads: &[f64]) -> Result<String> {
    let mut text = String::new();
    draw(path, names, spreads, SVGBackend::with_string(&mut text, SIZE).into_drawing_area())
        .map_err(|message| Error::Numerics(format!("the path cannot be drawn: {message}")))?;
    Ok(text)
}

fn draw(
    path: &Path,
    names: &[String],
    spreads: &[f64],
    area: DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
) -> Result<(), String> {
    let failed = |error: &dyn Display| error.to_string();
    let lambda = &path.grid.lambda;
    let none = place_of_none(lambda);
    let x = |k: usize| -if lambda[k] > 0.0 { lambda[k].log10() } else { none };
    let y = |k: usize, j: usize| path.models.fits[k].coefficients[j] * spreads[j];
    let last = lambda.len() - 1;
    let x_end = x(last);
    let all = (0..=last).flat_map(|k| (0..names.len()).map(move |j| (k, j)));
    let (low, high) = all.fold((0f64, 0f64), |(low, high), (k, j)| (low.min(y(k, j)), high.max(y(k, j))));
    if !(low.is_finite() && high.is_finite()) {
        return Err("a coefficient is not finite".into());
    }
    let margin = (0.05 * (high - low)).max(1e-9);
    let (bottom, top) = (low - margin, high + margin);
    let width = (x_end - x(0)).max(0.2);
    area.fill(&WHITE).map_err(|e| failed(&e))?;
    let title = format!("{} models, {} features", lambda.len(), names.len());
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(70)
        .build_cartesian_2d(x(0)..x(0) + width * (1.0 + MARGIN), bottom..top)
        .map_err(|e| failed(&e))?;
    let tick = |x: &f64| if lambda.contains(&0.0) && *x >= -none - 1e-9 { "0".into() } else { format!("1e{:.0}", -x) };
    let within = |x: &f64| (x - x.round()).abs() < 1e-9 && *x <= x_end + 1e-9;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_labels(12)
        .x_label_formatter(&|x: &f64| if within(x) { tick(x) } else { String::new() })
        .x_desc(penalty_name(&path.grid))
        .y_desc("coefficient · standard deviation")
        .draw()
        .map_err(|e| failed(&e))?;
    let mut order: Vec<usize> = (0..names.len()).filter(|j| y(last, *j) != 0.0).collect();
    order.sort_by(|a, b| y(last, *b).abs().total_cmp(&y(last, *a).abs()));
    let named = &order[..order.len().min(NAMED)];
    let moves = |j: &usize| (0..=last).any(|k| y(k, *j) != 0.0);
    for j in (0..names.len()).filter(moves) {
        let place = named.iter().position(|named| *named == j);
        let style = match place {
            Some(place) => Palette99::pick(place).stroke_width(2),
            None => BLACK.mix(0.25).stroke_width(1),
        };
        let line = LineSeries::new((0..=last).map(|k| (x(k), y(k, j))), style);
        chart.draw_series(line).map_err(|e| failed(&e))?;
    }
    let mut labels: Vec<(f64, usize)> = named.iter().enumerate().map(|(place, j)| (y(last, *j), place)).collect();
    labels.sort_by(|a, b| b.0.total_cmp(&a.0));
    spread(&mut labels, APART * (top - bottom), bottom + 0.5 * APART * (top - bottom));
    for (at, place) in labels {
        let name: String = names[named[place]].chars().take(NAME).collect();
        let style = ("sans-serif", 13).into_font().color(&Palette99::pick(place));
        let text = Text::new(name, (x_end + 0.02 * width, at + 0.018 * (top - bottom)), style);
        chart.draw_series([text]).map_err(|e| failed(&e))?;
    }
    area.present().map_err(|e| failed(&e))
}

/// Moves places, highest first, until each is `apart` from the next and the last no lower than `bottom`: down, and then up from there.
fn spread(places: &mut [(f64, usize)], apart: f64, bottom: f64) {
    let mut most = f64::INFINITY;
    for (place, _) in places.iter_mut() {
        *place = place.min(most);
        most = *place - apart;
    }
    let mut least = bottom;
    for (place, _) in places.iter_mut().rev() {
        *place = place.max(least);
        least = *place + apart;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_apart_and_above_the_bottom() {
        let mut places = [(9.0, 0), (8.9, 1), (5.0, 2), (0.1, 3), (0.0, 4)];
        spread(&mut places, 1.0, 0.0);
        assert_eq!(places, [(9.0, 0), (8.0, 1), (5.0, 2), (1.0, 3), (0.0, 4)]);
    }
}
