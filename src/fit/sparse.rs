//! Fits with a penalty l1·‖β‖₁, of one model or of many: engine → proximal Newton → the same on the host in f64 → KKT conditions
//! and duality gap.

use std::time::Instant;

use super::grid::log_odds;
use super::many::F32_FLOOR;
use super::{Fit, FitOptions, Init, LEAST_DECREASE, ManyFits, MemberFit, Seconds, starting_point};
use crate::certificate::{self, Certificate, Composite, Status, duality_gap};
use crate::data::{Dataset, Precision};
use crate::engine::cpu::{Host, gram_cost};
use crate::engine::gpu::GpuOptions;
use crate::engine::{self, Cost, DeviceInfo, DeviceKind, Draw, Engine};
use crate::error::{Error, Result};
use crate::monitor::{Event, Monitor, Silent, Unheard};
use crate::objective::{BatchObjective, Coordinates, Member};
use crate::solver::sparse::{SparseRule, SparseRunner, minimise};
use crate::solver::{RELATIVE_DECREASE, Solver, StopReason};

/// Predicted decrease in f64, as a part of max(J, S/1000), below which a further step only stirs rounding.
const EXACT: f64 = 1e-26;
/// Where a duality gap is wanted the host goes on to a violation of this part of the smallest weight: the gap is about as large a part
/// of the loss.
const PROVED: f64 = 1e-11;
/// Multiply-adds of the curvature of all columns that are cheap: the CPU's rows are fitted in f64 at once then.
const CHEAP: f64 = 4e9;
/// Along a descending row of penalties every eighth model is fitted first, then the others: each begins between its
/// neighbours.
const STRIDES: [usize; 2] = [8, 1];

/// What is to be solved: models of one draw that stand next to each other have descending penalties.
#[derive(Clone, Copy)]
struct Task<'a> {
    data: &'a Dataset,
    coordinates: &'a Coordinates,
    members: &'a [Member],
    /// The fold of each row, where a draw asks for it.
    folds: &'a [u8],
}

/// Models at the end of their way, and what it took.
struct Solved {
    models: Vec<Model>,
    device: DeviceInfo,
    passes: u64,
    seconds: Seconds,
    cost: Cost,
}

/// One of them.
struct Model {
    runner: SparseRunner,
    /// Steps before those of the verification.
    steps: usize,
    /// Why the engine's part ended, where no other part was to follow.
    ended: Option<StopReason>,
    /// See [`duality_gap`].
    gap: Option<f64>,
}

impl Model {
    /// Status, and what stopped the model.
    fn end(&self, tolerance: f64) -> (Status, &'static str) {
        match self.ended.or(self.runner.reason) {
            Some(StopReason::Interrupted) => (Status::Interrupted, "interrupted"),
            _ if self.runner.at.is_some() && self.runner.violation <= tolerance => (Status::Converged, "gradient"),
            Some(StopReason::MaxIterations) => (Status::MaxIterations, "max-iterations"),
            Some(StopReason::PredictedDecrease) => (Status::Converged, "predicted-decrease"),
            _ => (Status::Stalled, "no-progress"),
        }
    }
}

/// [`super::fit_with`] where there is an l1.
///
/// # Errors
/// As there.
pub(super) fn fit(data: &Dataset, options: &FitOptions, gpu: &GpuOptions, monitor: &dyn Monitor) -> Result<Fit> {
    let coordinates = Coordinates::new(data, options.intercept, &options.penalty_factors);
    let member = Member { l1: options.l1, l2: options.l2, draw: Draw::All, weight_sum: data.weight_sum };
    let task = Task { data, coordinates: &coordinates, members: &[member], folds: &[] };
    let mut solved = solve(task, options, gpu, monitor)?;
    let model = solved.models.swap_remove(0);
    let (status, stopped_by) = model.end(options.tolerance);
    let Model { runner, steps, gap, .. } = model;
    let Some(at) = &runner.at else {
        return Err(Error::Numerics("the loss is not finite anywhere near the starting point".into()));
    };
    let (inf_norm, inf_norm_raw) =
        coordinates.subgradient_norms(&at.gradient, &at.theta, runner.weights(), data.weight_sum);
    // J is that strongly convex in β once the intercept is the best one.
    let convexity = options.l2 * coordinates.least_penalty_factor();
    let certificate = options.verify.then(|| Certificate {
        objective: runner.value,
        loss: at.loss,
        gradient_inf_norm: inf_norm,
        gradient_inf_norm_raw: inf_norm_raw,
        predicted_decrease: runner.predicted.is_finite().then_some(runner.predicted),
        objective_gap: gap,
        coefficient_gap: gap.filter(|_| convexity > 0.0).map(|gap| (2.0 * gap / convexity).sqrt()),
        standard_error_gap: None,
        polish_steps: runner.iterations - steps,
        polish_decrease: 0.0,
    });
    let (coefficients, intercept) = coordinates.to_original(&at.theta);
    Ok(Fit {
        coefficients,
        intercept,
        status,
        stopped_by,
        solver: Solver::ProximalNewton,
        device: solved.device,
        samples: Vec::new(),
        iterations: steps,
        passes: solved.passes,
        objective: runner.value,
        log_loss: at.loss / data.weight_sum,
        gradient_inf_norm: inf_norm,
        gradient_inf_norm_raw: inf_norm_raw,
        certificate,
        rank: None,
        redundant: Vec::new(),
        separation: None,
        rounding: data.rounding(),
        seconds: solved.seconds,
        cost: solved.cost,
    })
}

