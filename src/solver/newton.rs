//! Newton's method: H·Δw = −∇J with the curvature of all rows, in f64 on the host.
//!
//! The gradient comes from the engine, so each iteration costs one evaluation there and one Gram matrix here: the
//! method for data whose n·p² is small. It is the one that gets there when columns are nearly collinear or classes
//! nearly separated.

use super::stopping::{StopReason, StopRule};
use super::{Solution, advance, dot, report};
use crate::error::Result;
use crate::linalg::Cholesky;
use crate::monitor::Monitor;
use crate::objective::{Evaluation, Objective};

/// The Newton step Δθ from `at` and the decrease of J it promises, ½·∇JᵀH⁻¹∇J; `None` when H is not positive definite
/// to working precision.
pub fn newton_step(objective: &Objective<'_>, at: &Evaluation) -> Option<(Vec<f64>, f64)> {
    let factor = Cholesky::with_ridge(&objective.hessian(&at.theta))?;
    let mut step = factor.solve(&at.gradient);
    step.iter_mut().for_each(|d| *d = -*d);
    let predicted = -0.5 * dot(&at.gradient, &step);
    let usable = predicted.is_finite() && predicted >= 0.0 && step.iter().all(|d| d.is_finite());
    usable.then_some((step, predicted))
}

/// Minimises `objective` from `start`.
///
/// # Errors
/// As [`Objective::evaluate`].
pub fn minimise(
    objective: &mut Objective<'_>,
    start: Vec<f64>,
    rule: StopRule,
    monitor: &dyn Monitor,
) -> Result<Solution> {
    let mut at = objective.evaluate(start)?;
    objective.keep(&at)?;
    let mut iterations = 0;
    report(objective, &at, iterations, monitor);
    loop {
        if let Some(reason) = rule.check(objective, &at, iterations, None, monitor) {
            return Ok(Solution { at, reason, iterations, predicted: None });
        }
        let (step, predicted) = match newton_step(objective, &at) {
            Some((step, predicted)) => (step, Some(predicted)),
            // Every row is so far out that its curvature underflows: only the gradient still points anywhere.
            None => {
                let eta = 1.0 / objective.curvature_bound();
                (at.gradient.iter().map(|g| -eta * g).collect(), None)
            }
        };
        if let Some(reason) = rule.check(objective, &at, iterations, predicted, monitor) {
            return Ok(Solution { at, reason, iterations, predicted });
        }
        match advance(objective, &at, &step)? {
            Some(next) => at = next,
            None => return Ok(Solution { at, reason: StopReason::NoProgress, iterations, predicted }),
        }
        iterations += 1;
        report(objective, &at, iterations, monitor);
    }
}
