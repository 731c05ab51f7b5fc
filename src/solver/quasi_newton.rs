//! Steps along a [`Metric`] that learns from each of them, and is taken anew where it leads nowhere.

use super::metric::Metric;
use super::stopping::{StopReason, StopRule};
use super::{Solution, advance, dot, report};
use crate::error::Result;
use crate::monitor::Monitor;
use crate::objective::{Evaluation, Objective};

/// Iterations after which a metric is taken anew, unless they lowered the predicted decrease by this factor.
const RENEW: usize = 8;
const GOOD_PROGRESS: f64 = 1e-4;

/// Minimises `objective` from the evaluated `start`, which need not be kept yet.
///
/// `renew` gives a new metric at θ, told how many it has given before; it is asked after every few iterations and where
/// the present metric offers no descent. `None` is to go on with what there is.
///
/// # Errors
/// As [`Objective::evaluate`].
pub fn minimise(
    objective: &mut Objective<'_>,
    start: Evaluation,
    mut metric: Metric,
    mut renew: impl FnMut(&Objective<'_>, &[f64], usize) -> Option<Metric>,
    rule: StopRule,
    monitor: &dyn Monitor,
) -> Result<Solution> {
    let mut at = start;
    objective.keep(&at)?;
    let (mut iterations, mut since, mut renewals) = (0, 0, 0);
    let mut reference = f64::INFINITY;
    report(objective, &at, iterations, monitor);
    loop {
        let mut step = metric.direction(&at.gradient);
        let mut decrease = -0.5 * dot(&at.gradient, &step);
        if since == RENEW {
            if !(decrease <= GOOD_PROGRESS * reference)
                && let Some(new) = renew(objective, &at.theta, renewals)
            {
                metric = new;
                renewals += 1;
                step = metric.direction(&at.gradient);
                decrease = -0.5 * dot(&at.gradient, &step);
            }
            since = 0;
        }
        if since == 0 {
            reference = decrease;
        }
        // Before a metric has formed, the step says nothing about how far away the optimum is.
        let predicted = metric.is_informed().then_some(decrease);
        if let Some(reason) = rule.check(objective, &at, iterations, predicted, monitor) {
            return Ok(Solution { at, reason, iterations, predicted, metric: Some(metric) });
        }
        match advance(objective, &at, &step)? {
            Some(next) => {
                metric.correct(difference(&next.theta, &at.theta), difference(&next.gradient, &at.gradient));
                at = next;
                iterations += 1;
                since += 1;
                report(objective, &at, iterations, monitor);
            }
            // A stale metric can offer no descent; a fresh one that offers none means the noise floor.
            None if metric.forget() => {
                if let Some(new) = renew(objective, &at.theta, renewals) {
                    metric = new;
                    renewals += 1;
                }
                since = 0;
            }
            None => {
                let reason = StopReason::NoProgress;
                return Ok(Solution { at, reason, iterations, predicted, metric: Some(metric) });
            }
        }
    }
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}