/// [`super::fit_many`] where there is an l1.
///
/// # Errors
/// As there.
pub(super) fn fit_many(
    data: &Dataset,
    members: &[Member],
    folds: &[u8],
    options: &FitOptions,
    gpu: &GpuOptions,
    monitor: &dyn Monitor,
) -> Result<ManyFits> {
    let coordinates = Coordinates::new(data, options.intercept, &options.penalty_factors);
    let solved = solve(Task { data, coordinates: &coordinates, members, folds }, options, gpu, monitor)?;
    let of = |model: &Model| {
        let runner = &model.runner;
        let (coefficients, intercept) = coordinates.to_original(runner.theta());
        MemberFit {
            coefficients,
            intercept,
            objective: runner.value,
            loss: runner.at.as_ref().map_or(f64::INFINITY, |at| at.loss),
            loss_left_out: runner.at.as_ref().map_or(f64::INFINITY, |at| at.loss_left_out),
            gradient_inf_norm: runner.violation,
            objective_gap: model.gap,
            status: model.end(options.tolerance).0,
            evaluations: runner.evaluations,
        }
    };
    Ok(ManyFits {
        fits: solved.models.iter().map(of).collect(),
        device: solved.device,
        passes: solved.passes,
        seconds: solved.seconds,
        cost: solved.cost,
    })
}

