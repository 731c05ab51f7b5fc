//! Steps along a [`Metric`] that learns from each of them, and is taken anew where it leads nowhere.

use super::metric::Metric;
use super::stopping::{StopReason, StopRule};
use super::{Solution, advance, dot, report};
use crate::error::Result;
use crate::monitor::Monitor;
use crate::objective::{Evaluation, Objective};

/// Iterations that the pace of a metric is judged by.
const JUDGED: usize = 3;

/// How a metric is taken anew.
pub trait Renewal {
    /// Passes over X that it costs.
    fn cost(&self) -> f64;

    /// A new metric at θ; `None` is to go on with what there is.
    ///
    /// # Errors
    /// As [`Objective::hessian`].
    fn renew(&mut self, objective: &Objective<'_>, theta: &[f64]) -> Result<Option<Metric>>;

    /// How far along `step` the first one should go from `at`, as a part or a multiple of it.
    ///
    /// # Errors
    /// As [`Objective::hessian`].
    fn first_length(&self, _objective: &Objective<'_>, _at: &Evaluation, _step: &[f64]) -> Result<f64> {
        Ok(1.0)
    }

    /// Has `metric` follow the curvature to θ; whether that changed so much on the way that the step there says little of what is to come.
    ///
    /// # Errors
    /// As [`Objective::hessian`].
    fn follow(&mut self, _objective: &Objective<'_>, _theta: &[f64], _metric: &mut Metric) -> Result<bool> {
        Ok(false)
    }
}

/// Minimises `objective` from the evaluated `start`, which need not be kept yet.
///
/// The metric is renewed where the present one offers no descent, and where it would take more passes to the tolerance, at the
/// pace of its last iterations, than a new one costs.
///
/// # Errors
/// As [`Objective::evaluate`].
pub fn minimise(
    objective: &mut Objective<'_>,
    start: Evaluation,
    mut metric: Metric,
    mut renewal: impl Renewal,
    rule: StopRule,
    monitor: &dyn Monitor,
) -> Result<Solution> {
    let mut at = start;
    objective.keep(&at)?;
    let mut iterations = 0;
    // Decreases predicted with the present metric, the latest last.
    let mut decreases: Vec<f64> = Vec::new();
    // The slope before the last step.
    let mut before = f64::INFINITY;
    report(objective, &at, iterations, monitor);
    loop {
        let mut step = metric.direction(&at.gradient);
        let mut decrease = -0.5 * dot(&at.gradient, &step);
        decreases.push(decrease);
        let slope = objective.gradient_norms(&at).0;
        // At the pace of the last step.
        let last_step = before.is_finite() && slope * slope / before <= rule.tolerance;
        if rule.leave_last_step && last_step && !(slope <= rule.tolerance) {
            let predicted = Some(decrease);
            return Ok(Solution { at, reason: StopReason::NextStep, iterations, predicted, metric: Some(metric) });
        }
        // How far the slope has to fall to meet either rule.
        let to_fall = (slope / rule.tolerance).min((decrease / rule.floor(objective, &at)).sqrt());
        if passes_to_go(&decreases, to_fall) > renewal.cost()
            && let Some(new) = renewal.renew(objective, &at.theta)?
        {
            metric = new;
            step = metric.direction(&at.gradient);
            decrease = -0.5 * dot(&at.gradient, &step);
            decreases = vec![decrease];
        }
        // Before a metric has formed, the step says nothing about how far away the optimum is.
        let predicted = metric.is_informed().then_some(decrease);
        if let Some(reason) = rule.check(objective, &at, iterations, predicted, monitor) {
            return Ok(Solution { at, reason, iterations, predicted, metric: Some(metric) });
        }
        if iterations == 0 {
            let length = renewal.first_length(objective, &at, &step)?;
            step.iter_mut().for_each(|d| *d *= length);
        }
        match advance(objective, &at, &step)? {
            Some(next) => {
                if !renewal.follow(objective, &next.theta, &mut metric)? {
                    metric.correct(difference(&next.theta, &at.theta), difference(&next.gradient, &at.gradient));
                }
                before = slope;
                at = next;
                iterations += 1;
                report(objective, &at, iterations, monitor);
            }
            // A stale metric can offer no descent; a fresh one that offers none means the noise floor.
            None if metric.forget() => {
                if let Some(new) = renewal.renew(objective, &at.theta)? {
                    metric = new;
                }
                decreases.clear();
            }
            None => {
                let reason = StopReason::NoProgress;
                return Ok(Solution { at, reason, iterations, predicted, metric: Some(metric) });
            }
        }
    }
}

/// Passes until the slope has fallen by `factor`, at the pace of the last iterations; 0 while that is not known.
///
/// The predicted decrease is quadratic in the slope.
pub(super) fn passes_to_go(decreases: &[f64], factor: f64) -> f64 {
    let Some(earlier) = decreases.len().checked_sub(JUDGED + 1) else { return 0.0 };
    let pace = (decreases[earlier] / decreases[decreases.len() - 1]).ln() / JUDGED as f64;
    if pace > 0.0 { 2.0 * factor.max(1.0).ln() / pace } else { f64::INFINITY }
}

pub(super) fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_says_how_many_passes_are_left() {
        // The slope falls tenfold a pass, so six more take it down by 10⁶.
        let decreases = [1.0, 1e-2, 1e-4, 1e-6];
        assert!((passes_to_go(&decreases, 1e6) - 6.0).abs() < 1e-9);
        assert_eq!(passes_to_go(&decreases[..3], 1e6), 0.0);
        assert_eq!(passes_to_go(&[1.0, 1.0, 1.0, 1.0], 10.0), f64::INFINITY);
        assert_eq!(passes_to_go(&decreases, 0.5), 0.0);
    }
}
