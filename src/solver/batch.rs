//! Many models at once, each along a metric of its own: every round evaluates one trial of each model that is not done, all of
//! them in one read of X. A model that is done leaves the batch.
//!
//! There is no line to be probed here, for the logits of all models would be more than X: a trial that is no good is followed
//! by a shorter one, where the slopes at both ends say J is lowest, in the next round.

use super::dot;
use super::line_search::{SHORTER, TRIALS, lowers, shorter};
use super::metric::Metric;
use super::quasi_newton::{difference, passes_to_go};
use super::stopping::StopReason;
use crate::error::Result;
use crate::monitor::{Event, Monitor};
use crate::objective::{BatchEvaluation, BatchObjective, Precision, Probe};

/// Bytes of matrices that are held at once before they are factored.
const MATRIX_BYTES: usize = 256 << 20;
/// Part of J that an engine of rougher numbers may be off by.
const ROUGHLY: f64 = 1e-4;

/// When a batch is done, and how much its metrics may cost.
#[derive(Debug, Clone, Copy)]
pub struct BatchRule {
    /// Largest gradient entry as `--tol` measures it.
    pub tolerance: f64,
    /// Predicted decrease, as a part of max(J, S/1000), at which a model may stop as well.
    pub relative_decrease: f64,
    /// Steps of a model at the most.
    pub max_iterations: usize,
    /// Whether a model may stop where its next step is expected to end within the tolerance: another engine takes it.
    pub leave_last_step: bool,
    /// When a model's curvature is taken anew.
    pub renewal: Renew,
}

/// When the curvature of a model is taken anew, at its own point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renew {
    /// After every step: Newton's method.
    Always,
    /// Where that takes fewer passes than going on; from about so many rows, or from all.
    WhereItPays(Option<usize>),
}

/// One model on its way.
#[derive(Debug)]
pub struct Runner {
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
    metric: Metric,
    trial: Vec<f64>,
    direction: Vec<f64>,
    /// The step along the direction that the trial is, and how many there were.
    step: f64,
    trials: usize,
    decreases: Vec<f64>,
    /// The slope before the last step.
    before: f64,
    /// Whether where it is was evaluated in rougher numbers.
    elsewhere: bool,
}

impl Runner {
    /// A model that begins at θ with `metric`.
    pub fn new(theta: Vec<f64>, metric: Metric) -> Self {
        Runner {
            at: None,
            reason: None,
            iterations: 0,
            evaluations: 0,
            predicted: f64::INFINITY,
            metric,
            trial: theta,
            direction: Vec::new(),
            step: 1.0,
            trials: 0,
            decreases: Vec::new(),
            before: f64::INFINITY,
            elsewhere: false,
        }
    }

    /// Lets it go on from where it stopped on an engine of finer numbers: with the step it would have taken next, or where it
    /// found none or may take no more, from that place.
    pub fn resume(&mut self) {
        let stays = matches!(self.reason, Some(StopReason::NoProgress | StopReason::MaxIterations));
        if let (true, Some(at)) = (stays, &self.at) {
            self.trial.clone_from(&at.theta);
        }
        (self.reason, self.elsewhere, self.before) = (None, true, f64::INFINITY);
        (self.step, self.trials) = (1.0, 0);
    }

    /// Whether what its next step promises says how far away the optimum is.
    pub fn is_informed(&self) -> bool {
        self.metric.is_informed()
    }

    /// The curvature it went by last.
    pub fn metric(&self) -> Metric {
        self.metric.shared()
    }

    /// Where it is, or would begin.
    pub fn theta(&self) -> &[f64] {
        self.at.as_ref().map_or(&self.trial, |at| &at.theta)
    }

    /// Takes the evaluation of its trial in: whether it moved there.
    fn receive(&mut self, end: BatchEvaluation, noise: f64) -> bool {
        self.evaluations += 1;
        self.trials += 1;
        let Some(at) = &self.at else {
            if end.value.is_finite() {
                self.at = Some(end);
                return true;
            }
            self.trial.iter_mut().for_each(|t| *t *= SHORTER);
            return false;
        };
        let slope = dot(&at.gradient, &self.direction);
        if end.value.is_finite() {
            let here = Probe { step: self.step, value: end.value, slope: dot(&end.gradient, &self.direction) };
            // What rougher numbers made of J says no more than whether the trial is far off; and the difference of a gradient of
            // theirs to one of these teaches nothing.
            if self.elsewhere && end.value <= at.value + ROUGHLY * at.value.abs() {
                self.iterations += usize::from(end.theta != at.theta);
                (self.at, self.elsewhere) = (Some(end), false);
                return true;
            }
            if lowers(at.value, slope, here, noise) {
                self.metric.correct(difference(&end.theta, &at.theta), difference(&end.gradient, &at.gradient));
                self.iterations += 1;
                self.at = Some(end);
                return true;
            }
            self.step = shorter(slope, here);
        } else {
            self.step *= SHORTER;
        }
        self.trial = along(&at.theta, &self.direction, self.step);
        false
    }

