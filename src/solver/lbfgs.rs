//! L-BFGS on top of the curvature of some rows.
//!
//! The inverse Hessian starts as that of evenly spread rows instead of a multiple of the identity, so that a handful of
//! corrections suffices even when columns are correlated; it is taken anew at the current point where the pace asks for it.
//! It is the method where rows are too few for a sample that stands for all of them, or columns too many. Where p is too
//! large for a p × p factor, the usual scaled identity serves.

use faer::Mat;

use super::metric::Metric;
use super::quasi_newton::{self, Renewal};
use super::stopping::StopRule;
use super::{Solution, dot};
use crate::error::Result;
use crate::linalg::MAX_COLUMNS;
use crate::monitor::Monitor;
use crate::objective::{Evaluation, Objective};

/// The curvature of this many times n/p rows costs about as much as eight passes over X on the CPU engine; with the
/// factor that is ten.
const ROWS: usize = 100;
const RENEWAL_PASSES: f64 = 10.0;
/// Rows for each parameter that the curvature is taken from at the least.
const ROWS_PER_PARAMETER: usize = 4;
/// Part of all rows that tell how it changes, at the most.
const PART: usize = 4;
/// Share of the off-diagonal part that must be more than noise for that.
const CORRELATED: f64 = 0.3;
/// Change of the mean curvature over a step, as a part, below which it need not be followed any further, and above which the step
/// says little of what is to come.
const SETTLED: f64 = 0.01;
const MOVED: f64 = 0.1;
/// First steps that may say too little to be learnt from.
const UNLEARNT: usize = 3;
/// Multiples of a first step at which its curvature is measured.
const LENGTHS: [f64; 8] = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0];

/// Minimises `objective` from the evaluated `start`.
///
/// # Errors
/// As [`Objective::evaluate`].
pub fn minimise(
    objective: &mut Objective<'_>,
    start: Evaluation,
    rule: StopRule,
    monitor: &dyn Monitor,
) -> Result<Solution> {
    let mut renewal = SomeRows::default();
    let metric = renewal.renew(objective, &start.theta)?;
    let metric = metric.unwrap_or_else(|| Metric::scaled(1.0 / objective.curvature_bound()));
    quasi_newton::minimise(objective, start, metric, renewal, rule, monitor)
}

/// Renews a metric by the curvature of some rows, and has it follow the point.
#[derive(Debug, Default)]
pub(crate) struct SomeRows {
    /// How many do, once that is known.
    rows: Option<usize>,
    /// Where the curvature changes still.
    moving: Option<Moving>,
}

/// Mean curvature of a row, all added up.
#[derive(Debug)]
struct Moving {
    /// Where the metric was taken.
    taken: f64,
    /// At the latest point.
    latest: f64,
    /// First steps that may still say too little.
    unlearnt: usize,
}

/// Rows that tell how curvature changes: a part of all, so that no full read goes into it.
fn tellers(objective: &Objective<'_>) -> usize {
    (ROWS_PER_PARAMETER * objective.coordinates().len()).min(objective.rows() / PART)
}

impl SomeRows {
    /// The metric of the curvature of some rows at θ.
    fn metric(&mut self, objective: &Objective<'_>, theta: &[f64]) -> Result<Option<Metric>> {
        let parameters = theta.len();
        let of = |rows: usize| {
            let curvature = |products| objective.sampled_hessian(theta, rows, products);
            Metric::rough(|products| Ok(Metric::of_sample(curvature(products)?, rows.min(objective.rows()))))
        };
        if let Some(rows) = self.rows {
            return of(rows);
        }
        let few = ROWS_PER_PARAMETER * parameters;
        let many = (ROWS * objective.pass_cost() * objective.rows() / parameters).max(few);
        // A few rows tell whether there are correlations that make more of them worth the while.
        if many >= 2 * few {
            let Some(metric) = of(few)? else { return Ok(None) };
            if metric.kept() < CORRELATED {
                self.rows = Some(few);
                return Ok(Some(metric));
            }
        }
        self.rows = Some(many);
        of(many)
    }
}

