//! Proximal Newton with working sets, for J with a penalty Σ wⱼ|θⱼ|; many models at once, in the same reads of X.
//!
//! A round evaluates one trial of each model in one read. Of a model that has moved, the columns that matter are those that are not
//! zero, are not penalised, or whose slope reaches the weight of their penalty, or nearly. The curvature of these alone makes the
//! quadratic model that the next step minimises together with the penalty: there are exact zeros, and columns by the thousand
//! cost no more than their slopes. A slope that goes beyond its weight brings its column in, so that what was left out is
//! checked in each round.

use std::collections::VecDeque;

use faer::Mat;

use super::batch::BatchRule;
use super::dot;
use super::line_search::{DECREASE, LONGEST, SHORTEST, TRIALS};
use super::quadratic::{Quadratic, change, weighted_sizes};
use super::quasi_newton::{difference, passes_to_go};
use super::stopping::StopReason;
use crate::error::Result;
use crate::linalg::MAX_COLUMNS;
use crate::monitor::{Event, Monitor};
use crate::objective::{BatchEvaluation, BatchObjective, Precision};

/// A zero column whose slope is at least this part of its weight may matter soon.
const NEAR: f64 = 0.9;
/// Zero columns that are taken in at once: so many, or as many as there are others.
const NEWCOMERS: usize = 64;
/// Multiply-adds of curvature of all rows that are cheap beside everything else.
const CHEAP: f64 = 4e9;
/// Rows of other curvature: so many, and so many for each column.
const ROWS: usize = 32_768;
const ROWS_PER_COLUMN: usize = 32;
/// The curvature of all rows costs a pass over X for this many columns.
const COLUMNS_A_PASS: f64 = 12.0;
/// Steps whose changes of the slopes correct the curvature.
const MEMORY: usize = 10;

/// One model on its way.
#[derive(Debug)]
pub struct SparseRunner {
    /// Where it is; none before its first evaluation.
    pub at: Option<BatchEvaluation>,
    /// Why it stopped, once it has.
    pub reason: Option<StopReason>,
    /// Steps taken.
    pub iterations: usize,
    /// The decrease of J that its next step promises.
    pub predicted: f64,
    /// J there, the penalty included.
    pub value: f64,
    /// The violation there, as `--tol` measures it.
    pub violation: f64,
    weights: Vec<f64>,
    trial: Vec<f64>,
    /// Where the full step ends, and the change of J along it to first order.
    end: Vec<f64>,
    slope: f64,
    step: f64,
    trials: usize,
    base: Option<Base>,
    corrections: VecDeque<(Vec<f64>, Vec<f64>)>,
    decreases: Vec<f64>,
    before: f64,
}

/// Curvature of some columns.
#[derive(Debug)]
struct Base {
    columns: Vec<usize>,
    curvature: Mat<f64>,
}

impl SparseRunner {
    /// A model that begins at θ; `weights` are those of |θⱼ|.
    pub fn new(theta: Vec<f64>, weights: Vec<f64>) -> Self {
        SparseRunner {
            at: None,
            reason: None,
            iterations: 0,
            predicted: f64::INFINITY,
            value: f64::INFINITY,
            violation: f64::INFINITY,
            weights,
            trial: theta,
            end: Vec::new(),
            slope: 0.0,
            step: 1.0,
            trials: 0,
            base: None,
            corrections: VecDeque::new(),
            decreases: Vec::new(),
            before: f64::INFINITY,
        }
    }

    /// Where it is, or would begin.
    pub fn theta(&self) -> &[f64] {
        self.at.as_ref().map_or(&self.trial, |at| &at.theta)
    }

    /// Lets it go on from where it stopped on an engine of finer numbers: with the step it would have taken next, where it had
    /// found one.
    pub fn resume(&mut self) {
        let steps_on = matches!(self.reason, Some(StopReason::NextStep | StopReason::PredictedDecrease));
        if let (false, Some(at)) = (steps_on, &self.at) {
            self.trial.clone_from(&at.theta);
        }
        // What rougher numbers made of J and its slopes is no measure of what these will.
        (self.at, self.reason, self.before) = (None, None, f64::INFINITY);
        (self.step, self.trials) = (1.0, 0);
    }