    /// Chooses the next step, or says why there is to be none.
    fn aim(&mut self, k: usize, objective: &BatchObjective<'_>, rule: &BatchRule) {
        let Some(at) = &self.at else { return };
        self.direction = self.metric.direction(&at.gradient);
        self.predicted = -0.5 * dot(&at.gradient, &self.direction);
        if !(self.predicted >= 0.0) && self.metric.forget() {
            self.direction = self.metric.direction(&at.gradient);
            self.predicted = -0.5 * dot(&at.gradient, &self.direction);
        }
        self.decreases.push(self.predicted);
        (self.step, self.trials) = (1.0, 0);
        self.trial = along(&at.theta, &self.direction, 1.0);
        let slope = objective.gradient_norm(k, &at.gradient);
        let next_slope = slope * slope / self.before;
        let floor = rule.relative_decrease * at.value.max(objective.members()[k].weight_sum / 1000.0);
        self.reason = if slope <= rule.tolerance {
            Some(StopReason::Gradient)
        } else if rule.leave_last_step && self.before.is_finite() && next_slope <= rule.tolerance {
            Some(StopReason::NextStep)
        } else if self.metric.is_informed() && self.predicted <= floor {
            Some(StopReason::PredictedDecrease)
        } else if self.iterations >= rule.max_iterations {
            Some(StopReason::MaxIterations)
        } else if !(self.predicted > 0.0) {
            Some(StopReason::NoProgress)
        } else {
            None
        };
        self.before = slope;
    }

    /// Whether new curvature takes fewer passes to the tolerance than the present metric.
    fn is_slow(&self, k: usize, objective: &BatchObjective<'_>, rule: &BatchRule) -> bool {
        let Some(at) = &self.at else { return false };
        let to_fall = objective.gradient_norm(k, &at.gradient) / rule.tolerance;
        passes_to_go(&self.decreases, to_fall) > super::newton::curvature_passes(at.theta.len())
    }
}

/// Minimises every objective of `objective` that is not done; `runners` has one for each.
///
/// # Errors
/// As [`BatchObjective::evaluate`] and [`BatchObjective::hessians`].
pub fn minimise(
    objective: &mut BatchObjective<'_>,
    runners: &mut [Runner],
    rule: &BatchRule,
    monitor: &dyn Monitor,
) -> Result<()> {
    let noise = objective.resolution();
    for round in 1.. {
        let running: Vec<usize> = (0..runners.len()).filter(|k| runners[*k].reason.is_none()).collect();
        if running.is_empty() {
            break;
        }
        if monitor.interrupted() {
            running.iter().for_each(|k| runners[*k].reason = Some(StopReason::Interrupted));
            break;
        }
        let passes = objective.passes();
        monitor.event(Event::Step(format!(
            "round {round}: {} of {} models, {passes} passes",
            running.len(),
            runners.len()
        )));
        let trials = running.iter().map(|k| (*k, runners[*k].trial.clone())).collect();
        let (mut moved, mut renewed) = (Vec::new(), Vec::new());
        for (&k, end) in running.iter().zip(objective.evaluate(trials)?) {
            let runner = &mut runners[k];
            if runner.receive(end, noise) {
                moved.push(k);
                let due = match rule.renewal {
                    Renew::Always => runner.iterations > 0,
                    Renew::WhereItPays(_) => runner.is_slow(k, objective, rule),
                };
                let slope = runner.at.as_ref().map_or(0.0, |at| objective.gradient_norm(k, &at.gradient));
                if due && slope > rule.tolerance {
                    renewed.push(k);
                }
            } else if runner.trials >= TRIALS {
                // A stale metric can offer no descent; one without corrections that offers none means the noise floor.
                if runner.metric.forget() {
                    moved.push(k);
                } else {
                    runner.reason = Some(StopReason::NoProgress);
                }
            }
        }
        renew(objective, runners, &renewed, rule.renewal)?;
        for k in moved {
            runners[k].aim(k, objective, rule);
        }
    }
    Ok(())
}

/// Takes the curvature of some models anew, each at its own point.
fn renew(objective: &BatchObjective<'_>, runners: &mut [Runner], which: &[usize], how: Renew) -> Result<()> {
    if which.is_empty() || !objective.has_curvature() {
        return Ok(());
    }
    let rows = match how {
        Renew::WhereItPays(rows) => rows,
        Renew::Always => None,
    };
    let columns = objective.coordinates().len();
    for some in which.chunks((MATRIX_BYTES / (columns * columns * size_of::<f64>())).max(1)) {
        let at: Vec<(usize, &[f64])> = some.iter().map(|k| (*k, runners[*k].theta())).collect();
        for (&k, metric) in some.iter().zip(metrics(objective, &at, rows)?) {
            if let Some(metric) = metric {
                runners[k].metric = metric;
                runners[k].decreases.clear();
            }
        }
    }
    Ok(())
}

/// The metrics of the curvature of some models, each at its own point, from about `rows` rows or from all; with products in f32
/// where those are good enough.
///
/// # Errors
/// As [`BatchObjective::hessians`].
pub fn metrics(
    objective: &BatchObjective<'_>,
    at: &[(usize, &[f64])],
    rows: Option<usize>,
) -> Result<Vec<Option<Metric>>> {
    let of = |curvature: faer::Mat<f64>| match rows {
        Some(rows) => Metric::of_sample(curvature, rows.min(objective.rows())),
        None => Metric::of(curvature),
    };
    let mut metrics: Vec<Option<Metric>> = objective
        .hessians(at, rows, Precision::F32)?
        .into_iter()
        .map(|h| of(h).filter(Metric::is_well_conditioned))
        .collect();
    let again: Vec<usize> = (0..at.len()).filter(|i| metrics[*i].is_none()).collect();
    if !again.is_empty() {
        let at: Vec<(usize, &[f64])> = again.iter().map(|i| at[*i]).collect();
        for (i, h) in again.into_iter().zip(objective.hessians(&at, rows, Precision::F64)?) {
            metrics[i] = of(h);
        }
    }
    Ok(metrics)
}

fn along(theta: &[f64], direction: &[f64], step: f64) -> Vec<f64> {
    theta.iter().zip(direction).map(|(t, d)| t + step * d).collect()
}
