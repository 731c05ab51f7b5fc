//! One fit with a penalty l1·‖β‖₁: engine → proximal Newton → the same on the host in f64 → KKT conditions and duality gap.

use std::time::Instant;

use super::{Fit, FitOptions, Init, LEAST_DECREASE, Seconds, starting_point};
use crate::certificate::{Certificate, Status, duality_gap};
use crate::data::Dataset;
use crate::engine::cpu::{Host, gram_cost};
use crate::engine::gpu::GpuOptions;
use crate::engine::{self, DeviceKind, Draw, Engine};
use crate::error::{Error, Result};
use crate::monitor::{Monitor, Unheard};
use crate::objective::{BatchObjective, Coordinates, Member};
use crate::solver::batch::{BatchRule, Renew};
use crate::solver::sparse::{SparseRunner, minimise};
use crate::solver::{RELATIVE_DECREASE, Solver, StopReason};

/// Predicted decrease in f64, as a part of max(J, S/1000), below which a further step only stirs rounding.
const EXACT: f64 = 1e-20;
/// Slope below which an engine whose numbers are f32 leaves the rest to f64.
const F32_FLOOR: f64 = 1e-8;
/// The host goes on to this part of the tolerance: the duality gap counts a violation against l1, which may be small beside S·sd.
const FURTHER: f64 = 1e-5;
/// Multiply-adds of the curvature of all columns that are cheap: the CPU's rows are fitted in f64 at once then.
const CHEAP: f64 = 4e9;

/// [`super::fit_with`] where there is an l1.
///
/// # Errors
/// As there.
pub(super) fn fit(data: &Dataset, options: &FitOptions, gpu: &GpuOptions, monitor: &dyn Monitor) -> Result<Fit> {
    let start = Instant::now();
    let (mut engine, opening) = engine::open(&options.device, data, 1, gpu)?;
    let solving = Instant::now();
    let host = Host::new(data);
    let coordinates = Coordinates::new(data, options.intercept, &options.penalty_factors);
    let member = Member { l2: options.l2, draw: Draw::All, weight_sum: data.weight_sum };
    let weights = coordinates.l1_weights(options.l1);
    let mut runners = [SparseRunner::new(first_point(&host, &coordinates, options)?, weights.clone())];
    let device = engine.device().clone();
    let direct = device.kind == DeviceKind::Cpu && gram_cost(data.rows, coordinates.len()) <= CHEAP;
    let finer = BatchRule {
        tolerance: FURTHER * options.tolerance,
        relative_decrease: EXACT,
        max_iterations: options.max_iterations.unwrap_or(Solver::ProximalNewton.default_max_iterations()),
        leave_last_step: false,
        renewal: Renew::Always,
    };
    let mut host_engine = host.engine();
    if direct {
        let mut objective = BatchObjective::new(&mut host_engine, &host, &coordinates, vec![member], &[]);
        minimise(&mut objective, &mut runners, &finer, monitor)?;
    } else {
        let rule = BatchRule {
            tolerance: if options.verify { options.tolerance.max(F32_FLOOR) } else { options.tolerance },
            relative_decrease: if options.verify { LEAST_DECREASE } else { RELATIVE_DECREASE },
            leave_last_step: options.verify,
            ..finer
        };
        let mut objective = BatchObjective::new(engine.as_mut(), &host, &coordinates, vec![member], &[]);
        minimise(&mut objective, &mut runners, &rule, monitor)?;
    }
    let cost = if direct { host_engine.cost() } else { engine.cost() };
    let engine_passes = engine.cost().passes;
    drop(engine);
    let solve = solving.elapsed().as_secs_f64();
    let verifying = Instant::now();
    let [runner] = &mut runners;
    let steps_before = runner.iterations;
    let interrupted = runner.reason == Some(StopReason::Interrupted);
    let goes_on = !interrupted && runner.reason != Some(StopReason::MaxIterations);
    if options.verify && !direct {
        runner.resume();
        let rule = if goes_on { finer } else { BatchRule { max_iterations: 0, ..finer } };
        let mut objective = BatchObjective::new(&mut host_engine, &host, &coordinates, vec![member], &[]);
        minimise(&mut objective, std::slice::from_mut(runner), &rule, &Unheard(monitor))?;
    }
    let Some(at) = &runner.at else {
        return Err(Error::Numerics("the loss is not finite anywhere near the starting point".into()));
    };
    let (inf_norm, inf_norm_raw) = coordinates.subgradient_norms(&at.gradient, &at.theta, &weights, data.weight_sum);
    let certificate = match options.verify {
        false => None,
        true => {
            let curvatures = coordinates.penalty_curvature(options.l2);
            let gap = duality_gap(&host, &coordinates, &at.theta, &weights, &curvatures)?;
            // A bound below the rounding of J itself would say more than f64 can know.
            let gap = gap.map(|gap| gap.max(f64::EPSILON * runner.value));
            // J is that strongly convex in β once the intercept is the best one.
            let convexity = options.l2 * coordinates.least_penalty_factor();
            let distance = gap.filter(|_| convexity > 0.0).map(|gap| (2.0 * gap / convexity).sqrt());
            Some(Certificate {
                objective: runner.value,
                loss: at.loss,
                gradient_inf_norm: inf_norm,
                gradient_inf_norm_raw: inf_norm_raw,
                predicted_decrease: runner.predicted.is_finite().then_some(runner.predicted),
                objective_gap: gap,
                coefficient_gap: distance,
                standard_error_gap: None,
                polish_steps: runner.iterations - steps_before,
                polish_decrease: 0.0,
            })
        }
    };
    let (status, stopped_by) = match runner.reason {
        reason if interrupted || reason == Some(StopReason::Interrupted) => (Status::Interrupted, "interrupted"),
        _ if inf_norm <= options.tolerance => (Status::Converged, "gradient"),
        Some(StopReason::MaxIterations) => (Status::MaxIterations, "max-iterations"),
        Some(StopReason::PredictedDecrease) => (Status::Converged, "predicted-decrease"),
        _ if !goes_on => (Status::MaxIterations, "max-iterations"),
        _ => (Status::Stalled, "no-progress"),
    };
    let (coefficients, intercept) = coordinates.to_original(&at.theta);
    Ok(Fit {
        coefficients,
        intercept,
        status,
        stopped_by,
        solver: Solver::ProximalNewton,
        device,
        samples: Vec::new(),
        iterations: steps_before,
        passes: engine_passes + host_engine.cost().passes + host.passes(),
        objective: runner.value,
        log_loss: at.loss / data.weight_sum,
        gradient_inf_norm: inf_norm,
        gradient_inf_norm_raw: inf_norm_raw,
        certificate,
        rank: None,
        redundant: Vec::new(),
        separation: None,
        rounding: data.rounding(),
        seconds: Seconds {
            read: 0.0,
            setup: opening.setup,
            upload: opening.upload,
            solve,
            verify: verifying.elapsed().as_secs_f64(),
            total: start.elapsed().as_secs_f64(),
        },
        cost,
    })
}

/// Where the fit begins: from zeros, with the intercept that makes the mean prediction that of the targets.
fn first_point(host: &Host<'_>, coordinates: &Coordinates, options: &FitOptions) -> Result<Vec<f64>> {
    let mut theta = starting_point(coordinates, &options.init);
    if let (Init::Zeros, true, Some(intercept)) = (&options.init, options.intercept, theta.last_mut()) {
        let [negative, positive] = host.weight_sums(&[Draw::All], &[])?[0].classes;
        let best = (positive / negative).ln();
        *intercept = if best.is_finite() { best } else { 0.0 };
    }
    Ok(theta)
}