    /// Takes the evaluation of its trial in, at which the violation is `violation`: whether it moved there.
    fn receive(&mut self, end: BatchEvaluation, violation: f64, noise: f64) -> bool {
        self.trials += 1;
        let value = end.value + weighted_sizes(&self.weights, &end.theta);
        let Some(at) = &self.at else {
            if value.is_finite() {
                (self.value, self.violation, self.at) = (value, violation, Some(end));
                return true;
            }
            self.trial.iter_mut().for_each(|t| *t *= SHORTEST);
            return false;
        };
        let decreased = value <= self.value + DECREASE * self.step * self.slope;
        // Differences of J drown in rounding near the minimum; the violation does not.
        let closer = (value - self.value).abs() <= noise * self.value.abs() && violation < self.violation;
        if value.is_finite() && (decreased || closer) {
            let (step, change) = (difference(&end.theta, &at.theta), difference(&end.gradient, &at.gradient));
            if dot(&step, &change) > 1e-10 * dot(&change, &change).sqrt() * dot(&step, &step).sqrt() {
                if self.corrections.len() == MEMORY {
                    self.corrections.pop_front();
                }
                self.corrections.push_back((step, change));
            }
            self.iterations += 1;
            self.before = self.violation;
            (self.value, self.violation, self.at) = (value, violation, Some(end));
            return true;
        }
        // Where a parabola through J at both ends and its first slope is lowest.
        let rise = value - self.value - self.step * self.slope;
        let part = if rise.is_finite() && rise > 0.0 { -0.5 * self.step * self.slope / rise } else { 0.0 };
        self.step *= part.clamp(SHORTEST, LONGEST);
        let along = at.theta.iter().zip(&self.end);
        self.trial = along.map(|(from, to)| from + self.step * (to - from)).collect();
        false
    }

    /// The columns that matter at the point, ascending; at the most as many as a matrix is kept of, those that violate most first.
    fn working_set(&self) -> Vec<usize> {
        let Some(at) = &self.at else { return Vec::new() };
        let is_free = |j: usize| at.theta[j] != 0.0 || self.weights[j] == 0.0;
        let excess = |j: usize| {
            let (g, w) = (at.gradient[j], self.weights[j]);
            if at.theta[j] == 0.0 { g.abs() - w } else { (g + w.copysign(at.theta[j])).abs() }
        };
        let (mut columns, mut others): (Vec<usize>, Vec<usize>) = (0..at.theta.len()).partition(|j| is_free(*j));
        others.retain(|&j| at.gradient[j].abs() >= NEAR * self.weights[j]);
        others.sort_by(|a, b| excess(*b).total_cmp(&excess(*a)));
        others.truncate(NEWCOMERS.max(columns.len()));
        columns.extend(others);
        if columns.len() > MAX_COLUMNS {
            columns.sort_by(|a, b| excess(*b).total_cmp(&excess(*a)));
            columns.truncate(MAX_COLUMNS);
        }
        columns.sort_unstable();
        columns
    }

    /// Whether new curvature takes fewer passes to the tolerance than the present one.
    fn is_slow(&self, tolerance: f64) -> bool {
        let columns = self.base.as_ref().map_or(0, |base| base.columns.len());
        passes_to_go(&self.decreases, self.violation / tolerance) > 2.0 + columns as f64 / COLUMNS_A_PASS
    }

    /// Chooses the next step by the quadratic model on the columns of its curvature.
    fn aim(&mut self) {
        let (Some(at), Some(base)) = (&self.at, &self.base) else { return };
        let pick = |values: &[f64]| base.columns.iter().map(|&j| values[j]).collect::<Vec<f64>>();
        let mut curvature = base.curvature.clone();
        for (step, change) in &self.corrections {
            correct(&mut curvature, &pick(step), &pick(change));
        }
        let (gradient, from, weights) = (pick(&at.gradient), pick(&at.theta), pick(&self.weights));
        let quadratic = Quadratic { curvature: &curvature, gradient: &gradient, from: &from, weights: &weights };
        let (to, predicted) = quadratic.minimise();
        self.slope = change(gradient.iter().copied(), &weights, &from, &to);
        self.end.clone_from(&at.theta);
        base.columns.iter().zip(to).for_each(|(&j, x)| self.end[j] = x);
        self.predicted = predicted;
        self.decreases.push(predicted);
        self.trial.clone_from(&self.end);
        (self.step, self.trials) = (1.0, 0);
    }
}

