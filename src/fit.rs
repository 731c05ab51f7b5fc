//! Rows → engine → solver → certificate → report: the only orchestration.

mod bootstrap;
mod classes;
mod cross_validation;
mod firth;
mod grid;
mod inference;
mod many;
mod options;
mod path;
mod solve;
mod sparse;
mod unpenalised;

use std::time::Instant;

use serde::Serialize;

use crate::certificate::{self, Certificate, Problem, Status};
use crate::data::{Dataset, Design, hash};
use crate::engine::cpu::Host;
use crate::engine::gpu::GpuOptions;
use crate::engine::{self, Cost, DeviceInfo};
use crate::error::{Error, Result};
use crate::model::{Coefficient, FORMAT_VERSION, Intercept, Model, ObjectiveRecord, TrainingRecord};
use crate::monitor::Monitor;
use crate::objective::Coordinates;
use crate::separation::Separation;
use crate::solver::newton::SampleFit;
use crate::solver::{Solver, StopReason};

pub use bootstrap::{Bootstrap, Interval, Resampling, bootstrap};
pub use classes::{ClassFit, fit_one_vs_rest, fit_softmax};
pub use cross_validation::{CrossValidation, Score, cross_validate, deal_folds};
pub use grid::{Grid, Lambda, Penalties};
pub use inference::{Inferring, check_inference, infer, influence_of_rows, no_inference_of_penalised};
pub use many::{ManyFits, MemberFit, fit_many};
pub use options::{FitOptions, Init};
use options::{check, check_options};
pub use path::{Path, path};
use solve::{Solved, Task};

/// Predicted decrease, as a part of max(J, S/1000), at which a solver stops whose gradients are good to the last.
const LEAST_DECREASE: f64 = 1e-16;

/// Seconds spent in each part of a fit.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Seconds {
    /// Files to host arrays.
    pub read: f64,
    /// Adapter and pipelines.
    pub setup: f64,
    /// Centring, packing and copying to the device.
    pub upload: f64,
    /// The solver, and the rank decision before it.
    pub solve: f64,
    /// The certificate, polish included.
    pub verify: f64,
    /// All of it.
    pub total: f64,
}

impl Seconds {
    /// Adds what came before the fit: reading files into arrays, and packing these.
    pub fn add_reading(&mut self, read: f64, packed: f64) {
        self.read = read;
        self.upload += packed;
        self.total += read + packed;
    }
}

/// A fitted model's numbers and how they came about.
#[derive(Debug, Clone)]
pub struct Fit {
    /// β on the original columns, one for each feature.
    pub coefficients: Vec<f64>,
    /// β₀ (0 without an intercept).
    pub intercept: f64,
    /// How the fit ended.
    pub status: Status,
    /// What stopped it, in one word.
    pub stopped_by: &'static str,
    /// The method used.
    pub solver: Solver,
    /// What computed.
    pub device: DeviceInfo,
    /// The row samples that were fitted first, on the host in f64.
    pub samples: Vec<SampleFit>,
    /// Iterations of the solver on all rows.
    pub iterations: usize,
    /// Full reads of X: by the engine, by verify, and by the host for rank and curvature.
    pub passes: u64,
    /// J at the returned point: in f64 with verify, else as the engine saw it.
    pub objective: f64,
    /// Σ s·ℓ/S there.
    pub log_loss: f64,
    /// The gradient as `--tol` measures it.
    pub gradient_inf_norm: f64,
    /// Largest |∂J/∂βⱼ|/S on the original columns.
    pub gradient_inf_norm_raw: f64,
    /// The f64 re-check, unless it was turned off.
    pub certificate: Option<Certificate>,
    /// Independent columns of X among those not penalised (the column of ones counted), where that was decided.
    pub rank: Option<usize>,
    /// Features that are combinations of others, with the names and factors of those; constant ones with none.
    pub redundant: Vec<(String, Vec<(String, f64)>)>,
    /// The proof that no optimum exists.
    pub separation: Option<Separation>,
    /// Largest rounding of a stored value, in standard deviations of its column.
    pub rounding: f64,
    /// Seconds by part (`read` is the caller's to fill).
    pub seconds: Seconds,
    /// What the engine did.
    pub cost: Cost,
}

