//! Many models of the same rows at once: penalties × folds, bootstrap replicates.

use std::time::Instant;

use faer::Mat;

use super::{FitOptions, Init, LEAST_DECREASE, Seconds, sparse, starting_point};
use crate::certificate::{self, Status};
use crate::data::{Dataset, Precision};
use crate::engine::cpu::{Curvature, Host, gram_cost};
use crate::engine::gpu::GpuOptions;
use crate::engine::{self, Cost, DeviceInfo, DeviceKind, Draw, SharedFolds};
use crate::error::{Error, Result};
use crate::linalg::MAX_COLUMNS;
use crate::monitor::{Monitor, Unheard};
use crate::objective::{BatchObjective, Coordinates, Member, sample_ridge};
use crate::solver::batch::{BatchRule, Renew, Runner, metrics, minimise};
use crate::solver::newton::{SAMPLE_ITERATIONS, well_enough};
use crate::solver::{Metric, RELATIVE_DECREASE, StopReason};

/// Predicted decrease in f64, as a part of max(J, S/1000), below which a further step only stirs rounding.
const EXACT: f64 = 1e-20;
/// Steps of a model at the most.
const MAX_ITERATIONS: usize = 1000;
/// Slope below which an engine whose numbers are f32 leaves the rest to f64.
pub(super) const F32_FLOOR: f64 = 1e-8;
/// Multiply-adds of the curvature of every model at its own point that are cheap beside everything else.
const CHEAP: f64 = 4e9;
/// Models whose Σ s differ by less than this part share a metric.
const SAME_WEIGHT: f64 = 0.05;
/// The curvature that all models begin with may cost as much as so many of their passes.
const FIRST_METRIC_PASSES: f64 = 10.0;

/// One of many models.
#[derive(Debug, Clone)]
pub struct MemberFit {
    /// β on the original columns, one for each feature.
    pub coefficients: Vec<f64>,
    /// β₀ (0 without an intercept).
    pub intercept: f64,
    /// J at that point, in f64 with verify.
    pub objective: f64,
    /// Σ s·ℓ of the rows that count, and of those that do not.
    pub loss: f64,
    /// See [`MemberFit::loss`].
    pub loss_left_out: f64,
    /// The gradient as `--tol` measures it; with an l1 the subgradient of least size.
    pub gradient_inf_norm: f64,
    /// Proved upper bound of J − min J, where there is an l1 and all rows count.
    pub objective_gap: Option<f64>,
    /// How the fit ended; whether the classes are separated is not looked for.
    pub status: Status,
    /// Evaluations of this model, each part of one read of X.
    pub evaluations: usize,
}

/// Many models and what they cost.
#[derive(Debug)]
pub struct ManyFits {
    /// One for each member, in their order.
    pub fits: Vec<MemberFit>,
    /// What computed.
    pub device: DeviceInfo,
    /// Full reads of X, those for curvature included.
    pub passes: u64,
    /// Seconds by part (`read` is the caller's to fill).
    pub seconds: Seconds,
    /// What the engine did.
    pub cost: Cost,
}

impl ManyFits {
    /// Whether every model has converged.
    pub fn converged(&self) -> bool {
        self.fits.iter().all(|fit| fit.status == Status::Converged)
    }
}

