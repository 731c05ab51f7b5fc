//! Fits of more than two classes.

use std::time::Instant;

use super::{Fit, FitOptions, Init, Seconds, check_options, starting_point};
use crate::certificate::{self, Problem, Status};
use crate::data::{Dataset, Design, Fingerprint, hash};
use crate::engine::cpu::Host;
use crate::engine::gpu::GpuOptions;
use crate::engine::{self, AgainstRest, Cost, DeviceInfo, DeviceKind};
use crate::error::{Error, Result};
use crate::model::{Coefficient, FORMAT_VERSION, Intercept, Model, Multi, ObjectiveRecord, TrainingRecord};
use crate::monitor::{Event, Monitor};
use crate::objective::{ClassObjective, Coordinates};
use crate::solver::truncated_newton::{ClassFitting, ClassRule};
use crate::solver::{RELATIVE_DECREASE, Solver, StopReason};

/// Steps at the most.
const MAX_ITERATIONS: usize = 500;
/// Slope below which an engine whose numbers are f32 leaves the rest to f64.
const F32_FLOOR: f64 = 1e-6;
/// Predicted decrease, as a part of max(J, S/1000), at which it does as well.
const F32_DECREASE: f64 = 1e-7;
/// The same in f64, below which a step only stirs rounding.
const EXACT: f64 = 1e-20;
/// J − min J, as a part of S, that a penalty must have proved in the end.
const GAP: f64 = 1e-9;
/// Values of X times classes that are fitted on the host in f64 from the first step on.
const SMALL: f64 = 1e7;

/// A fitted model of more than two classes, and how it came about.
#[derive(Debug, Clone)]
pub struct ClassFit {
    /// β on the original columns: for each class, one for each feature.
    pub coefficients: Vec<Vec<f64>>,
    /// β₀ of each class (0 without an intercept).
    pub intercepts: Vec<f64>,
    /// How the fit ended.
    pub status: Status,
    /// What stopped it, in one word.
    pub stopped_by: &'static str,
    /// Classes that are separated: each from the rest, or all of them from each other; no estimate exists then.
    pub separated: Vec<usize>,
    /// What computed.
    pub device: DeviceInfo,
    /// Newton steps.
    pub iterations: usize,
    /// Products with the Hessian, each of which read X.
    pub products: usize,
    /// Full reads of X, by the engine and by the host.
    pub passes: u64,
    /// J at the returned point: in f64 with verify, else as the engine saw it.
    pub objective: f64,
    /// Σ s·ℓ/S there.
    pub log_loss: f64,
    /// The gradient as `--tol` measures it, the worst class's.
    pub gradient_inf_norm: f64,
    /// Largest |∂J/∂βⱼₖ|/S on the original columns.
    pub gradient_inf_norm_raw: f64,
    /// Proved upper bounds of J − min J and of ‖β − β*‖, where every column is penalised and the fit is verified.
    pub bounds: Option<(f64, f64)>,
    /// Independent columns of X among those not penalised (the column of ones counted), where that was decided.
    pub rank: Option<usize>,
    /// Features that are combinations of others, with the names and factors of those; constant ones with none.
    pub redundant: Vec<(String, Vec<(String, f64)>)>,
    /// Largest rounding of a stored value, in standard deviations of its column.
    pub rounding: f64,
    /// Seconds by part (`read` is the caller's to fill).
    pub seconds: Seconds,
    /// What the engine did.
    pub cost: Cost,
}

impl ClassFit {
    /// The model to keep: these numbers under the names that `design` gives the features of `data`.
    pub fn model(&self, data: &Dataset, design: &Design, options: &FitOptions, multi: Multi, seed: u64) -> Model {
        let of_class = |(class, values): (&String, &Vec<f64>)| {
            let named = data.features.iter().zip(values);
            let coefficient = |(name, value): (&String, &f64)| Coefficient {
                name: name.clone(),
                class: Some(class.clone()),
                value: *value,
            };
            named.map(coefficient).collect::<Vec<_>>()
        };
        let model = Model {
            format_version: FORMAT_VERSION,
            coefficients: design.target.classes.iter().zip(&self.coefficients).flat_map(of_class).collect(),
            intercept: Intercept::OfClass(self.intercepts.clone()),
            classes: design.target.classes.clone(),
            objective: ObjectiveRecord {
                l1: 0.0,
                l2: options.l2,
                penalty_factors: options.penalty_factors.clone(),
                firth: false,
                intercept: options.intercept,
                multi: Some(multi),
            },
            training: TrainingRecord {
                rows: data.rows,
                weight_sum: data.weight_sum,
                status: self.status,
                stopped_by: self.stopped_by.into(),
                gradient_inf_norm: self.gradient_inf_norm,
                objective: self.objective,
                log_loss: self.log_loss,
                objective_gap: self.bounds.map(|bounds| bounds.0),
                coefficient_gap: self.bounds.map(|bounds| bounds.1),
                solver: Solver::Newton,
                device: self.device.clone(),
                seed,
                version: env!("CARGO_PKG_VERSION").into(),
                fingerprints: None,
                arguments: Vec::new(),
            },
            inference: None,
            design: design.clone(),
        };
        // The two ways to model classes take the same options.
        let options = hash::of_words(options.fingerprint().0, [hash::of_bytes(multi.name().bytes())]);
        model.with_fingerprints(data.fingerprint, Fingerprint(options))
    }
}

