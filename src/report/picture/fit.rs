//! Pictures of how a fit went and of what it found.

use std::ops::Range;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::super::history::Reached;
use super::{Axes, BELOW, DOT, Drawn, FONT, INK, ONE, Picture, SOFT, THICK, dashes, dots, fitted, line, plain};
use crate::error::Result;

/// Points of a curve at the most, and how many of them are dots too.
const MOST_POINTS: usize = 300;
const MOST_DOTS: usize = 60;
/// Letters of a feature's name, the width of one, and the height of its line.
const NAME: usize = 20;
const LETTER: usize = 72;
const ROW: u32 = 190;

/// A coefficient of a forest plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// The feature.
    pub name: String,
    /// The estimate.
    pub estimate: f64,
    /// Its interval, where there is one.
    pub interval: Option<(f64, f64)>,
}

/// J less the least, by pass, on a scale of powers of ten; nothing where there are no two points.
///
/// # Errors
/// As all pictures: [`crate::error::Error::Numerics`] where a number is not finite.
pub fn above_the_least(runs: &[Vec<Reached>], least: impl Fn(&[Reached]) -> f64) -> Result<Option<Picture>> {
    let above = |run: &Vec<Reached>| {
        let least = least(run);
        let points = run.iter().map(|at| (at.passes as f64, at.objective - least));
        points.filter(|(_, above)| *above > 0.0 && above.is_finite()).collect()
    };
    powers(&runs.iter().map(above).collect::<Vec<_>>(), "J above the least", None, None)
}

/// The largest slope by pass, on a scale of powers of ten, beside the `tolerance`; a cross is the answer's, `certified` in f64.
///
/// # Errors
/// As [`above_the_least`].
pub fn slopes(runs: &[Vec<Reached>], tolerance: f64, certified: Option<f64>) -> Result<Option<Picture>> {
    let of = |run: &Vec<Reached>| {
        let points = run.iter().map(|at| (at.passes as f64, at.gradient_inf_norm));
        points.filter(|(_, slope)| *slope > 0.0 && slope.is_finite()).collect()
    };
    powers(&runs.iter().map(of).collect::<Vec<_>>(), "largest slope", Some(tolerance), certified)
}

/// Curves on a scale of powers of ten.
fn powers(
    curves: &[Vec<(f64, f64)>],
    name: &str,
    compared_with: Option<f64>,
    last: Option<f64>,
) -> Result<Option<Picture>> {
    let thinned = |curve: &Vec<(f64, f64)>| -> Vec<(f64, f64)> {
        let stride = curve.len().div_ceil(MOST_POINTS).max(1);
        let kept = curve.iter().enumerate().filter(|(i, _)| i % stride == 0 || i + 1 == curve.len());
        kept.map(|(_, (x, y))| (*x, y.log10())).collect()
    };
    let curves: Vec<Vec<(f64, f64)>> = curves.iter().map(thinned).collect();
    let all: Vec<(f64, f64)> = curves.iter().flatten().copied().collect();
    if all.len() < 2 {
        return Ok(None);
    }
    let end = all.iter().map(|(x, _)| *x).fold(1.0, f64::max);
    // The answer stands behind all that the solver saw.
    let last = last.filter(|last| *last > 0.0).map(|last| (end + 0.06 * end.max(4.0), last.log10()));
    let heights = all.iter().map(|(_, y)| *y).chain(compared_with.map(f64::log10)).chain(last.map(|(_, y)| y));
    let (low, high) = heights.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| (low.min(y), high.max(y)));
    let power = |y: &f64| if (y - y.round()).abs() < 1e-9 { format!("1e{}", plain(y)) } else { String::new() };
    let whole = |x: &f64| if (x - x.round()).abs() < 1e-9 { plain(x) } else { String::new() };
    let x_end = last.map_or(end, |(x, _)| x) + 0.03 * end;
    let mut axes =
        Axes::new((0.0..x_end, "reads of X by the solver"), (low.floor() - 0.2..high.ceil() + 0.2, name), &power);
    axes.x_tick = &whole;
    let picture = axes.picture(|chart, _| {
        if let Some(y) = compared_with.map(f64::log10) {
            dashes(chart, (0.0, y), (x_end, y))?;
        }
        for curve in &curves {
            line(chart, curve.iter().copied(), ONE)?;
            if curve.len() <= MOST_DOTS {
                dots(chart, curve.iter().map(|at| (*at, DOT)), ONE)?;
            }
        }
        chart.draw_series(last.map(|at| Cross::new(at, DOT + 20, INK.stroke_width(THICK))))?;
        Ok(())
    });
    picture.map(Some)
}

/// Estimates, one below the other, with their intervals; nothing where there are none. `name` is that of the axis.
///
/// # Errors
/// As [`above_the_least`].
pub fn forest(effects: &[Effect], name: &str) -> Result<Option<Picture>> {
    if effects.is_empty() {
        return Ok(None);
    }
    let range = range_of(effects);
    let names: Vec<(String, usize)> = effects.iter().map(|effect| fitted(&effect.name, NAME)).collect();
    let longest = names.iter().map(|(_, letters)| *letters).max().unwrap_or(0);
    let rows = effects.len();
    let mut axes = Axes::new((range.clone(), name), (0.0..rows as f64, ""), &plain);
    axes.y_labels = 0;
    axes.left = (LETTER * longest + 160) as u32;
    axes.height = ROW * rows as u32 + BELOW + 60;
    let picture = axes.picture(|chart, area| {
        dashes(chart, (0.0, 0.0), (0.0, rows as f64))?;
        for (row, (effect, (name, _))) in effects.iter().zip(&names).enumerate() {
            let y = rows as f64 - row as f64 - 0.5;
            let (edge, height) = chart.backend_coord(&(range.start, y));
            let style = ("sans-serif", FONT).into_font().color(&INK).pos(Pos::new(HPos::Right, VPos::Center));
            area.draw(&Text::new(name.clone(), (edge - 80, height), style))?;
            interval(chart, effect, y, &range)?;
        }
        Ok(())
    });
    picture.map(Some)
}

/// The range of an axis that shows all estimates and, as far as they are not many times as long, their intervals.
fn range_of(effects: &[Effect]) -> Range<f64> {
    let size = effects.iter().map(|effect| effect.estimate.abs()).fold(0.0, f64::max).max(1e-9);
    let ends = effects.iter().flat_map(|effect| {
        let (low, high) = effect.interval.unwrap_or((effect.estimate, effect.estimate));
        [low, high, effect.estimate].map(|end| end.clamp(-4.0 * size, 4.0 * size))
    });
    let (low, high) = ends.fold((0.0, 0.0), |(low, high): (f64, f64), end| (low.min(end), high.max(end)));
    let margin = 0.06 * (high - low);
    low - margin..high + margin
}

/// An estimate and its interval, cut where the axis ends.
fn interval(chart: &mut super::Chart<'_, '_>, effect: &Effect, y: f64, range: &Range<f64>) -> Drawn {
    if let Some((low, high)) = effect.interval {
        let ends = [low, high].map(|end| end.clamp(range.start, range.end));
        let mut parts = vec![vec![(ends[0], y), (ends[1], y)]];
        let caps = [low, high].into_iter().zip(ends).filter(|(whole, end)| whole == end);
        parts.extend(caps.map(|(_, end)| vec![(end, y - 0.2), (end, y + 0.2)]));
        chart.draw_series(parts.into_iter().map(|part| PathElement::new(part, SOFT.stroke_width(THICK))))?;
    }
    dots(chart, [((effect.estimate, y), DOT + 14)], ONE)
}
