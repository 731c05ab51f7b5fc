//! Newton's method by values, slopes and information at points alone, over all θ or those with cᵀθ = b: for likelihoods that no line
//! can be drawn through without a pass over X.
//!
//! Where the information is not the second derivative, what it lacks is learnt from the changes of the gradient ([`Metric`]).

use super::{Metric, StopReason, StopRule, dot};
use crate::error::{Error, Result};
use crate::monitor::{Event, Monitor};
use crate::objective::{Evaluation, Likelihood};

/// Part of the predicted decrease that a step must bring (Armijo's condition).
const SUFFICIENT: f64 = 1e-4;
/// Rounding of a value as a part of it: differences below are judged by slopes.
const ROUNDING: f64 = 16.0 * f64::EPSILON;
/// Halvings of a step at the most.
const HALVINGS: usize = 50;
/// Part of the tolerance that the slope is taken to while each step halves it.
const WELL_WITHIN: f64 = 1e-4;

/// Where [`minimise`] ended.
#[derive(Debug, Clone)]
pub struct Minimum {
    /// The point.
    pub at: Evaluation,
    /// λ with ∇ = λc there; 0 without a constraint.
    pub multiplier: f64,
    /// H⁻¹c: the way along which the minimum moves with b; empty without a constraint.
    pub tangent: Vec<f64>,
}

/// What a caller decides of each point, given the decrease that a step from it promises: whether to end there.
pub type Ends<'e> = dyn FnMut(&dyn Likelihood, &Evaluation, f64) -> Result<bool> + 'e;

/// Moves from `theta`, along cᵀθ = const for the `constraint` c where there is one, until `ends` or no step leads any further.
///
/// # Errors
/// [`Error::Numerics`] where there is no curvature, what `ends` fails with, and as [`Likelihood::evaluate`].
pub fn minimise(
    likelihood: &mut dyn Likelihood,
    theta: Vec<f64>,
    constraint: Option<&[f64]>,
    ends: &mut Ends<'_>,
) -> Result<Minimum> {
    let mut at = likelihood.evaluate(theta)?;
    let mut metric = Metric::scaled(1.0);
    loop {
        if !(at.value.is_finite() && metric.renew(likelihood.information(&at.theta)?)) {
            return Err(Error::Numerics(
                "the information matrix is singular to working precision; leave out columns that nearly repeat others"
                    .into(),
            ));
        }
        let mut step = metric.direction(&at.gradient);
        let (mut multiplier, mut tangent) = (0.0, Vec::new());
        if let Some(c) = constraint {
            tangent = metric.direction(c);
            tangent.iter_mut().for_each(|t| *t = -*t);
            multiplier = -dot(c, &step) / dot(c, &tangent);
            step = along(&step, multiplier, &tangent);
        }
        let slope = dot(&at.gradient, &step);
        let next = match ends(likelihood, &at, -0.5 * slope)? {
            true => None,
            false => descend(likelihood, &at, &step, slope)?,
        };
        let Some(next) = next else { return Ok(Minimum { at, multiplier, tangent }) };
        if !likelihood.is_curvature() {
            metric.correct(along(&next.theta, -1.0, &at.theta), along(&next.gradient, -1.0, &at.gradient));
        }
        at = next;
    }
}

/// Where [`solve`] ended, and why.
#[derive(Debug)]
pub struct End {
    /// The point.
    pub minimum: Minimum,
    /// Why it ended.
    pub reason: StopReason,
    /// Iterations finished.
    pub iterations: usize,
    /// The decrease that a further step promised.
    pub predicted: f64,
}

/// Minimises `likelihood`, of rows of the weight `weight_sum`, from `theta`. Beyond the tolerance of `rule` it goes on while each step
/// halves the slope.
///
/// # Errors
/// As [`minimise`].
pub fn solve(
    likelihood: &mut dyn Likelihood,
    theta: Vec<f64>,
    rule: StopRule,
    weight_sum: f64,
    monitor: &dyn Monitor,
) -> Result<End> {
    let (mut points, mut slope, mut predicted) = (0, f64::INFINITY, f64::INFINITY);
    let mut reason = StopReason::NoProgress;
    let minimum = minimise(likelihood, theta, None, &mut |likelihood, at, promised| {
        let before = std::mem::replace(&mut slope, likelihood.gradient_norms(at).0);
        monitor.event(Event::Iteration {
            iteration: points,
            objective: at.value,
            gradient_inf_norm: slope,
            passes: likelihood.passes(),
            point: Some(&|| likelihood.coordinates().to_original(&at.theta)),
        });
        let at_rest = slope > 0.5 * before;
        let least = rule.relative_decrease * at.value.max(weight_sum / 1000.0);
        reason = match () {
            () if slope <= rule.tolerance && (at_rest || slope <= WELL_WITHIN * rule.tolerance) => StopReason::Gradient,
            () if at_rest && promised <= least => StopReason::PredictedDecrease,
            () if points >= rule.max_iterations => StopReason::MaxIterations,
            () if monitor.interrupted() => StopReason::Interrupted,
            () => StopReason::NoProgress,
        };
        (points, predicted) = (points + 1, promised);
        Ok(reason != StopReason::NoProgress)
    })?;
    Ok(End { minimum, reason, iterations: points.saturating_sub(1), predicted })
}

/// A point along `step`, whose slope is `slope`, that is lower by enough; none where rounding leaves none.
fn descend(likelihood: &mut dyn Likelihood, at: &Evaluation, step: &[f64], slope: f64) -> Result<Option<Evaluation>> {
    let mut length = 1.0;
    for _ in 0..HALVINGS {
        let next = likelihood.evaluate(along(&at.theta, length, step))?;
        let level = (next.value - at.value).abs() <= ROUNDING * at.value.abs();
        if next.value <= at.value + SUFFICIENT * length * slope
            || (level && dot(&next.gradient, step).abs() < slope.abs())
        {
            return Ok(Some(next));
        }
        length *= 0.5;
    }
    Ok(None)
}

/// `from` + `length`·`direction`.
pub fn along(from: &[f64], length: f64, direction: &[f64]) -> Vec<f64> {
    from.iter().zip(direction).map(|(t, d)| t + length * d).collect()
}