/// The BFGS update of B for the change of the slopes over a step.
fn correct(curvature: &mut Mat<f64>, step: &[f64], change: &[f64]) {
    let size = step.len();
    let product: Vec<f64> = (0..size).map(|j| dot(curvature.col_as_slice(j), step)).collect();
    let (old, new) = (dot(&product, step), dot(change, step));
    if !(old > 0.0 && new > 0.0) {
        return;
    }
    for j in 0..size {
        let (a, b) = (change[j] / new, product[j] / old);
        let column = curvature.col_as_slice_mut(j).iter_mut().zip(change.iter().zip(&product));
        column.for_each(|(c, (y, p))| *c += a * y - b * p);
    }
}

/// Minimises every objective of `objective`, penalty included, that is not done; `runners` has one for each. The rule's renewal is not
/// used.
///
/// # Errors
/// As [`BatchObjective::evaluate`] and [`BatchObjective::hessians_on`].
pub fn minimise(
    objective: &mut BatchObjective<'_>,
    runners: &mut [SparseRunner],
    rule: &BatchRule,
    monitor: &dyn Monitor,
) -> Result<()> {
    let noise = objective.resolution();
    loop {
        let running: Vec<usize> = (0..runners.len()).filter(|k| runners[*k].reason.is_none()).collect();
        if running.is_empty() {
            return Ok(());
        }
        if monitor.interrupted() {
            running.iter().for_each(|k| runners[*k].reason = Some(StopReason::Interrupted));
            return Ok(());
        }
        let trials = running.iter().map(|k| (*k, runners[*k].trial.clone())).collect();
        for (&k, end) in running.iter().zip(objective.evaluate(trials)?) {
            let runner = &mut runners[k];
            let violation = objective.subgradient_norm(k, &end, &runner.weights);
            if runner.receive(end, violation, noise) {
                next_step(objective, k, runner, rule, running.len())?;
                if let ([_], Some(at)) = (running.as_slice(), &runner.at) {
                    monitor.event(Event::Iteration {
                        iteration: runner.iterations,
                        objective: runner.value,
                        gradient_inf_norm: runner.violation,
                        passes: objective.passes(),
                        point: &|| objective.coordinates().to_original(&at.theta),
                    });
                }
            } else if runner.trials >= TRIALS {
                runner.reason = Some(StopReason::NoProgress);
            }
        }
    }
}

/// Chooses the next step of a model that has moved, or says why there is to be none.
fn next_step(
    objective: &BatchObjective<'_>,
    k: usize,
    runner: &mut SparseRunner,
    rule: &BatchRule,
    running: usize,
) -> Result<()> {
    if runner.violation <= rule.tolerance {
        runner.reason = Some(StopReason::Gradient);
        return Ok(());
    }
    if runner.iterations >= rule.max_iterations {
        runner.reason = Some(StopReason::MaxIterations);
        return Ok(());
    }
    let columns = runner.working_set();
    let work = (objective.rows() * running) as f64 * (columns.len() * columns.len()) as f64;
    let slow = runner.is_slow(rule.tolerance);
    let covered =
        runner.base.as_ref().is_some_and(|base| columns.iter().all(|j| base.columns.binary_search(j).is_ok()));
    if work <= CHEAP || slow || !covered {
        let some = ROWS.max(ROWS_PER_COLUMN * columns.len());
        let rows = (work > CHEAP && !slow).then_some(some);
        let curvature = objective.hessians_on(&columns, &[(k, runner.theta())], rows, Precision::F64)?.swap_remove(0);
        if rows.is_none() {
            runner.corrections.clear();
        }
        runner.decreases.clear();
        runner.base = Some(Base { columns, curvature });
    }
    runner.aim();
    let next = runner.violation * runner.violation / runner.before;
    let floor = rule.relative_decrease * runner.value.max(objective.members()[k].weight_sum / 1000.0);
    runner.reason = if rule.leave_last_step && runner.before.is_finite() && next <= rule.tolerance {
        Some(StopReason::NextStep)
    } else if runner.predicted.abs() <= floor {
        Some(StopReason::PredictedDecrease)
    } else if !(runner.predicted > 0.0) || runner.end == runner.theta() {
        Some(StopReason::NoProgress)
    } else {
        None
    };
    Ok(())
}