/// Solves all models, with a duality gap of each where all rows count in all of them.
fn solve(task: Task<'_>, options: &FitOptions, gpu: &GpuOptions, monitor: &dyn Monitor) -> Result<Solved> {
    let start = Instant::now();
    let Task { data, coordinates, members, folds } = task;
    let proved = options.verify && members.iter().all(|member| member.draw == Draw::All);
    let (mut engine, opening) = engine::open(&options.device, data, 1, gpu)?;
    let solving = Instant::now();
    let host = Host::new(data);
    let mut host_engine = host.engine()?;
    let device = engine.device().clone();
    let curvature = gram_cost(data.rows, coordinates.len()) * members.len() as f64;
    let direct = device.kind == DeviceKind::Cpu && curvature <= CHEAP;
    let finer = SparseRule {
        relative_decrease: EXACT,
        max_iterations: options.max_iterations.unwrap_or(Solver::ProximalNewton.default_max_iterations()),
        leave_last_step: false,
    };
    let finer_tolerance = |runner: &SparseRunner| {
        let least = runner.weights().iter().copied().filter(|w| *w > 0.0).fold(f64::INFINITY, f64::min);
        options.tolerance.min(if proved { PROVED * least / data.weight_sum } else { f64::INFINITY })
    };
    let goes_on = options.verify && !direct;
    let rule = SparseRule {
        relative_decrease: match device.kind {
            _ if direct => EXACT,
            DeviceKind::SoftwareGpu => RELATIVE_DECREASE,
            _ if options.verify => LEAST_DECREASE,
            _ => RELATIVE_DECREASE,
        },
        leave_last_step: goes_on,
        ..finer
    };
    let rough = options.tolerance.max(F32_FLOOR);
    let mut runners = {
        let solver: &mut dyn Engine = if direct { host_engine.as_mut() } else { engine.as_mut() };
        let mut objective = BatchObjective::new(solver, &host, coordinates, members.to_vec(), folds);
        let first = first_points(&host, task, options)?;
        in_stages(task, first, monitor, &mut |runners| {
            runners.iter_mut().for_each(|r| r.tolerance = if goes_on { rough } else { finer_tolerance(r) });
            minimise(&mut objective, runners, &rule, monitor)
        })?
    };
    let cost = if direct { host_engine.cost() } else { engine.cost() };
    let engine_passes = engine.cost().passes;
    drop(engine);
    let solve = solving.elapsed().as_secs_f64();
    let verifying = Instant::now();
    let last = |reason: &StopReason| matches!(reason, StopReason::Interrupted | StopReason::MaxIterations);
    let ended: Vec<Option<StopReason>> = runners.iter().map(|runner| runner.reason.filter(last)).collect();
    let steps: Vec<usize> = runners.iter().map(|runner| runner.iterations).collect();
    let mut objective = BatchObjective::new(host_engine.as_mut(), &host, coordinates, members.to_vec(), folds);
    if goes_on {
        runners.iter_mut().for_each(|runner| runner.resume(finer_tolerance(runner)));
        let (mut over, mut going): (Vec<_>, Vec<_>) =
            runners.into_iter().partition(|runner| ended[runner.member].is_some());
        // Those that were stopped are looked at once, whoever stopped them.
        minimise(&mut objective, &mut over, &SparseRule { max_iterations: 0, ..finer }, &Silent)?;
        minimise(&mut objective, &mut going, &finer, &Unheard(monitor))?;
        runners = over.into_iter().chain(going).collect();
        runners.sort_by_key(|runner| runner.member);
    }
    let gaps = if proved { gaps(&objective, &runners, data)? } else { vec![None; members.len()] };
    let models = runners.into_iter().zip(steps).zip(ended).zip(gaps);
    Ok(Solved {
        models: models.map(|(((runner, steps), ended), gap)| Model { runner, steps, ended, gap }).collect(),
        device,
        passes: engine_passes + host_engine.cost().passes + host.passes(),
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

/// Where models begin that have no neighbours yet: as the options say, and from zeros with the intercept that makes the mean
/// prediction that of the targets.
fn first_points(host: &Host<'_>, task: Task<'_>, options: &FitOptions) -> Result<Vec<Vec<f64>>> {
    let mut thetas = vec![starting_point(task.coordinates, &options.init); task.members.len()];
    if matches!(options.init, Init::Zeros) && options.intercept {
        let draws: Vec<Draw> = task.members.iter().map(|member| member.draw).collect();
        for (theta, best) in thetas.iter_mut().zip(log_odds(host, &draws, task.folds)?) {
            theta.last_mut().into_iter().for_each(|intercept| *intercept = best);
        }
    }
    Ok(thetas)
}

/// Solves models a stage at a time, those of a stage together; a model begins at `first` or between neighbours solved before.
fn in_stages(
    task: Task<'_>,
    mut first: Vec<Vec<f64>>,
    monitor: &dyn Monitor,
    solve: &mut dyn FnMut(&mut [SparseRunner]) -> Result<()>,
) -> Result<Vec<SparseRunner>> {
    let members = task.members;
    let stages = stages(members);
    let count = stages.iter().max().map_or(0, |last| last + 1);
    let mut solved: Vec<Option<SparseRunner>> = members.iter().map(|_| None).collect();
    for stage in 0..count {
        let now: Vec<usize> = (0..members.len()).filter(|k| stages[*k] == stage).collect();
        if count > 1 {
            monitor.event(Event::Step(format!("{} of {} models", now.len(), members.len())));
        }
        let begin = |&k: &usize| {
            let theta = match stage {
                0 => std::mem::take(&mut first[k]),
                _ => between(members, &solved, k),
            };
            SparseRunner::new(k, theta, task.coordinates.l1_weights(members[k].l1))
        };
        let mut runners: Vec<SparseRunner> = now.iter().map(begin).collect();
        solve(&mut runners)?;
        for runner in runners {
            let member = runner.member;
            solved[member] = Some(runner);
        }
    }
    Ok(solved.into_iter().flatten().collect())
}

/// The stage of each model.
fn stages(members: &[Member]) -> Vec<usize> {
    let of_run = |run: &[Member]| -> Vec<usize> {
        let strides: Vec<usize> =
            STRIDES.into_iter().filter(|stride| *stride == 1 || 2 * stride <= run.len()).collect();
        let of = |k: usize| strides.iter().position(|stride| k.is_multiple_of(*stride) || k + 1 == run.len());
        (0..run.len()).map(|k| of(k).unwrap_or(0)).collect()
    };
    members.chunk_by(|a, b| a.draw == b.draw).flat_map(of_run).collect()
}

/// Where model `k` may be expected: on the straight line in log λ between its neighbours among those of its draw that are solved.
fn between(members: &[Member], solved: &[Option<SparseRunner>], k: usize) -> Vec<f64> {
    let of = |j: usize| solved[j].as_ref().filter(|_| members[j].draw == members[k].draw).map(SparseRunner::theta);
    let before = (0..k).rev().find_map(|j| of(j).map(|theta| (j, theta)));
    let after = (k..members.len()).find_map(|j| of(j).map(|theta| (j, theta)));
    let size = |j: usize| (members[j].l1 + members[j].l2).ln();
    match (before, after) {
        (Some((a, from)), Some((b, to))) => {
            let part = (size(k) - size(a)) / (size(b) - size(a));
            // The last penalty may be none at all.
            let part = if part.is_finite() { part } else { 0.0 };
            from.iter().zip(to).map(|(from, to)| from + part * (to - from)).collect()
        }
        (Some((_, theta)), None) | (None, Some((_, theta))) => theta.to_vec(),
        (None, None) => Vec::new(),
    }
}

/// The duality gap of each model, in one read of X for those that leave the same columns free.
fn gaps(objective: &BatchObjective<'_>, runners: &[SparseRunner], data: &Dataset) -> Result<Vec<Option<f64>>> {
    let coordinates = objective.coordinates();
    let reach = coordinates.reach(&data.moments);
    let curvatures = |runner: &SparseRunner| coordinates.penalty_curvature(objective.members()[runner.member].l2);
    let free = |runner: &SparseRunner| -> Vec<usize> {
        let penalty = curvatures(runner).into_iter().zip(runner.weights()).enumerate();
        penalty.filter(|(_, (c, w))| *c == 0.0 && **w == 0.0).map(|(j, _)| j).collect()
    };
    let mut all = Vec::with_capacity(runners.len());
    for alike in runners.chunk_by(|a, b| free(a) == free(b)) {
        let free = free(&alike[0]);
        if !certificate::affordable(data.rows, free.len()) {
            all.extend(alike.iter().map(|_| None));
            continue;
        }
        let at: Vec<(usize, &[f64])> = alike.iter().map(|runner| (runner.member, runner.theta())).collect();
        let hessians = match free.is_empty() {
            true => vec![faer::Mat::zeros(0, 0); alike.len()],
            false => objective.loss_hessians(&free, &at, None, Precision::F64)?,
        };
        all.extend(alike.iter().zip(&hessians).map(|(runner, curvature)| {
            let at = runner.at.as_ref()?;
            let curvatures = curvatures(runner);
            let ridge = curvatures.iter().zip(&at.theta).map(|(c, t)| c * t);
            let gap = duality_gap(Composite {
                theta: &at.theta,
                slopes: &at.gradient.iter().zip(ridge).map(|(g, ridge)| g - ridge).collect::<Vec<f64>>(),
                weights: runner.weights(),
                curvatures: &curvatures,
                free: &free,
                curvature,
                reach: &reach,
                loss: at.loss,
                weight_sum: data.weight_sum,
            });
            // A bound below the rounding of J itself would say more than f64 can know.
            gap.map(|gap| gap.max(f64::EPSILON * runner.value))
        }));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_solved_first_and_a_model_begins_between_them() {
        let member = |l1: f64, draw| Member { l1, l2: 0.0, draw, weight_sum: 1.0 };
        let descending = |count: usize, draw| (0..count).map(move |k| member(0.9f64.powi(k as i32), draw));
        let mut members: Vec<Member> = descending(10, Draw::Without(0)).collect();
        members.extend(descending(3, Draw::Without(1)));
        assert_eq!(stages(&members), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(stages(&descending(40, Draw::All).collect::<Vec<_>>())[30..], [1, 1, 0, 1, 1, 1, 1, 1, 1, 0]);
        let mut solved: Vec<Option<SparseRunner>> = members.iter().map(|_| None).collect();
        for (k, theta) in [(0, 1.0), (4, 3.0), (9, 7.0), (10, 50.0)] {
            solved[k] = Some(SparseRunner::new(k, vec![theta], vec![1.0]));
        }
        let at = |k: usize| between(&members, &solved, k)[0];
        assert!((at(1) - 1.5).abs() < 1e-12 && (at(8) - 6.2).abs() < 1e-12, "{} {}", at(1), at(8));
        // Of another draw nothing is known but its own.
        assert_eq!(at(12), 50.0);
    }
}