impl Fit {
    /// The model to keep: these numbers under the names that `design` gives the features of `data`.
    pub fn model(&self, data: &Dataset, design: &Design, options: &FitOptions, seed: u64) -> Model {
        let proved = self.certificate.as_ref();
        let model = Model {
            format_version: FORMAT_VERSION,
            coefficients: data
                .features
                .iter()
                .zip(&self.coefficients)
                .map(|(name, &value)| Coefficient { name: name.clone(), class: None, value })
                .collect(),
            intercept: Intercept::One(self.intercept),
            classes: design.target.classes.clone(),
            objective: ObjectiveRecord {
                l1: options.l1,
                l2: options.l2,
                penalty_factors: options.penalty_factors.clone(),
                firth: options.firth,
                intercept: options.intercept,
                multi: None,
            },
            training: TrainingRecord {
                rows: data.rows,
                weight_sum: data.weight_sum,
                status: self.status,
                stopped_by: self.stopped_by.into(),
                gradient_inf_norm: self.gradient_inf_norm,
                objective: self.objective,
                log_loss: self.log_loss,
                objective_gap: proved.and_then(|certificate| certificate.objective_gap),
                coefficient_gap: proved.and_then(|certificate| certificate.coefficient_gap),
                solver: self.solver,
                device: self.device.clone(),
                seed,
                version: env!("CARGO_PKG_VERSION").into(),
                fingerprints: None,
                arguments: Vec::new(),
            },
            inference: None,
            design: design.clone(),
        };
        model.with_fingerprints(data.fingerprint, options.fingerprint())
    }
}

/// Fits `data`.
///
/// # Errors
/// [`Error::Usage`] for options that do not fit each other, [`Error::NoDevice`] and [`Error::Device`] from the device,
/// [`Error::Numerics`] when numbers leave the range. Ending short of the optimum is a [`Status`], not an error.
pub fn fit(data: &Dataset, options: &FitOptions, monitor: &dyn Monitor) -> Result<Fit> {
    fit_with(data, options, &GpuOptions { device_memory: options.device_memory, ..GpuOptions::default() }, monitor)
}

