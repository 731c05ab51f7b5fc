//! Newton's method, H·Δw = −∇J, in two forms.
//!
//! [`minimise`] takes the curvature of all rows, in f64 on the host, at every point: the gradient comes from the engine,
//! so each iteration costs one evaluation there and one Gram matrix here. It is the method for data whose n·p² is small,
//! and the one that gets there when columns are nearly collinear or classes nearly separated.
//!
//! [`minimise_sampled`] is for many rows. It fits nested row samples first, on the host in f64; the sample's optimum is
//! within some √(p/rows) of that of all rows, and so is the sample's curvature, which then serves as the metric of all
//! rows: each pass over X lowers the gradient by that factor, and by more as the metric learns.

use super::lbfgs::SomeRows;
use super::metric::Metric;
use super::quasi_newton::{self, Renewal};
use super::stopping::{StopReason, StopRule};
use super::{Solution, advance, dot, report};
use crate::error::{Error, Result};
use crate::linalg::Cholesky;
use crate::monitor::{Monitor, Unheard};
use crate::objective::{Evaluation, Objective, Precision};

/// The curvature of all rows costs a pass over X for this many parameters.
const PARAMETERS_A_PASS: f64 = 12.0;
/// A sample of m rows is fitted well enough when J has no more to lose than this part of what its being a sample costs:
/// the sample's J is some p/2m of J higher at the optimum of all rows than at its own.
const WELL_ENOUGH: f64 = 0.1;
/// Iterations on a sample at the most.
pub const SAMPLE_ITERATIONS: usize = 50;

/// A Newton step and what it was made of.
#[derive(Debug)]
pub struct NewtonStep {
    /// Δθ.
    pub step: Vec<f64>,
    /// The decrease of J that it promises, ½·∇JᵀH⁻¹∇J.
    pub predicted: f64,
    /// The factor of H.
    pub factor: Cholesky,
}

/// The Newton step from `at`; `None` when H is not positive definite to working precision.
///
/// # Errors
/// As [`Objective::hessian`].
pub fn newton_step(objective: &Objective<'_>, at: &Evaluation) -> Result<Option<NewtonStep>> {
    let Some(factor) = Cholesky::with_ridge(objective.hessian(&at.theta, Precision::F64)?) else { return Ok(None) };
    let mut step = factor.solve(&at.gradient);
    step.iter_mut().for_each(|d| *d = -*d);
    let predicted = -0.5 * dot(&at.gradient, &step);
    let usable = predicted.is_finite() && predicted >= 0.0 && step.iter().all(|d| d.is_finite());
    Ok(usable.then_some(NewtonStep { step, predicted, factor }))
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
            return Ok(Solution { at, reason, iterations, predicted: None, metric: None });
        }
        let (step, predicted) = match newton_step(objective, &at)? {
            Some(newton) => (newton.step, Some(newton.predicted)),
            // Every row is so far out that its curvature underflows: only the gradient still points anywhere.
            None => {
                let eta = 1.0 / objective.curvature_bound();
                (at.gradient.iter().map(|g| -eta * g).collect(), None)
            }
        };
        if let Some(reason) = rule.check(objective, &at, iterations, predicted, monitor) {
            return Ok(Solution { at, reason, iterations, predicted, metric: None });
        }
        match advance(objective, &at, &step)? {
            Some(next) => at = next,
            None => return Ok(Solution { at, reason: StopReason::NoProgress, iterations, predicted, metric: None }),
        }
        iterations += 1;
        report(objective, &at, iterations, monitor);
    }
}

/// How a row sample was fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct SampleFit {
    /// Its rows.
    pub rows: usize,
    /// Iterations on them.
    pub iterations: usize,
}

/// Minimises `objective` with the help of its row `samples`, smallest first; `start` is where the first sample is fitted
/// from, or, for a `warm` start, where all rows are.
///
/// `exact` says whether the curvature of all rows can be afforded where the samples' does not lead to the optimum.
///
/// # Errors
/// As [`Objective::evaluate`].
pub fn minimise_sampled(
    objective: &mut Objective<'_>,
    samples: &mut [Objective<'_>],
    start: Vec<f64>,
    warm: bool,
    exact: bool,
    rule: StopRule,
    monitor: &dyn Monitor,
) -> Result<(Solution, Vec<SampleFit>)> {
    let mut theta = start.clone();
    let mut fits = Vec::new();
    let mut metric = None;
    for sample in samples.iter_mut().filter(|_| !warm) {
        let at = sample.evaluate(theta)?;
        // The curvature of a smaller sample serves a larger one well enough.
        let metric_here = match metric.take() {
            Some(metric) => metric,
            None => metric_at(sample, &at.theta)?,
        };
        let rule = sample_rule(sample);
        let solution = quasi_newton::minimise(sample, at, metric_here, AllRows::of(sample), rule, &Unheard(monitor))?;
        fits.push(SampleFit { rows: sample.rows(), iterations: solution.iterations });
        theta = solution.at.theta;
        metric = solution.metric;
    }
    let Some(largest) = samples.last() else { return Ok((minimise(objective, start, rule, monitor)?, fits)) };
    let at = match objective.evaluate(theta) {
        // What a sample's optimum is worth is not known before all rows have been asked.
        Err(Error::Numerics(_)) => objective.evaluate(start)?,
        evaluated => evaluated?,
    };
    let metric = metric_at(largest, &at.theta)?;
    let solution = if exact {
        quasi_newton::minimise(objective, at, metric, AllRows::of(objective), rule, monitor)?
    } else {
        quasi_newton::minimise(objective, at, metric, SomeRows::default(), rule, monitor)?
    };
    Ok((solution, fits))
}

/// The predicted decrease of J, as a part of it, at which a sample of `rows` rows is fitted well enough.
pub fn well_enough(parameters: usize, rows: usize) -> f64 {
    0.5 * WELL_ENOUGH * parameters as f64 / rows as f64
}

fn sample_rule(sample: &Objective<'_>) -> StopRule {
    let relative_decrease = well_enough(sample.coordinates().len(), sample.rows());
    StopRule { tolerance: 0.0, max_iterations: SAMPLE_ITERATIONS, relative_decrease, leave_last_step: false }
}

/// Renews a metric by the curvature of all rows.
struct AllRows {
    parameters: usize,
}

impl AllRows {
    fn of(objective: &Objective<'_>) -> Self {
        AllRows { parameters: objective.coordinates().len() }
    }
}

/// Passes over X that the curvature of all rows costs.
pub(super) fn curvature_passes(parameters: usize) -> f64 {
    2.0 + parameters as f64 / PARAMETERS_A_PASS
}

impl Renewal for AllRows {
    fn cost(&self) -> f64 {
        curvature_passes(self.parameters)
    }

    fn renew(&mut self, objective: &Objective<'_>, theta: &[f64]) -> Result<Option<Metric>> {
        metric_at(objective, theta).map(Some)
    }
}

/// The metric of the curvature at θ.
fn metric_at(objective: &Objective<'_>, theta: &[f64]) -> Result<Metric> {
    let metric = Metric::rough(|products| Ok(Metric::of(objective.hessian(theta, products)?)))?;
    Ok(metric.unwrap_or_else(|| Metric::scaled(1.0 / objective.curvature_bound())))
}
