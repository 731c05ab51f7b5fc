//! Pictures of what metrics of two classes tell.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{Axes, DOT, ONE, Picture, ZERO, dashes, dots, fitted, line, plain, words};
use crate::error::Result;
use crate::metrics::{CalibrationBin, Lift, Metrics};

/// Letters of a class's name.
const NAME: usize = 24;

/// The ROC curve, beside that of chance; nothing where one class is absent.
///
/// # Errors
/// As all pictures: [`crate::error::Error::Numerics`] where a number is not finite.
pub fn roc(metrics: &Metrics) -> Result<Option<Picture>> {
    let points = &metrics.curves.roc;
    if points.is_empty() {
        return Ok(None);
    }
    let axes = Axes::new((0.0..1.0, "false-positive rate"), (0.0..1.0, "true-positive rate"), &plain);
    let picture = axes.picture(|chart, _| {
        dashes(chart, (0.0, 0.0), (1.0, 1.0))?;
        line(chart, points.iter().copied(), ONE)
    });
    picture.map(Some)
}

/// Precision over recall, in the steps that average precision is the area of, beside the share of class 1.
///
/// # Errors
/// As [`roc`].
pub fn precision_recall(metrics: &Metrics) -> Result<Option<Picture>> {
    let (share, points) = (metrics.base_rate, &metrics.curves.roc);
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for pair in points.windows(2) {
        let [(_, before), (fallout, recall)] = [pair[0], pair[1]];
        let precision = share * recall / (share * recall + (1.0 - share) * fallout);
        steps.extend([(before, precision), (recall, precision)]);
    }
    if steps.is_empty() {
        return Ok(None);
    }
    let axes = Axes::new((0.0..1.0, "recall"), (0.0..1.0, "precision"), &plain);
    let picture = axes.picture(|chart, _| {
        dashes(chart, (0.0, share), (1.0, share))?;
        line(chart, steps, ONE)
    });
    picture.map(Some)
}

/// The share of class 1 over the mean probability of each bin, larger dots for more rows.
///
/// # Errors
/// As [`roc`].
pub fn calibration(bins: &[CalibrationBin]) -> Result<Picture> {
    let largest = bins.iter().map(|bin| bin.weight).fold(0.0, f64::max);
    let there: Vec<((f64, f64), i32)> = bins
        .iter()
        .filter_map(|bin| {
            let radius = 0.6 + 1.4 * (bin.weight / largest).sqrt();
            Some(((bin.mean_probability?, bin.share?), (f64::from(DOT) * radius) as i32))
        })
        .collect();
    let axes = Axes::new((0.0..1.0, "mean probability"), (0.0..1.0, "observed share"), &plain);
    axes.picture(|chart, _| {
        dashes(chart, (0.0, 0.0), (1.0, 1.0))?;
        line(chart, there.iter().map(|(at, _)| *at), ONE)?;
        dots(chart, there, ONE)
    })
}

/// The probabilities that rows of class 1 got, upwards, and those of class 0, downwards, as shares of each class.
///
/// # Errors
/// As [`roc`].
pub fn histogram(metrics: &Metrics, classes: &[String]) -> Result<Picture> {
    let bins = &metrics.curves.histogram;
    let total = |k: usize| bins.iter().map(|bin| bin[k]).sum::<f64>().max(f64::MIN_POSITIVE);
    let totals = [total(0), total(1)];
    let highest = |k: usize| bins.iter().map(|bin| bin[k] / totals[k]).fold(0.0, f64::max);
    // Room above and below for the names.
    let top = 1.25 * highest(1).max(0.3 * highest(0)).max(1e-3);
    let bottom = 1.25 * highest(0).max(0.3 * highest(1)).max(1e-3);
    let percent = |x: &f64| format!("{}%", plain(&(100.0 * x.abs())));
    let mut axes = Axes::new((0.0..1.0, "probability"), (-bottom..top, "share of the class"), &plain);
    axes.y_tick = &percent;
    axes.picture(|chart, _| {
        for (k, colour) in [(1, ONE), (0, ZERO)] {
            let sign = if k == 1 { 1.0 } else { -1.0 };
            let width = 1.0 / bins.len() as f64;
            let bars = bins.iter().enumerate().filter(|(_, bin)| bin[k] > 0.0).map(|(i, bin)| {
                let (from, to) = ((i as f64 + 0.06) * width, (i as f64 + 0.94) * width);
                Rectangle::new([(from, 0.0), (to, sign * bin[k] / totals[k])], colour.filled())
            });
            chart.draw_series(bars)?;
        }
        line(chart, [(0.0, 0.0), (1.0, 0.0)], super::INK)?;
        let name = |k: usize| fitted(&classes[k], NAME).0;
        words(chart, format!("↑ {}", name(1)), (0.03, 0.98 * top), ONE, (HPos::Left, VPos::Top))?;
        words(chart, format!("↓ {}", name(0)), (0.97, -0.97 * bottom), ZERO, (HPos::Right, VPos::Bottom))
    })
}

/// The lift over the share of rows that are ranked highest.
///
/// # Errors
/// As [`roc`].
pub fn lift(at: &[Lift]) -> Result<Picture> {
    let points: Vec<(f64, f64)> = at.iter().map(|at| (at.share, at.lift)).chain([(1.0, 1.0)]).collect();
    let highest = points.iter().map(|(_, lift)| *lift).fold(1.0, f64::max);
    let percent = |x: &f64| format!("{}%", plain(&(100.0 * x)));
    let mut axes = Axes::new((0.0..1.0, "rows, ranked highest first"), (0.0..1.1 * highest, "lift"), &plain);
    axes.x_tick = &percent;
    axes.picture(|chart, _| {
        dashes(chart, (0.0, 1.0), (1.0, 1.0))?;
        line(chart, points.iter().copied(), ONE)?;
        dots(chart, points.into_iter().map(|at| (at, DOT)), ONE)
    })
}