/// [`fit`] with a GPU opened in a way of its own: limits, time-outs, doctored shaders.
///
/// # Errors
/// As [`fit`].
pub fn fit_with(data: &Dataset, options: &FitOptions, gpu: &GpuOptions, monitor: &dyn Monitor) -> Result<Fit> {
    check(data, options)?;
    if options.firth {
        return firth::fit(data, options, monitor);
    }
    if options.l1 > 0.0 {
        return unpenalised::or_separated(sparse::fit(data, options, gpu, monitor)?, data, options);
    }
    let start = Instant::now();
    // First of all, so that a device that is not there costs nobody a wait.
    let (engine, opening) = engine::open(&options.device, data, 1, gpu)?;
    let solving = Instant::now();
    let host = Host::new(data);
    let full = Coordinates::new(data, options.intercept, &options.penalty_factors);
    let independence = certificate::rank(&host, &full, options.l2)?;
    let problem = Problem::new(&host, full, independence, options.l2);
    let coordinates = problem.coordinates();
    let solver = options.solver.unwrap_or_else(|| choose_solver(data, coordinates.len()));
    if solver == Solver::ProximalNewton {
        return Err(Error::Usage("proximal Newton is for a penalty l1, and there is none".into()));
    }
    if solver == Solver::Newton && data.samples.is_empty() && !certificate::affordable(data.rows, coordinates.len()) {
        return Err(Error::Usage(format!(
            "--solver newton would need the curvature of {} rows × {} columns at every step; use --solver lbfgs, or auto",
            data.rows,
            coordinates.len()
        )));
    }
    let device = engine.device().clone();
    let task = Task { data, host: &host, coordinates, solver, options };
    let solved = task.solve(engine, starting_point(coordinates, &options.init), monitor)?;
    let Solved { solution, norms: engine_norms, kind, samples, cost } = solved;
    let (iterations, reason) = (solution.iterations, solution.reason);
    let (engine_value, engine_loss) = (solution.at.value, solution.at.loss);
    let solve = solving.elapsed().as_secs_f64();

    let verifying = Instant::now();
    let stopped_early = matches!(reason, StopReason::MaxIterations | StopReason::Interrupted | StopReason::Diverged);
    let engine_coefficients = problem.shortest_coefficients(&solution.at.theta);
    let certified = if options.verify {
        Some(problem.certify(solution, kind, !stopped_early, options.tolerance, monitor)?)
    } else {
        None
    };
    let verify = verifying.elapsed().as_secs_f64();
    let (coefficients, intercept) = match &certified {
        Some(certified) => (certified.coefficients.clone(), certified.intercept),
        None => engine_coefficients,
    };
    // What f64 says of the point returned, or else what the engine saw at its own.
    let (objective, loss, gradient_norms) = match certified.as_ref().map(|certified| &certified.certificate) {
        Some(c) => (c.objective, c.loss, (c.gradient_inf_norm, c.gradient_inf_norm_raw)),
        None => (engine_value, engine_loss, engine_norms),
    };
    let (certificate, separation, interrupted, verify_passes) = match certified {
        Some(c) => (Some(c.certificate), c.separation, c.interrupted, c.passes),
        None => (None, None, false, 0),
    };
    let reason = if interrupted { StopReason::Interrupted } else { reason };
    let (status, stopped_by) = conclude(reason, certificate.as_ref(), separation.as_ref(), options, data);
    Ok(Fit {
        coefficients,
        intercept,
        status,
        stopped_by,
        solver,
        device,
        samples,
        iterations,
        passes: cost.passes + verify_passes + host.passes(),
        objective,
        log_loss: loss / data.weight_sum,
        gradient_inf_norm: gradient_norms.0,
        gradient_inf_norm_raw: gradient_norms.1,
        certificate,
        rank: problem.rank(),
        redundant: problem.redundant(),
        separation,
        rounding: data.rounding(),
        seconds: Seconds {
            read: 0.0,
            setup: opening.setup,
            upload: opening.upload,
            solve,
            verify,
            total: start.elapsed().as_secs_f64(),
        },
        cost,
    })
}

/// Newton where there are row samples to begin with, or its matrix is cheap beside the reading of data; else L-BFGS.
fn choose_solver(data: &Dataset, parameters: usize) -> Solver {
    if !data.samples.is_empty() || certificate::exact_is_cheap(data, parameters) {
        Solver::Newton
    } else {
        Solver::Lbfgs
    }
}

fn starting_point(coordinates: &Coordinates, init: &Init) -> Vec<f64> {
    match init {
        Init::Zeros => vec![0.0; coordinates.len()],
        Init::Random { seed } => {
            (0..coordinates.len() as u64).map(|i| 2.0 * hash::unit_interval(*seed, i) - 1.0).collect()
        }
        Init::Coefficients(beta, intercept) => coordinates.from_original(beta, *intercept),
    }
}

/// The status and the rule behind it, from why the solver ended and what f64 says of the point.
fn conclude(
    reason: StopReason,
    certificate: Option<&Certificate>,
    separation: Option<&Separation>,
    options: &FitOptions,
    data: &Dataset,
) -> (Status, &'static str) {
    if reason == StopReason::Interrupted {
        return (Status::Interrupted, "interrupted");
    }
    if separation.is_some() {
        return (Status::Separated, "separation");
    }
    let certified = certificate.and_then(|c| c.convergence(options.tolerance, data.weight_sum));
    match (reason, certificate, certified) {
        (_, Some(_), Some(rule)) => (Status::Converged, rule),
        (StopReason::Gradient, None, _) => (Status::Converged, "gradient"),
        (StopReason::PredictedDecrease, None, _) => (Status::Converged, "predicted-decrease"),
        (StopReason::MaxIterations, _, _) => (Status::MaxIterations, "max-iterations"),
        (StopReason::Diverged, _, _) => (Status::Stalled, "diverged"),
        _ => (Status::Stalled, "no-progress"),
    }
}
