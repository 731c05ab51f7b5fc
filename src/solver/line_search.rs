//! A line search that pays for a pass over X only where it evaluates: everything between reads cached logits.
//!
//! The full step is tried first, by a full evaluation (value and gradient in one pass). If it is rejected, the line
//! between the two points' logits is probed at many steps at once, without reading X, until the slope is small; that
//! step is evaluated. Since J is convex, its slope along the line increases, and near the optimum the decision is
//! taken by slopes alone: differences of J drown in rounding there (Hager & Zhang 2005, "approximate Wolfe").

use super::dot;
use crate::error::{Error, Result};
use crate::objective::{Evaluation, Objective, Probe};

/// Sufficient decrease (Armijo's constant).
pub(super) const DECREASE: f64 = 1e-4;
/// A slope at most this part of the first one is small enough for a full step.
const CURVATURE: f64 = 0.9;
/// A slope at most this part of the first one ends a search that probes.
const FLAT: f64 = 0.05;
/// Part of a step that is tried next when its end is out of the engine's range, and how often that is done.
pub(super) const SHORTER: f64 = 1.0 / 64.0;
const SHORTENINGS: usize = 60;
/// Where nothing is probed: trials of a step at the most, and the part of the one before that a shorter one is at the least and at
/// the most.
pub(super) const TRIALS: usize = 40;
pub(super) const SHORTEST: f64 = 0.05;
pub(super) const LONGEST: f64 = 0.7;
/// Rounds of probing at the most; each narrows the bracket at least eightfold.
const ROUNDS: usize = 12;

/// A point along `direction` from `from` (the kept point) where J is lower; `None` when there is none to be found.
pub(super) fn search(
    objective: &mut Objective<'_>,
    from: &Evaluation,
    direction: &[f64],
) -> Result<Option<Evaluation>> {
    if !(dot(&from.gradient, direction) < 0.0) {
        return Ok(None);
    }
    let noise = objective.resolution();
    let Some((direction, trial)) = first_trial(objective, from, direction)? else { return Ok(None) };
    let slope = dot(&from.gradient, &direction);
    let end = Probe { step: 1.0, value: trial.value, slope: dot(&trial.gradient, &direction) };
    if acceptable(from.value, slope, end, noise) {
        return Ok(Some(trial));
    }
    let line = objective.start_line(from, &trial)?;
    let (mut low, mut high) = if end.slope < 0.0 { (1.0, f64::INFINITY) } else { (0.0, 1.0) };
    let mut best: Option<Probe> = None;
    for _ in 0..ROUNDS {
        let steps: Vec<f64> = if high.is_finite() && low > 0.0 {
            (1..=8).map(|k| low + (high - low) * f64::from(k) / 9.0).collect()
        } else if high.is_finite() {
            (1..=8).map(|k| high * 0.5f64.powi(2 * k - 1)).rev().collect()
        } else {
            (1..=8).map(|k| low * 2f64.powi(k)).collect()
        };
        for probe in objective.probe(&line, &steps)? {
            if !(probe.value.is_finite() && probe.slope.is_finite()) {
                // Out of the engine's range, which only lies further out.
                high = high.min(probe.step);
                continue;
            }
            if probe.slope < 0.0 {
                low = low.max(probe.step);
            } else {
                high = high.min(probe.step);
            }
            let lower = probe.value <= from.value + noise * from.value.abs();
            if lower && best.is_none_or(|best| probe.slope.abs() < best.slope.abs()) {
                best = Some(probe);
            }
        }
        if best.is_some_and(|best| best.slope.abs() <= FLAT * slope.abs()) {
            break;
        }
    }
    match best {
        Some(best) if best.slope.abs() < slope.abs() => {
            objective.evaluate(step_to(from, &direction, best.step)).map(Some)
        }
        _ => Ok(None),
    }
}

/// The full step along `direction`, shortened until the engine's numbers can hold its end.
fn first_trial(
    objective: &mut Objective<'_>,
    from: &Evaluation,
    direction: &[f64],
) -> Result<Option<(Vec<f64>, Evaluation)>> {
    let mut direction = direction.to_vec();
    for _ in 0..SHORTENINGS {
        match objective.evaluate(step_to(from, &direction, 1.0)) {
            Ok(trial) => return Ok(Some((direction, trial))),
            Err(Error::Numerics(_)) => direction.iter_mut().for_each(|d| *d *= SHORTER),
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

fn step_to(from: &Evaluation, direction: &[f64], step: f64) -> Vec<f64> {
    from.theta.iter().zip(direction).map(|(t, d)| t + step * d).collect()
}

fn acceptable(value: f64, slope: f64, end: Probe, noise: f64) -> bool {
    end.slope >= CURVATURE * slope && lowers(value, slope, end, noise)
}

/// The step to try after the one that ended at `end` and was no good: where the slopes at both ends, of which the first is `slope`,
/// say that J is lowest.
pub(super) fn shorter(slope: f64, end: Probe) -> f64 {
    let lowest = end.step * slope / (slope - end.slope);
    let lowest = if lowest.is_finite() { lowest } else { 0.0 };
    lowest.clamp(SHORTEST * end.step, LONGEST * end.step)
}

/// Whether J falls enough from `value`, where its slope is `slope`, to `end`.
pub(super) fn lowers(value: f64, slope: f64, end: Probe, noise: f64) -> bool {
    let decreased = end.value <= value + DECREASE * end.step * slope;
    let decided_by_slope =
        (end.value - value).abs() <= noise * value.abs() && end.slope <= (2.0 * DECREASE - 1.0) * slope;
    decreased || decided_by_slope
}