/// Fits all `members` to `data`, reading X for all of them at once; `folds` has the fold of each row where a draw asks for it. Of
/// the options the penalty and the method are not used.
///
/// # Errors
/// As [`super::fit`].
pub fn fit_many(
    data: &Dataset,
    members: &[Member],
    folds: &[u8],
    options: &FitOptions,
    monitor: &dyn Monitor,
) -> Result<ManyFits> {
    super::check(data, options)?;
    if options.firth {
        return Err(Error::Usage("--firth fits one model to all rows: leave it out here".into()));
    }
    let _shared = SharedFolds::new(data, folds)?;
    let gpu = GpuOptions { device_memory: options.device_memory, ..GpuOptions::default() };
    if members.iter().any(|member| member.l1 > 0.0) {
        return sparse::fit_many(data, members, folds, options, &gpu, monitor);
    }
    let start = Instant::now();
    let (mut engine, opening) = engine::open(&options.device, data, 1, &gpu)?;
    let solving = Instant::now();
    let host = Host::new(data);
    let coordinates = Coordinates::new(data, options.intercept, &options.penalty_factors);
    let mut host_engine = host.engine()?;
    let device = engine.device().clone();
    let cheap = gram_cost(data.rows, coordinates.len()) * members.len() as f64 <= CHEAP;
    let renewal = match cheap {
        true => Renew::Always,
        // Each model pays for its own.
        false => Renew::WhereItPays(rows_of_metric(data, coordinates.len(), 1)),
    };
    let members = members.to_vec();
    let rows_of_metric = rows_of_metric(data, coordinates.len(), members.len());
    let mut runners = runners(&members, &host, &coordinates, options, rows_of_metric, monitor)?;
    // Small data is not worth two engines.
    let direct = cheap && device.kind == DeviceKind::Cpu;
    let finer = BatchRule {
        tolerance: options.tolerance,
        relative_decrease: EXACT,
        max_iterations: options.max_iterations.unwrap_or(MAX_ITERATIONS),
        leave_last_step: false,
        renewal,
    };
    if direct {
        let mut objective = BatchObjective::new(host_engine.as_mut(), &host, &coordinates, members.clone(), folds);
        minimise(&mut objective, &mut runners, &finer, monitor)?;
    } else {
        let software = device.kind == DeviceKind::SoftwareGpu;
        let rule = BatchRule {
            tolerance: if options.verify { options.tolerance.max(F32_FLOOR) } else { options.tolerance },
            relative_decrease: if options.verify && !software { LEAST_DECREASE } else { RELATIVE_DECREASE },
            leave_last_step: options.verify,
            ..finer
        };
        let mut objective = BatchObjective::new(engine.as_mut(), &host, &coordinates, members.clone(), folds);
        minimise(&mut objective, &mut runners, &rule, monitor)?;
    }
    let engine_cost = engine.cost();
    drop(engine);
    let solve = solving.elapsed().as_secs_f64();
    let verifying = Instant::now();
    let interrupted = runners.iter().any(|runner| runner.reason == Some(StopReason::Interrupted));
    if options.verify && !direct && !interrupted {
        runners.iter_mut().for_each(Runner::resume);
        let mut objective = BatchObjective::new(host_engine.as_mut(), &host, &coordinates, members.clone(), folds);
        minimise(&mut objective, &mut runners, &finer, monitor)?;
    }
    let verify = verifying.elapsed().as_secs_f64();
    let passes = engine_cost.passes + host_engine.cost().passes + host.passes();
    let fits = runners.iter().zip(&members).map(|(runner, member)| of(runner, member, &coordinates, options)).collect();
    Ok(ManyFits {
        fits,
        device,
        passes,
        seconds: Seconds {
            read: 0.0,
            setup: opening.setup,
            upload: opening.upload,
            solve,
            verify,
            total: start.elapsed().as_secs_f64(),
        },
        cost: if direct { host_engine.cost() } else { engine_cost },
    })
}

/// What a runner came to.
fn of(runner: &Runner, member: &Member, coordinates: &Coordinates, options: &FitOptions) -> MemberFit {
    let (coefficients, intercept) = coordinates.to_original(runner.theta());
    let Some(at) = &runner.at else {
        return MemberFit {
            coefficients,
            intercept,
            objective: f64::INFINITY,
            loss: f64::INFINITY,
            loss_left_out: f64::INFINITY,
            gradient_inf_norm: f64::INFINITY,
            objective_gap: None,
            status: match runner.reason {
                Some(StopReason::Interrupted) => Status::Interrupted,
                _ => Status::Stalled,
            },
            evaluations: runner.evaluations,
        };
    };
    let gradient_inf_norm = coordinates.gradient_norms(&at.gradient, member.weight_sum).0;
    let floor = RELATIVE_DECREASE * at.value.max(member.weight_sum / 1000.0);
    let status = match runner.reason {
        Some(StopReason::Interrupted) => Status::Interrupted,
        _ if gradient_inf_norm <= options.tolerance => Status::Converged,
        _ if runner.is_informed() && (0.0..=floor).contains(&runner.predicted) => Status::Converged,
        Some(StopReason::MaxIterations) => Status::MaxIterations,
        _ => Status::Stalled,
    };
    MemberFit {
        coefficients,
        intercept,
        objective: at.value,
        loss: at.loss,
        loss_left_out: at.loss_left_out,
        gradient_inf_norm,
        objective_gap: None,
        status,
        evaluations: runner.evaluations,
    }
}

