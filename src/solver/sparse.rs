//! Proximal Newton with working sets, for J with a penalty Σ wⱼ|θⱼ|; many models at once, in the same reads of X.
//!
//! A round evaluates one trial of each model in one read. Of a model that has moved, the columns that matter are those that are not
//! zero, are not penalised, or whose slope reaches the weight of their penalty, or nearly. The curvature of these alone makes the
//! quadratic model that the next step minimises together with the penalty: there are exact zeros, and columns by the thousand
//! cost no more than their slopes. A slope that goes beyond its weight brings its column in, so that what was left out is
//! checked in each round.

use std::collections::VecDeque;
use std::rc::Rc;

use faer::Mat;

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
/// Part of the violation that a step must take away where J no longer shows whether it is any good.
const HARDLY: f64 = 0.9;
/// Steps whose changes of the slopes correct the curvature.
const MEMORY: usize = 10;

/// When the models of a batch are done, beside their tolerances.
#[derive(Debug, Clone, Copy)]
pub struct SparseRule {
    /// Predicted decrease, as a part of max(J, S/1000), at which a model may stop as well.
    pub relative_decrease: f64,
    /// Steps of a model at the most.
    pub max_iterations: usize,
    /// Whether a model may stop where its next step is expected to end within the tolerance: another engine takes it.
    pub leave_last_step: bool,
}

/// One model on its way.
#[derive(Debug)]
pub struct SparseRunner {
    /// Which of the models of its objective it is.
    pub member: usize,
    /// The violation, as `--tol` measures it, at which it stops.
    pub tolerance: f64,
    /// Where it is; none before its first evaluation.
    pub at: Option<BatchEvaluation>,
    /// Why it stopped, once it has.
    pub reason: Option<StopReason>,
    /// Steps taken.
    pub iterations: usize,
    /// Evaluations, each of which was part of one read of X.
    pub evaluations: usize,
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
    /// Whether its last step changed J by no more than rounding does.
    drowned: bool,
}

/// Curvature of the loss in some columns, perhaps of a model that is much like this one.
#[derive(Debug, Clone)]
struct Base {
    columns: Rc<[usize]>,
    curvature: Rc<Mat<f64>>,
    /// Σ s of this model over that of the other.
    scale: f64,
}

impl Base {
    /// Where `columns` stand in it; nothing where one is missing.
    fn places(&self, columns: &[usize]) -> Option<Vec<usize>> {
        columns.iter().map(|j| self.columns.binary_search(j).ok()).collect()
    }
}

impl SparseRunner {
    /// The model `member` of an objective, to begin at θ; `weights` are those of |θⱼ|.
    pub fn new(member: usize, theta: Vec<f64>, weights: Vec<f64>) -> Self {
        SparseRunner {
            member,
            tolerance: 0.0,
            at: None,
            reason: None,
            iterations: 0,
            evaluations: 0,
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
            drowned: false,
        }
    }

    /// The weights of |θⱼ|.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Where it is, or would begin.
    pub fn theta(&self) -> &[f64] {
        self.at.as_ref().map_or(&self.trial, |at| &at.theta)
    }

    /// Lets it go on to a smaller tolerance from where it stopped, on an engine of finer numbers: with the step it would have taken
    /// next, where it had found one.
    pub fn resume(&mut self, tolerance: f64) {
        self.tolerance = tolerance;
        let steps_on = matches!(self.reason, Some(StopReason::NextStep | StopReason::PredictedDecrease));
        if let (false, Some(at)) = (steps_on, &self.at) {
            self.trial.clone_from(&at.theta);
        }
        // What rougher numbers made of J and its slopes is no measure of what these will.
        (self.at, self.reason, self.before, self.drowned) = (None, None, f64::INFINITY, false);
        (self.step, self.trials) = (1.0, 0);
    }

