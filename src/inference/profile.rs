//! Profile-likelihood intervals: where the deviance, minimised over all other parameters, has risen by the quantile of χ²₁.
//!
//! Along b = cᵀθ the profile is D(b) = 2·(min{J(θ) : cᵀθ = b} − min J), which is convex, and at each of its points ∇J = λc with
//! dD/db = 2λ. The inner minimum is found by Newton steps that stay on cᵀθ = b; the outer root by Newton's method on √D(b) = √q,
//! which is nearly a straight line, within a bracket that only shrinks.

use super::factor;
use crate::error::{Error, Result};
use crate::objective::{Evaluation, Objective, Precision};

/// How far D at an end may be from its quantile; more where the rounding of J is.
const TOLERANCE: f64 = 1e-9;
/// Rounding of J as a part of it, for sums over very many rows.
const ROUNDING: f64 = 16.0 * f64::EPSILON;
/// Decrease of J that a further step along the constraint must promise.
const SETTLED: f64 = 1e-11;
/// Part of the predicted decrease that a step must bring (Armijo's condition).
const SUFFICIENT: f64 = 1e-4;
/// Steps along a constraint, halvings of one of them, and steps of the outer root at the most.
const STEPS: usize = 100;
const HALVINGS: usize = 50;
const ENDS: usize = 60;

/// The constrained minimum at one value of b.
struct Point {
    at: Evaluation,
    /// λ with ∇J = λc.
    multiplier: f64,
    /// H⁻¹c: the way along which the minimum moves with b.
    tangent: Vec<f64>,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn along(from: &[f64], step: f64, direction: &[f64]) -> Vec<f64> {
    from.iter().zip(direction).map(|(t, d)| t + step * d).collect()
}

/// How far below and above its value at the minimum `best` of `objective` cᵀθ comes to D = `quantile`.
///
/// # Errors
/// [`Error::Numerics`] where an end is not found, and as [`Objective::evaluate`] and [`Objective::hessian`].
pub fn profile_interval(
    objective: &mut Objective<'_>,
    best: &Evaluation,
    c: &[f64],
    quantile: f64,
) -> Result<(f64, f64)> {
    let tangent = factor(&objective.hessian(&best.theta, Precision::F64)?)?.solve(c);
    let mut distance = |side: f64| {
        let start = Point { at: best.clone(), multiplier: 0.0, tangent: tangent.clone() };
        end(objective, start, c, side, quantile)
    };
    Ok((distance(-1.0)?, distance(1.0)?))
}

/// How far from the minimum `start` on the given side, −1 or 1, D comes to `quantile`.
fn end(objective: &mut Objective<'_>, start: Point, c: &[f64], side: f64, quantile: f64) -> Result<f64> {
    let least = start.at.value;
    let tolerance = TOLERANCE.max(ROUNDING * least);
    let (mut inside, mut outside) = (0.0, f64::INFINITY);
    let (mut here, mut x) = (start, 0.0);
    // Wald's end.
    let mut next = (quantile * dot(c, &here.tangent)).sqrt();
    for _ in 0..ENDS {
        let step = side * (next - x) / dot(c, &here.tangent);
        let theta = along(&here.at.theta, step, &here.tangent);
        (here, x) = (constrained_minimum(objective, theta, c)?, next);
        let rise = 2.0 * (here.at.value - least);
        if (rise - quantile).abs() <= tolerance {
            return Ok(x);
        }
        if rise < quantile {
            inside = x
        } else {
            outside = x
        }
        let root = rise.max(0.0).sqrt();
        next = x - (root - quantile.sqrt()) * root / (side * here.multiplier);
        if !(next > inside && next < outside) {
            next = if outside.is_finite() { 0.5 * (inside + outside) } else { 2.0 * x };
        }
    }
    Err(Error::Numerics("an end of a profile-likelihood interval was not found; leave --profile out".into()))
}

/// The minimum of J over the θ' with cᵀθ' = cᵀθ.
fn constrained_minimum(objective: &mut Objective<'_>, theta: Vec<f64>, c: &[f64]) -> Result<Point> {
    let mut at = objective.evaluate(theta)?;
    for _ in 0..STEPS {
        let information = factor(&objective.hessian(&at.theta, Precision::F64)?)?;
        let (newton, tangent) = (information.solve(&at.gradient), information.solve(c));
        let multiplier = dot(c, &newton) / dot(c, &tangent);
        let step: Vec<f64> = newton.iter().zip(&tangent).map(|(v, s)| multiplier * s - v).collect();
        let slope = dot(&at.gradient, &step);
        let settled = -0.5 * slope <= SETTLED.max(ROUNDING * at.value);
        let better = if settled { None } else { descend(objective, &at, &step, slope)? };
        match better {
            Some(next) => at = next,
            None => return Ok(Point { at, multiplier, tangent }),
        }
    }
    Err(Error::Numerics("a profile of the likelihood was not followed to its minimum; leave --profile out".into()))
}

/// A point along `step`, whose slope is `slope`, that is lower by enough; none where rounding leaves none.
fn descend(objective: &mut Objective<'_>, at: &Evaluation, step: &[f64], slope: f64) -> Result<Option<Evaluation>> {
    let mut length = 1.0;
    for _ in 0..HALVINGS {
        let next = objective.evaluate(along(&at.theta, length, step))?;
        if next.value <= at.value + SUFFICIENT * length * slope {
            return Ok(Some(next));
        }
        length *= 0.5;
    }
    Ok(None)
}