impl Renewal for SomeRows {
    fn cost(&self) -> f64 {
        RENEWAL_PASSES
    }

    /// The metric of the curvature of some rows at θ, where it can be had.
    fn renew(&mut self, objective: &Objective<'_>, theta: &[f64]) -> Result<Option<Metric>> {
        if theta.is_empty() || theta.len() > MAX_COLUMNS {
            return Ok(None);
        }
        let metric = self.metric(objective, theta)?;
        let moments = objective.predictor_moments(&[theta.to_vec()], tellers(objective))?;
        let total = moments[0][0];
        self.moving = metric.is_some().then_some(Moving { taken: total, latest: total, unlearnt: UNLEARNT });
        Ok(metric)
    }

    /// Where J is lowest along the first step from the null model, going by its slope there and by the curvature of a few rows on the way.
    ///
    /// Curvature falls as logits grow, so that a step of Newton's method is too short.
    fn first_length(&self, objective: &Objective<'_>, at: &Evaluation, step: &[f64]) -> Result<f64> {
        let slopes = at.theta.len() - usize::from(objective.coordinates().map().intercept);
        if self.moving.is_none() || at.theta[..slopes].iter().any(|t| *t != 0.0) {
            return Ok(1.0);
        }
        let ends = LENGTHS.map(|length| at.theta.iter().zip(step).map(|(t, d)| t + length * d).collect());
        let moments = objective.predictor_moments(&ends, tellers(objective))?;
        let shift = step.get(slopes).copied().unwrap_or(0.0);
        let penalty: f64 = step.iter().zip(objective.penalty()).map(|(d, p)| p * d * d).sum();
        let mut slope = dot(&at.gradient, step);
        let (mut before, mut curved) = (0.0, None);
        for (length, [ones, first, second]) in LENGTHS.into_iter().zip(moments) {
            let here = second / length / length + 2.0 * shift * first / length + shift * shift * ones + penalty;
            let mean = 0.5 * (here + curved.unwrap_or(here));
            if !(mean > 0.0) {
                break;
            }
            if slope + mean * (length - before) >= 0.0 {
                return Ok(before - slope / mean);
            }
            slope += mean * (length - before);
            (before, curved) = (length, Some(here));
        }
        Ok(before.max(1.0))
    }

    fn follow(&mut self, objective: &Objective<'_>, theta: &[f64], metric: &mut Metric) -> Result<bool> {
        let (Some(moving), Some(trace)) = (&mut self.moving, metric.trace()) else { return Ok(false) };
        let has_intercept = objective.coordinates().map().intercept;
        let slopes = theta.len() - usize::from(has_intercept);
        let length = dot(&theta[..slopes], &theta[..slopes]).sqrt();
        let [total, first, second] = objective.predictor_moments(&[theta.to_vec()], tellers(objective))?[0];
        if !(length > 0.0 && total > 0.0) {
            return Ok(false);
        }
        let changed = (total / moving.latest).ln().abs();
        moving.latest = total;
        let penalty = objective.penalty();
        let of_penalty: f64 = penalty.iter().sum();
        let scale = (total / moving.taken * (trace - of_penalty) + of_penalty) / trace;
        let mut along = vec![vec![0.0; theta.len()]];
        along[0][..slopes].iter_mut().zip(theta).for_each(|(u, t)| *u = t / length);
        let penalised: f64 = along[0].iter().zip(penalty).map(|(u, p)| p * u * u).sum();
        let mut curvature = vec![second / length / length + penalised];
        if has_intercept {
            along.push(vec![0.0; theta.len()]);
            along[1][slopes] = 1.0;
            curvature.extend([first / length, total]);
        }
        let n = along.len();
        metric.follow(scale, along, &Mat::from_fn(n, n, |i, j| curvature[i + j]));
        let misleads = changed > MOVED && moving.unlearnt > 0;
        moving.unlearnt = if misleads { moving.unlearnt - 1 } else { 0 };
        if changed < SETTLED {
            self.moving = None;
        }
        Ok(misleads)
    }
}
