//! Firth's penalised likelihood, on the host in f64 from the first step to the last.

use std::time::Instant;

use super::{Fit, FitOptions, LEAST_DECREASE, Seconds, starting_point};
use crate::certificate::{self, Certificate, Problem, Status};
use crate::data::Dataset;
use crate::engine::DeviceRequest;
use crate::engine::cpu::Host;
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::objective::{Coordinates, FirthObjective, Likelihood, Objective};
use crate::solver::{Solver, StopReason, StopRule, pointwise};

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
    let mut engine = host.engine()?;
    let device = engine.device().clone();
    let objective = Objective::new(engine.as_mut(), &host, problem.coordinates().clone(), 0.0);
    let mut likelihood = FirthObjective::new(objective);
    let from = starting_point(problem.coordinates(), &options.init);
    let end = pointwise::solve(&mut likelihood, from, rule(options), data.weight_sum, monitor)?;
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

/// When steps on a likelihood point by point end: well beyond the tolerance, where that is to be had.
pub(super) fn rule(options: &FitOptions) -> StopRule {
    StopRule {
        tolerance: options.tolerance,
        max_iterations: options.max_iterations.unwrap_or(Solver::Newton.default_max_iterations()),
        relative_decrease: LEAST_DECREASE,
        leave_last_step: false,
    }
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
