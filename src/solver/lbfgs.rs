//! L-BFGS on top of the curvature of rows on the host.
//!
//! The inverse Hessian starts as that of a row sample (all rows where they are few) instead of a multiple of the
//! identity, so that a handful of corrections suffices even when columns are collinear; it is taken anew at the
//! current point every few iterations. Where p is too large for a p × p factor, the usual scaled identity serves
//! (Nocedal & Wright, Numerical Optimization, 2nd ed., algorithm 7.4).

use std::collections::VecDeque;

use super::stopping::{StopReason, StopRule};
use super::{Solution, advance, dot, report};
use crate::error::Result;
use crate::linalg::Cholesky;
use crate::monitor::Monitor;
use crate::objective::Objective;

/// Corrections remembered.
const MEMORY: usize = 12;
/// Corrections from which on the predicted decrease is believed without a factor.
const INFORMED: usize = 6;
/// Iterations after which the sampled curvature is taken anew.
const REFRESH: usize = 8;
/// Parameters up to which a factor of the curvature is kept.
const MAX_FACTOR: usize = 2048;
/// Rows the sampled curvature is taken from, at the least, and per parameter.
const SAMPLE_ROWS: usize = 50_000;
const SAMPLE_ROWS_PER_PARAMETER: usize = 100;

/// One remembered change of the point and of the gradient.
struct Correction {
    step: Vec<f64>,
    change: Vec<f64>,
    /// 1/(changeᵀ·step).
    rho: f64,
}

/// −H⁻¹·gradient for the inverse Hessian built from `factor` (or a scaled identity) and `memory`.
fn direction(gradient: &[f64], factor: Option<&Cholesky>, memory: &VecDeque<Correction>, first: f64) -> Vec<f64> {
    let mut q = gradient.to_vec();
    let mut alphas = Vec::with_capacity(memory.len());
    for c in memory.iter().rev() {
        let alpha = c.rho * dot(&c.step, &q);
        q.iter_mut().zip(&c.change).for_each(|(q, y)| *q -= alpha * y);
        alphas.push(alpha);
    }
    let mut r = match (factor, memory.back()) {
        (Some(factor), _) => factor.solve(&q),
        (None, Some(c)) => {
            let gamma = 1.0 / (c.rho * dot(&c.change, &c.change));
            q.iter().map(|q| gamma * q).collect()
        }
        (None, None) => q.iter().map(|q| first * q).collect(),
    };
    for (c, alpha) in memory.iter().zip(alphas.into_iter().rev()) {
        let beta = c.rho * dot(&c.change, &r);
        r.iter_mut().zip(&c.step).for_each(|(r, s)| *r += (alpha - beta) * s);
    }
    r.iter_mut().for_each(|r| *r = -*r);
    r
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
    let parameters = objective.coordinates().len();
    let sample_rows = SAMPLE_ROWS.max(SAMPLE_ROWS_PER_PARAMETER * parameters);
    let first = 1.0 / objective.curvature_bound();
    let mut at = objective.evaluate(start)?;
    objective.keep(&at)?;
    let mut memory: VecDeque<Correction> = VecDeque::with_capacity(MEMORY);
    let mut factor: Option<Cholesky> = None;
    let mut fresh = false;
    let mut iterations = 0;
    let mut predicted = None;
    report(objective, &at, iterations, monitor);
    loop {
        if let Some(reason) = rule.check(objective, &at, iterations, None, monitor) {
            return Ok(Solution { at, reason, iterations, predicted });
        }
        if parameters <= MAX_FACTOR && iterations % REFRESH == 0 && !fresh {
            factor = Cholesky::with_ridge(&objective.sampled_hessian(&at.theta, sample_rows));
            memory.clear();
            fresh = true;
        }
        let d = direction(&at.gradient, factor.as_ref(), &memory, first);
        // Before a metric has formed, the step says nothing about how far away the optimum is.
        let informed = factor.is_some() || memory.len() >= INFORMED;
        predicted = informed.then(|| -0.5 * dot(&at.gradient, &d));
        if let Some(reason) = rule.check(objective, &at, iterations, predicted, monitor) {
            return Ok(Solution { at, reason, iterations, predicted });
        }
        match advance(objective, &at, &d)? {
            Some(next) => {
                let step: Vec<f64> = next.theta.iter().zip(&at.theta).map(|(n, a)| n - a).collect();
                let change: Vec<f64> = next.gradient.iter().zip(&at.gradient).map(|(n, a)| n - a).collect();
                let curvature = dot(&step, &change);
                // A correction that rounding made (nearly) flat or concave would poison the metric.
                if curvature > 1e-10 * dot(&change, &change).sqrt() * dot(&step, &step).sqrt() {
                    if memory.len() == MEMORY {
                        memory.pop_front();
                    }
                    memory.push_back(Correction { step, change, rho: 1.0 / curvature });
                }
                at = next;
                iterations += 1;
                fresh = false;
                report(objective, &at, iterations, monitor);
            }
            // A stale metric can offer no descent; a fresh one that offers none means the noise floor.
            None if !memory.is_empty() => {
                memory.clear();
                if parameters <= MAX_FACTOR {
                    factor = Cholesky::with_ridge(&objective.sampled_hessian(&at.theta, sample_rows));
                    fresh = true;
                }
            }
            None => return Ok(Solution { at, reason: StopReason::NoProgress, iterations, predicted }),
        }
    }
}
