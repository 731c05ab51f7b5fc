//! Firth's penalised likelihood, on the host in f64 from the first step to the last.

use std::time::Instant;

use super::{Fit, FitOptions, LEAST_DECREASE, Seconds, starting_point};
use crate::certificate::{self, Certificate, Problem, Status};
use crate::data::Dataset;
use crate::engine::cpu::Host;
use crate::engine::{DeviceRequest, Engine};
use crate::error::{Error, Result};
use crate::monitor::{Event, Monitor};
use crate::objective::{Coordinates, Evaluation, FirthObjective, Likelihood, Objective};
use crate::solver::pointwise::{self, Minimum};
use crate::solver::{Solver, StopReason};

/// Part of the tolerance that the slope is taken to while each step halves it.
const WELL_WITHIN: f64 = 1e-4;
/// Slope per row at which the model without columns is fitted, and steps at the most.
const NULL_SLOPE: f64 = 1e-12;
const NULL_STEPS: usize = 50;

/// [`super::fit_with`] of Firth's penalised likelihood.
///
/// # Errors
/// [`Error::Usage`] where the device is to be a GPU or there is too much data for a matrix of curvature; else as there.
pub(super) fn fit(data: &Dataset, options: &FitOptions, monitor: &dyn Monitor) -> Result<Fit> {
    let start = Instant::now();
    if !matches!(options.device, DeviceRequest::Auto | DeviceRequest::Cpu) {
        return Err(Error::Usage(
            "--firth is computed on the CPU, in f64 throughout: leave --device to auto or cpu".into(),
        ));
    }
    let host = Host::new(data);
    let full = Coordinates::new(data, options.intercept, &[]);
    if !certificate::affordable(data.rows, full.len()) {
        return Err(Error::Usage(format!(
            "--firth would need the information matrix of {} rows × {} columns at every step, which is too large; with so much \
             data the bias is small: leave it out, or use fewer columns (--features, --drop)",
            data.rows,
            full.len()
        )));
    }
    let independence = certificate::rank(&host, &full, 0.0)?;
    let problem = Problem::new(&host, full, independence, 0.0);
    let mut engine = host.engine();
    let device = engine.device().clone();
    let objective = Objective::new(&mut engine, &host, problem.coordinates().clone(), 0.0);
    let mut likelihood = FirthObjective::new(objective);
    let from = starting_point(problem.coordinates(), &options.init);
    let end = minimise(&mut likelihood, from, data.weight_sum, options, monitor)?;
    let at = &end.minimum.at;
    let (slope, raw) = likelihood.gradient_norms(at);
    let passes = likelihood.passes();
    let (coefficients, intercept) = problem.shortest_coefficients(&at.theta);
    let certificate = Certificate {
        objective: at.value,
        loss: at.loss,
        gradient_inf_norm: slope,
        gradient_inf_norm_raw: raw,
        predicted_decrease: Some(end.predicted),
        objective_gap: None,
        coefficient_gap: None,
        standard_error_gap: None,
        polish_steps: 0,
        polish_decrease: 0.0,
    };
    let converged = certificate.convergence(options.tolerance, data.weight_sum);
    let (status, stopped_by) = match (end.reason, converged) {
        (StopReason::Interrupted, _) => (Status::Interrupted, "interrupted"),
        (_, Some(rule)) => (Status::Converged, rule),
        (StopReason::MaxIterations, None) => (Status::MaxIterations, "max-iterations"),
        _ => (Status::Stalled, "no-progress"),
    };
    let seconds = start.elapsed().as_secs_f64();
    Ok(Fit {
        coefficients,
        intercept,
        status,
        stopped_by,
        solver: Solver::Newton,
        device,
        samples: Vec::new(),
        iterations: end.iterations,
        passes,
        objective: at.value,
        log_loss: at.loss / data.weight_sum,
        gradient_inf_norm: slope,
        gradient_inf_norm_raw: raw,
        certificate: Some(certificate),
        rank: problem.rank(),
        redundant: problem.redundant(),
        separation: None,
        rounding: data.rounding(),
        seconds: Seconds { solve: seconds, total: seconds, ..Seconds::default() },
        cost: engine.cost(),
    })
}

/// Where [`minimise`] ended, and why.
pub(super) struct End {
    pub(super) minimum: Minimum,
    reason: StopReason,
    iterations: usize,
    /// The decrease that a further step promised.
    predicted: f64,
}

/// Minimises `likelihood` from `theta`, well beyond the tolerance where that is to be had.
pub(super) fn minimise(
    likelihood: &mut dyn Likelihood,
    theta: Vec<f64>,
    weight_sum: f64,
    options: &FitOptions,
    monitor: &dyn Monitor,
) -> Result<End> {
    let most = options.max_iterations.unwrap_or(Solver::Newton.default_max_iterations());
    let (mut iterations, mut last_slope) = (None, f64::INFINITY);
    let (mut reason, mut predicted) = (StopReason::NoProgress, f64::INFINITY);
    let minimum = pointwise::minimise(likelihood, theta, None, &mut |likelihood, at: &Evaluation, promised| {
        let iteration = iterations.map_or(0, |k| k + 1);
        let slope = likelihood.gradient_norms(at).0;
        monitor.event(Event::Iteration {
            iteration,
            objective: at.value,
            gradient_inf_norm: slope,
            passes: likelihood.passes(),
            point: Some(&|| likelihood.coordinates().to_original(&at.theta)),
        });
        let at_rest = slope > 0.5 * last_slope;
        let within = slope <= options.tolerance && (at_rest || slope <= WELL_WITHIN * options.tolerance);
        let least = LEAST_DECREASE * at.value.max(weight_sum / 1000.0);
        (iterations, last_slope, predicted) = (Some(iteration), slope, promised);
        reason = match () {
            () if within => StopReason::Gradient,
            () if at_rest && promised <= least => StopReason::PredictedDecrease,
            () if iteration >= most => StopReason::MaxIterations,
            () if monitor.interrupted() => StopReason::Interrupted,
            () => StopReason::NoProgress,
        };
        Ok(reason != StopReason::NoProgress)
    })?;
    Ok(End { minimum, reason, iterations: iterations.unwrap_or(0), predicted })
}

/// The least value where all slopes are zero, the information being that of all columns all the same: what the penalised
/// likelihood-ratio test compares with.
pub(super) fn null_value(likelihood: &mut dyn Likelihood, weight_sum: f64) -> Result<f64> {
    let mut at = likelihood.evaluate(vec![0.0; likelihood.coordinates().len()])?;
    if !likelihood.coordinates().map().intercept {
        return Ok(at.value);
    }
    let last = at.theta.len() - 1;
    for _ in 0..NULL_STEPS {
        if at.gradient[last].abs() <= NULL_SLOPE * weight_sum {
            break;
        }
        // The penalty of k columns curves by k·y(1−y) where the loss does by S·y(1−y), without an offset.
        let curvature = likelihood.information(&at.theta)?[(last, last)] * (1.0 + at.theta.len() as f64 / weight_sum);
        let mut theta = at.theta.clone();
        theta[last] -= at.gradient[last] / curvature;
        at = likelihood.evaluate(theta)?;
    }
    Ok(at.value)
}