/// Where each model begins, and its metric: models of one penalty that weigh about the same share both.
fn runners(
    members: &[Member],
    host: &Host<'_>,
    coordinates: &Coordinates,
    options: &FitOptions,
    rows_of_metric: Option<usize>,
    monitor: &dyn Monitor,
) -> Result<Vec<Runner>> {
    let data = host.data();
    let mut penalties: Vec<f64> = members.iter().map(|member| member.l2).collect();
    penalties.sort_by(f64::total_cmp);
    penalties.dedup();
    let given = starting_point(coordinates, &options.init);
    let warm = matches!(options.init, Init::Coefficients(..));
    let (thetas, curvatures, weight_sum, of_sample) = match data.samples.last() {
        Some(sample) if !warm => {
            let thetas = fit_samples(data, coordinates, &penalties, given, monitor)?;
            let mut curvatures = loss_curvatures(&Host::new(sample), coordinates, &thetas, None)?;
            let ridge = sample_ridge(coordinates, sample);
            for curvature in &mut curvatures {
                ridge.iter().enumerate().for_each(|(i, ridge)| curvature[(i, i)] += ridge);
            }
            (thetas, curvatures, sample.weight_sum, None)
        }
        _ => {
            let curvatures = loss_curvatures(host, coordinates, std::slice::from_ref(&given), rows_of_metric)?;
            (vec![given; penalties.len()], curvatures, data.weight_sum, rows_of_metric)
        }
    };
    // Metrics made so far: number of the penalty, Σ s, the metric.
    let mut made: Vec<(usize, f64, Metric)> = Vec::new();
    let mut runners = Vec::with_capacity(members.len());
    let penalty = coordinates.penalty_curvature(1.0);
    for member in members {
        let of_penalty = penalties.partition_point(|l2| *l2 < member.l2);
        let close = |other: &f64| (other / member.weight_sum - 1.0).abs() <= SAME_WEIGHT;
        let found = made.iter().position(|(penalty, other, _)| *penalty == of_penalty && close(other));
        let found = match found {
            Some(found) => found,
            None => {
                let curvature = curvatures.get(of_penalty).or(curvatures.first());
                let metric = curvature.and_then(|curvature| {
                    let mut all = curvature * faer::Scale(member.weight_sum / weight_sum);
                    penalty.iter().enumerate().for_each(|(i, p)| all[(i, i)] += member.l2 * p);
                    match of_sample {
                        Some(rows) => Metric::of_sample(all, rows.min(data.rows)),
                        None => Metric::of(all),
                    }
                });
                let bound = || coordinates.curvature_bound(member.weight_sum, penalty.iter().map(|p| member.l2 * p));
                let metric = metric.unwrap_or_else(|| Metric::scaled(1.0 / bound()));
                made.push((of_penalty, member.weight_sum, metric));
                made.len() - 1
            }
        };
        runners.push(Runner::new(thetas[of_penalty].clone(), made[found].2.shared()));
    }
    Ok(runners)
}

/// Curvature of the loss at each of `thetas`, from about `rows` rows or from all; nothing where there are too many columns.
fn loss_curvatures(
    host: &Host<'_>,
    coordinates: &Coordinates,
    thetas: &[Vec<f64>],
    rows: Option<usize>,
) -> Result<Vec<Mat<f64>>> {
    if coordinates.is_empty() || coordinates.len() > MAX_COLUMNS {
        return Ok(Vec::new());
    }
    let params: Vec<_> = thetas.iter().map(|theta| coordinates.to_params(theta)).collect();
    let curvatures: Vec<Curvature<'_>> = params.iter().map(|w| Curvature::At(w.model(0))).collect();
    host.hessians_of_about(coordinates.map(), &curvatures, rows, Precision::F64)
}

/// Rows whose curvature is cheap enough for a metric that models begin with: none where that is all of them.
fn rows_of_metric(data: &Dataset, columns: usize, models: usize) -> Option<usize> {
    let rows = FIRST_METRIC_PASSES * data.rows as f64 * models as f64 / columns.max(1) as f64;
    let all = rows >= data.rows as f64 / 2.0 && certificate::affordable(data.rows, columns);
    (!all).then(|| (rows as usize).max(4 * columns))
}

/// Fits the row samples, smallest first, with each of `penalties`: where models of all rows begin.
fn fit_samples(
    data: &Dataset,
    coordinates: &Coordinates,
    penalties: &[f64],
    start: Vec<f64>,
    monitor: &dyn Monitor,
) -> Result<Vec<Vec<f64>>> {
    let mut thetas = vec![start; penalties.len()];
    let mut shared: Option<Vec<Metric>> = None;
    for sample in &data.samples {
        let host = Host::new(sample);
        let mut engine = host.engine()?;
        let member = |l2: &f64| Member { l1: 0.0, l2: *l2, draw: Draw::All, weight_sum: sample.weight_sum };
        let members: Vec<Member> = penalties.iter().map(member).collect();
        let mut objective = BatchObjective::of_sample(engine.as_mut(), &host, coordinates, members);
        // The curvature of a smaller sample serves a larger one well enough.
        let first = match shared.take() {
            Some(metrics) => metrics,
            None => {
                let at: Vec<(usize, &[f64])> = thetas.iter().map(Vec::as_slice).enumerate().collect();
                let scaled = |k| Metric::scaled(1.0 / objective.curvature_bound(k));
                let made = metrics(&objective, &at, None)?.into_iter().enumerate();
                made.map(|(k, metric)| metric.unwrap_or_else(|| scaled(k))).collect()
            }
        };
        let mut runners: Vec<Runner> =
            thetas.into_iter().zip(&first).map(|(theta, metric)| Runner::new(theta, metric.shared())).collect();
        let rule = BatchRule {
            tolerance: 0.0,
            relative_decrease: well_enough(coordinates.len(), sample.rows),
            max_iterations: SAMPLE_ITERATIONS,
            leave_last_step: false,
            renewal: Renew::WhereItPays(None),
        };
        minimise(&mut objective, &mut runners, &rule, &Unheard(monitor))?;
        thetas = runners.iter().map(|runner| runner.theta().to_vec()).collect();
        shared = Some(runners.iter().map(Runner::metric).collect());
    }
    Ok(thetas)
}