/// Fits the softmax of the classes of `data`. Of the options the method and the learning rate are not used.
///
/// # Errors
/// As [`super::fit`].
pub fn fit_softmax(data: &Dataset, options: &FitOptions, monitor: &dyn Monitor) -> Result<ClassFit> {
    check(data, options)?;
    let start = Instant::now();
    let gpu = GpuOptions { device_memory: options.device_memory, ..GpuOptions::default() };
    let (mut engine, opening) = engine::open(&options.device, data, 1, &gpu)?;
    let device = engine.device().clone();
    let solving = Instant::now();
    let host = Host::new(data);
    let full = Coordinates::new(data, options.intercept, &options.penalty_factors);
    let independence = certificate::rank(&host, &full, options.l2)?;
    let problem = Problem::new(&host, full, independence, options.l2);
    let (coordinates, classes) = (problem.coordinates().clone(), data.classes);
    let theta = from_start(&coordinates, classes, &options.init);
    let mut objective = ClassObjective::new(engine.as_mut(), &host, coordinates.clone(), classes, options.l2)?;
    let finer = ClassRule {
        tolerance: options.tolerance,
        relative_decrease: EXACT,
        max_iterations: options.max_iterations.unwrap_or(MAX_ITERATIONS),
        gap: GAP,
    };
    let size = data.rows as f64 * data.features.len() as f64 * classes as f64;
    let direct = device.kind == DeviceKind::Cpu && size <= SMALL;
    if direct {
        objective.set_in_f64();
    }
    let mut fitting = ClassFitting::start(&mut objective, theta)?;
    let rule = match (direct, options.verify) {
        (true, _) => finer,
        (false, true) => ClassRule {
            tolerance: options.tolerance.max(F32_FLOOR),
            relative_decrease: F32_DECREASE,
            gap: f64::INFINITY,
            ..finer
        },
        (false, false) => ClassRule { relative_decrease: RELATIVE_DECREASE, gap: f64::INFINITY, ..finer },
    };
    fitting.minimise(&mut objective, &rule, monitor)?;
    let solve = solving.elapsed().as_secs_f64();

    let verifying = Instant::now();
    if options.verify && !direct {
        fitting.refine(&mut objective)?;
        if !matches!(fitting.reason, StopReason::MaxIterations | StopReason::Interrupted) {
            fitting.minimise(&mut objective, &finer, monitor)?;
        }
    }
    let norms = objective.gradient_norms(&fitting.at.gradient);
    let mut certified_passes = 0;
    let (coefficients, value, loss, norms, bounds) = if options.verify {
        let found = problem.certify_classes(&fitting.at.theta, classes)?;
        certified_passes = found.passes;
        (found.coefficients, found.objective, found.loss, found.gradient_norms, found.bounds)
    } else {
        let written = problem.shortest_of_classes(&fitting.at.theta, classes);
        (written, fitting.at.value, fitting.at.loss, norms, None)
    };
    let separated = match options.verify && !problem.penalises_all() {
        true if problem.are_separated(&fitting.last_step, classes)? => (0..classes).collect(),
        _ => Vec::new(),
    };
    let passes = objective.passes() + certified_passes;
    let floor = RELATIVE_DECREASE * value.max(data.weight_sum / 1000.0);
    let (status, stopped_by) = match fitting.reason {
        _ if !separated.is_empty() => (Status::Separated, "separation"),
        StopReason::Interrupted => (Status::Interrupted, "interrupted"),
        _ if norms.0 <= options.tolerance => (Status::Converged, "gradient"),
        _ if fitting.predicted <= floor => (Status::Converged, "predicted-decrease"),
        StopReason::MaxIterations => (Status::MaxIterations, "max-iterations"),
        _ => (Status::Stalled, "no-progress"),
    };
    let (coefficients, intercepts) = coefficients.into_iter().unzip();
    drop(objective);
    let cost = engine.cost();
    Ok(ClassFit {
        coefficients,
        intercepts,
        status,
        stopped_by,
        separated,
        device,
        iterations: fitting.iterations,
        products: fitting.products,
        passes,
        objective: value,
        log_loss: loss / data.weight_sum,
        gradient_inf_norm: norms.0,
        gradient_inf_norm_raw: norms.1,
        bounds,
        rank: problem.rank(),
        redundant: problem.redundant(),
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

fn check(data: &Dataset, options: &FitOptions) -> Result<()> {
    if data.classes <= 2 {
        return Err(Error::Usage("a softmax is of more than two classes".into()));
    }
    if matches!(options.init, Init::Coefficients(..)) {
        return Err(Error::Usage("--init takes the model of a fit of two classes, and this data has more".into()));
    }
    if options.l1 > 0.0 {
        return Err(Error::Usage("--l1 is for two classes, and this data has more".into()));
    }
    check_options(data, options)
}

/// Where all classes begin.
fn from_start(coordinates: &Coordinates, classes: usize, init: &Init) -> Vec<f64> {
    let Init::Random { seed } = init else { return vec![0.0; classes * coordinates.len()] };
    let of_class = |k: usize| starting_point(coordinates, &Init::Random { seed: seed.wrapping_add(k as u64) });
    let mut theta: Vec<f64> = (0..classes).flat_map(of_class).collect();
    let columns = coordinates.len();
    for j in 0..columns {
        let mean = (0..classes).map(|k| theta[k * columns + j]).sum::<f64>() / classes as f64;
        (0..classes).for_each(|k| theta[k * columns + j] -= mean);
    }
    theta
}

/// Fits each class of `data` against the rest, as two classes.
///
/// Its J and log loss are sums over the classes; what is reported of the gradient is the worst class's.
///
/// # Errors
/// As [`super::fit`].
pub fn fit_one_vs_rest(data: &Dataset, options: &FitOptions, monitor: &dyn Monitor) -> Result<ClassFit> {
    check(data, options)?;
    let mut fits: Vec<Fit> = Vec::with_capacity(data.classes);
    for class in 0..data.classes {
        monitor.event(Event::Step(format!("class {} of {} against the rest", class + 1, data.classes)));
        let rest = AgainstRest::new(data, class)?;
        fits.push(super::fit(&rest, options, monitor)?);
    }
    let sum = |of: &dyn Fn(&Fit) -> f64| fits.iter().map(of).sum::<f64>();
    let worst = |of: &dyn Fn(&Fit) -> f64| fits.iter().map(of).fold(0.0, f64::max);
    let seconds = |of: &dyn Fn(&Seconds) -> f64| sum(&|fit| of(&fit.seconds));
    let gaps = |of: &dyn Fn(&Fit) -> Option<f64>| fits.iter().map(of).collect::<Option<Vec<f64>>>();
    let gap = gaps(&|fit| fit.certificate.as_ref()?.objective_gap).map(|gaps| gaps.iter().sum());
    let distance = gaps(&|fit| fit.certificate.as_ref()?.coefficient_gap);
    let distance = distance.map(|gaps| gaps.iter().map(|gap| gap * gap).sum::<f64>().sqrt());
    let mut cost = Cost::default();
    fits.iter().for_each(|fit| cost.add(&fit.cost));
    let last = fits.iter().max_by_key(|fit| severity(fit.status)).ok_or_else(|| Error::Usage("no class".into()))?;
    Ok(ClassFit {
        coefficients: fits.iter().map(|fit| fit.coefficients.clone()).collect(),
        intercepts: fits.iter().map(|fit| fit.intercept).collect(),
        status: last.status,
        stopped_by: last.stopped_by,
        separated: (0..fits.len()).filter(|k| fits[*k].status == Status::Separated).collect(),
        device: last.device.clone(),
        iterations: fits.iter().map(|fit| fit.iterations).sum(),
        products: 0,
        passes: fits.iter().map(|fit| fit.passes).sum(),
        objective: sum(&|fit| fit.objective),
        log_loss: sum(&|fit| fit.log_loss),
        gradient_inf_norm: worst(&|fit| fit.gradient_inf_norm),
        gradient_inf_norm_raw: worst(&|fit| fit.gradient_inf_norm_raw),
        bounds: gap.zip(distance),
        rank: last.rank,
        redundant: last.redundant.clone(),
        rounding: last.rounding,
        seconds: Seconds {
            read: 0.0,
            setup: seconds(&|s| s.setup),
            upload: seconds(&|s| s.upload),
            solve: seconds(&|s| s.solve),
            verify: seconds(&|s| s.verify),
            total: seconds(&|s| s.total),
        },
        cost,
    })
}

/// What is worse ends more of a fit's use.
fn severity(status: Status) -> usize {
    match status {
        Status::Converged => 0,
        Status::Separated => 1,
        Status::MaxIterations => 2,
        Status::Stalled => 3,
        Status::Interrupted => 4,
    }
}