    /// Takes the evaluation of its trial in, at which the violation is `violation`: whether it moved there.
    fn receive(&mut self, end: BatchEvaluation, violation: f64, noise: f64) -> bool {
        self.trials += 1;
        self.evaluations += 1;
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
        let drowned = (value - self.value).abs() <= noise * self.value.abs();
        let closer = drowned && violation < self.violation;
        if value.is_finite() && (decreased || closer) {
            let (step, change) = (difference(&end.theta, &at.theta), difference(&end.gradient, &at.gradient));
            if dot(&step, &change) > 1e-10 * dot(&change, &change).sqrt() * dot(&step, &step).sqrt() {
                if self.corrections.len() == MEMORY {
                    self.corrections.pop_front();
                }
                self.corrections.push_back((step, change));
            }
            self.iterations += 1;
            (self.before, self.drowned) = (self.violation, drowned);
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

    /// Whether only rounding is left to be stirred: its last step changed J no more than that does, and the violation hardly.
    fn is_drowning(&self) -> bool {
        self.drowned && self.violation > HARDLY * self.before
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
    fn is_slow(&self, columns: usize) -> bool {
        passes_to_go(&self.decreases, self.violation / self.tolerance) > 2.0 + columns as f64 / COLUMNS_A_PASS
    }

    /// Chooses the next step by the quadratic model on `columns`, which its curvature covers; `penalty` is the curvature of what
    /// is not loss.
    fn aim(&mut self, columns: &[usize], penalty: &[f64]) {
        let (Some(at), Some(base)) = (&self.at, &self.base) else { return };
        let Some(places) = base.places(columns) else { return };
        let pick = |values: &[f64]| columns.iter().map(|&j| values[j]).collect::<Vec<f64>>();
        let mut curvature = Mat::from_fn(columns.len(), columns.len(), |a, b| {
            let own = if a == b { penalty[columns[a]] } else { 0.0 };
            base.scale * base.curvature[(places[a], places[b])] + own
        });
        for (step, change) in &self.corrections {
            correct(&mut curvature, &pick(step), &pick(change));
        }
        let (gradient, from, weights) = (pick(&at.gradient), pick(&at.theta), pick(&self.weights));
        let quadratic = Quadratic { curvature: &curvature, gradient: &gradient, from: &from, weights: &weights };
        let (to, predicted) = quadratic.minimise();
        self.slope = change(gradient.iter().copied(), &weights, &from, &to);
        self.end.clone_from(&at.theta);
        columns.iter().zip(to).for_each(|(&j, x)| self.end[j] = x);
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

/// Minimises the objectives of `objective` that `runners` stand for, penalty included, until all are done. Models that stand next to
/// each other should be alike: where curvature is dear, they share it.
///
/// # Errors
/// As [`BatchObjective::evaluate`] and [`BatchObjective::loss_hessians`].
pub fn minimise(
    objective: &mut BatchObjective<'_>,
    runners: &mut [SparseRunner],
    rule: &SparseRule,
    monitor: &dyn Monitor,
) -> Result<()> {
    let noise = objective.resolution();
    loop {
        let mut running: Vec<&mut SparseRunner> = runners.iter_mut().filter(|runner| runner.reason.is_none()).collect();
        if running.is_empty() {
            return Ok(());
        }
        if monitor.interrupted() {
            running.iter_mut().for_each(|runner| runner.reason = Some(StopReason::Interrupted));
            return Ok(());
        }
        let trials = running.iter().map(|runner| (runner.member, runner.trial.clone())).collect();
        let mut moved = Vec::new();
        for (runner, end) in running.into_iter().zip(objective.evaluate(trials)?) {
            let violation = objective.subgradient_norm(runner.member, &end, &runner.weights);
            if runner.receive(end, violation, noise) {
                moved.push(runner);
            } else if runner.trials >= TRIALS {
                runner.reason = Some(StopReason::NoProgress);
            }
        }
        if let ([runner], Some(at)) = (moved.as_slice(), moved.first().and_then(|runner| runner.at.as_ref())) {
            monitor.event(Event::Iteration {
                iteration: runner.iterations,
                objective: runner.value,
                gradient_inf_norm: runner.violation,
                passes: objective.passes(),
                point: Some(&|| objective.coordinates().to_original(&at.theta)),
            });
        }
        next_steps(objective, moved, rule)?;
    }
}

/// Chooses the next steps of models that have moved, or says why there are to be none.
fn next_steps(objective: &BatchObjective<'_>, moved: Vec<&mut SparseRunner>, rule: &SparseRule) -> Result<()> {
    let mut going = Vec::with_capacity(moved.len());
    for runner in moved {
        if runner.violation <= runner.tolerance {
            runner.reason = Some(StopReason::Gradient);
        } else if runner.iterations >= rule.max_iterations {
            runner.reason = Some(StopReason::MaxIterations);
        } else {
            let columns = runner.working_set();
            going.push((runner, columns));
        }
    }
    renew(objective, &mut going)?;
    for (runner, columns) in going {
        runner.aim(&columns, &objective.penalty_of(runner.member).collect::<Vec<f64>>());
        let next = runner.violation * runner.violation / runner.before;
        let weight_sum = objective.members()[runner.member].weight_sum;
        let floor = rule.relative_decrease * runner.value.max(weight_sum / 1000.0);
        runner.reason = if rule.leave_last_step && runner.before.is_finite() && next <= runner.tolerance {
            Some(StopReason::NextStep)
        } else if runner.predicted.abs() <= floor {
            Some(StopReason::PredictedDecrease)
        } else if !(runner.predicted > 0.0) || runner.end == runner.theta() || runner.is_drowning() {
            Some(StopReason::NoProgress)
        } else {
            None
        };
    }
    Ok(())
}

/// Gives models new curvature, at their own points or those of models like them: all where that is cheap, else those that want
/// columns which theirs does not cover, or that are slow with it. Each read of X is for all of them.
fn renew(objective: &BatchObjective<'_>, going: &mut [(&mut SparseRunner, Vec<usize>)]) -> Result<()> {
    let widest = union(going.iter().map(|(_, columns)| columns.as_slice()));
    if cost(objective.rows(), going.len(), widest.len()) <= CHEAP {
        return take(objective, going.iter_mut().collect(), widest, None);
    }
    let (mut slow, mut uncovered) = (Vec::new(), Vec::new());
    for one in going {
        let (runner, columns) = &one;
        if runner.is_slow(columns.len()) {
            slow.push(one);
        } else if runner.base.as_ref().is_none_or(|base| base.places(columns).is_none()) {
            uncovered.push(one);
        }
    }
    for (models, of_all_rows) in [(slow, true), (uncovered, false)] {
        let columns = union(models.iter().map(|(_, columns)| columns.as_slice()));
        let some = ROWS.max(ROWS_PER_COLUMN * columns.len());
        take(objective, models, columns, (!of_all_rows).then_some(some))?;
    }
    Ok(())
}

/// Multiply-adds of curvature.
fn cost(rows: usize, models: usize, columns: usize) -> f64 {
    (rows * models) as f64 * (columns * columns) as f64
}

/// The numbers that are in any of `sets`, ascending.
fn union<'a>(sets: impl Iterator<Item = &'a [usize]>) -> Vec<usize> {
    let mut all: Vec<usize> = sets.flatten().copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Takes the curvature of `columns` from all rows or from about `rows` of them, for as many of the models as is cheap, but for one in each
/// read at the least; those between share it.
fn take(
    objective: &BatchObjective<'_>,
    mut models: Vec<&mut (&mut SparseRunner, Vec<usize>)>,
    columns: Vec<usize>,
    rows: Option<usize>,
) -> Result<()> {
    if columns.len() > MAX_COLUMNS {
        // Together they are too many; each of them alone has fewer.
        for one in models {
            let columns = one.1.clone();
            take(objective, vec![one], columns, rows)?;
        }
        return Ok(());
    }
    let counted = rows.unwrap_or(objective.rows()).min(objective.rows());
    let shared = (cost(counted, models.len(), columns.len()) / CHEAP).ceil().max(1.0) as usize;
    let groups = models.chunks(shared).map(|group| &group[group.len() / 2].0);
    let at: Vec<(usize, &[f64])> = groups.map(|runner| (runner.member, runner.theta())).collect();
    let weight_sum = |member: usize| objective.members()[member].weight_sum;
    let weights: Vec<f64> = at.iter().map(|(member, _)| weight_sum(*member)).collect();
    let hessians = objective.loss_hessians(&columns, &at, rows, Precision::F64)?;
    let columns: Rc<[usize]> = columns.into();
    for ((group, curvature), weight) in models.chunks_mut(shared).zip(hessians).zip(weights) {
        let curvature = Rc::new(curvature);
        for (runner, _) in group.iter_mut().map(|one| &mut **one) {
            if rows.is_none() {
                runner.corrections.clear();
            }
            runner.decreases.clear();
            let scale = weight_sum(runner.member) / weight;
            runner.base = Some(Base { columns: columns.clone(), curvature: curvature.clone(), scale });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_change_nothing_but_rounding_are_told_from_those_that_help() {
        let at = |value: f64| BatchEvaluation {
            theta: vec![0.0],
            value,
            loss: value,
            loss_left_out: 0.0,
            gradient: vec![1.0],
        };
        // J and the violation after a step from 1 and 1, and whether it is taken and was the last of any use.
        for (value, violation, taken, drowning) in [
            (1.0 + 1e-9, 0.95, true, true),
            (1.0 + 1e-9, 0.5, true, false),
            (1.0 + 1e-9, 1.5, false, false),
            (0.5, 0.95, true, false),
        ] {
            let mut runner = SparseRunner::new(0, vec![0.0], vec![1.0]);
            assert!(runner.receive(at(1.0), 1.0, 1e-8));
            runner.end = vec![0.0];
            (runner.slope, runner.step) = (-1e-3, 1.0);
            assert_eq!(runner.receive(at(value), violation, 1e-8), taken);
            assert_eq!(runner.is_drowning(), drowning, "{value} {violation}");
        }
    }
}
