//! Gradient descent as the lesson has it: w := w + Δw with Δw = −η∇J, until the slope is nearly zero.

use super::stopping::{StopReason, StopRule};
use super::{Solution, report};
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::objective::Objective;

/// Minimises `objective` from `start`.
///
/// `learning_rate` is η on the standardised columns, by default 1/L for the bound L of
/// [`Objective::curvature_bound`] on the curvature, with which J falls at every step.
///
/// # Errors
/// As [`Objective::evaluate`].
pub fn minimise(
    objective: &mut Objective<'_>,
    start: Vec<f64>,
    learning_rate: Option<f64>,
    rule: StopRule,
    monitor: &dyn Monitor,
) -> Result<Solution> {
    let eta = learning_rate.unwrap_or_else(|| 1.0 / objective.curvature_bound());
    let mut at = objective.evaluate(start)?;
    let worst = 10.0 * at.value.max(objective.weight_sum());
    let mut iterations = 0;
    report(objective, &at, iterations, monitor);
    loop {
        if let Some(reason) = rule.check(objective, &at, iterations, None, monitor) {
            return Ok(Solution { at, reason, iterations, predicted: None, metric: None });
        }
        let theta = at.theta.iter().zip(&at.gradient).map(|(w, slope)| w - eta * slope).collect();
        at = match objective.evaluate(theta) {
            Ok(next) if next.value <= worst => next,
            Ok(_) | Err(Error::Numerics(_)) => {
                return Ok(Solution { at, reason: StopReason::Diverged, iterations, predicted: None, metric: None });
            }
            Err(failure) => return Err(failure),
        };
        iterations += 1;
        report(objective, &at, iterations, monitor);
    }
}
