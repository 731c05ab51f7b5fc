//! How far predicted probabilities are those that events have.

use rayon::iter::ParallelIterator;
use rayon::slice::ParallelSlice;
use serde::Serialize;

use super::ranked::{Ranked, Tie};
use crate::error::Result;
use crate::logistic::{residual_and_loss, variance};

/// Bins of the probability, of equal width.
const BINS: usize = 10;
/// Ties whose sums are taken by one thread.
const CHUNK: usize = 1 << 13;
/// Newton steps, or halvings of one, at the most.
const MOST_STEPS: usize = 100;
/// A step so small, as a part of 1 + |coefficient|, is the last: the next would be its square.
const LAST: f64 = 1e-9;
/// Below it the loss cannot tell a good step from a bad one, and Newton's need no telling.
const SURE: f64 = 1e-6;

/// How far probabilities are those that events have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Slope b of the logistic regression of t on a, t ~ σ(c + b·a): below 1 where predictions are too extreme. `None` where it has
    /// no optimum: one class is absent, no row of class 0 lies above one of class 1 or none below, or some a is infinite.
    pub slope: Option<f64>,
    /// Intercept c of the same.
    pub intercept: Option<f64>,
    /// Intercept c of t ~ σ(c + a), its slope held at 1 (calibration in the large): above 0 where predictions are too low. `None`
    /// where one class is absent or some a is infinite.
    pub intercept_at_slope_1: Option<f64>,
    /// Expected calibration error, Σ over bins of weight/S·|mean probability − share of class 1|.
    pub expected_error: f64,
    /// The bins, of equal width.
    pub bins: Vec<CalibrationBin>,
}

/// Rows whose probability is above `from` and at most `to`; in the first bin 0 is one of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CalibrationBin {
    /// See [`CalibrationBin`].
    pub from: f64,
    /// See [`CalibrationBin`].
    pub to: f64,
    /// Their weight.
    pub weight: f64,
    /// Mean of their probabilities; `None` where there are no rows.
    pub mean_probability: Option<f64>,
    /// Share of class 1 in them; `None` where there are no rows.
    pub share: Option<f64>,
}

/// Bins under way.
#[derive(Clone, Default)]
pub(super) struct Reliability {
    /// Σ s, Σ s·y and Σ s·t of each bin.
    bins: [[f64; 3]; BINS],
}

impl Reliability {
    /// Adds a row of probability `y`, target `t` and weight `s`.
    pub(super) fn add(&mut self, y: f64, t: f64, s: f64) {
        let bin = (1..BINS).filter(|edge| *edge as f64 / (BINS as f64) < y).count();
        let sums = &mut self.bins[bin];
        [1.0, y, t].iter().zip(sums).for_each(|(x, sum)| *sum += s * x);
    }

    /// Σ s·y.
    pub(super) fn probability(&self) -> f64 {
        self.bins.iter().map(|[_, probability, _]| probability).sum()
    }

    /// The calibration of these rows, whose predictors are `rows`.
    ///
    /// # Errors
    /// As [`Ranked::each_unordered`].
    pub(super) fn finish(self, rows: &Ranked) -> Result<Calibration> {
        let bin = |(k, [weight, probability, ones]): (usize, &[f64; 3])| {
            let mean = |sum: &f64| (*weight > 0.0).then(|| sum / weight);
            let edge = |k: usize| k as f64 / BINS as f64;
            let (mean_probability, share) = (mean(probability), mean(ones));
            CalibrationBin { from: edge(k), to: edge(k + 1), weight: *weight, mean_probability, share }
        };
        let all: f64 = self.bins.iter().map(|[weight, ..]| weight).sum();
        let predictors = Predictors::of(rows)?;
        let (intercept, slope) = predictors.recalibrated()?.unzip();
        Ok(Calibration {
            slope,
            intercept,
            intercept_at_slope_1: predictors.shifted()?,
            expected_error: self.bins.iter().map(|[_, probability, ones]| (probability - ones).abs()).sum::<f64>()
                / all,
            bins: self.bins.iter().enumerate().map(bin).collect(),
        })
    }
}

/// The linear predictors of rows, and the unit in which their logistic regression is sought.
struct Predictors<'a> {
    rows: &'a Ranked,
    /// Weight of each class.
    weight: [f64; 2],
    /// The lowest and the highest of each class.
    range: [[f64; 2]; 2],
    /// Mean and standard deviation.
    centre: f64,
    unit: f64,
}

/// Loss, gradient and Hessian (its diagonal, then the element beside it) of t ~ σ(w₀ + w₁·z) over some rows.
#[derive(Default, Clone, Copy)]
struct Sums {
    loss: f64,
    gradient: [f64; 2],
    hessian: [f64; 3],
}

impl<'a> Predictors<'a> {
    fn of(rows: &'a Ranked) -> Result<Self> {
        let (mut weight, mut range) = ([0.0; 2], [[f64::INFINITY, f64::NEG_INFINITY]; 2]);
        let (mut centre, mut squares) = (0.0, 0.0);
        rows.each_unordered(|ties| {
            for tie in ties {
                for (k, [lowest, highest]) in range.iter_mut().enumerate().filter(|(k, _)| tie.weight[*k] > 0.0) {
                    weight[k] += tie.weight[k];
                    (*lowest, *highest) = (lowest.min(tie.a), highest.max(tie.a));
                }
                let (s, off): (f64, f64) = (tie.weight.iter().sum(), tie.a - centre);
                centre += off * s / weight.iter().sum::<f64>();
                squares += s * off * (tie.a - centre);
            }
        })?;
        let unit = (squares / weight.iter().sum::<f64>()).sqrt();
        Ok(Predictors { rows, weight, range, centre, unit })
    }

    /// Whether both classes are there and all predictors finite.
    fn usable(&self) -> bool {
        self.range.iter().flatten().all(|a| a.is_finite())
    }

    /// Intercept and slope of the logistic regression of t on a; none where it has no optimum (Albert & Anderson 1984).
    fn recalibrated(&self) -> Result<Option<(f64, f64)>> {
        let [[lowest_0, highest_0], [lowest_1, highest_1]] = self.range;
        if !(self.usable() && highest_0 > lowest_1 && highest_1 > lowest_0) {
            return Ok(None);
        }
        // Where the curvature is full whatever the predictors are.
        let mut w = [(self.weight[1] / self.weight[0]).ln(), 0.0];
        let mut at = self.sums(w)?;
        for _ in 0..MOST_STEPS {
            let ([g0, g1], [h00, h11, h01]) = (at.gradient, at.hessian);
            let determinant = h00 * h11 - h01 * h01;
            if !(determinant > 0.0) {
                return Ok(None);
            }
            let mut step = [(h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant];
            let within = |step: [f64; 2], part: f64| (0..2).all(|k| step[k].abs() <= part * (1.0 + w[k].abs()));
            let mut next = self.sums([w[0] - step[0], w[1] - step[1]])?;
            // NaN is no decrease either.
            while !(next.loss <= at.loss || within(step, SURE)) {
                step = step.map(|d| 0.5 * d);
                next = self.sums([w[0] - step[0], w[1] - step[1]])?;
            }
            let last = within(step, LAST);
            w = [w[0] - step[0], w[1] - step[1]];
            at = next;
            if last {
                let slope = w[1] / self.unit;
                return Ok(Some((w[0] - slope * self.centre, slope)));
            }
        }
        Ok(None)
    }

    /// The intercept where the slope is 1: the root of Σ s·(σ(a + c) − t), by Newton's method within a bracket.
    fn shifted(&self) -> Result<Option<f64>> {
        if !self.usable() {
            return Ok(None);
        }
        // With every a at the highest, or at the lowest, this would be the root.
        let log_odds = (self.weight[1] / self.weight[0]).ln();
        let [[lowest_0, highest_0], [lowest_1, highest_1]] = self.range;
        let (mut low, mut high) = (log_odds - highest_0.max(highest_1), log_odds - lowest_0.min(lowest_1));
        let mut c = 0.0_f64.clamp(low, high);
        for _ in 0..MOST_STEPS {
            let at = self.sums([c + self.centre, self.unit])?;
            let step = at.gradient[0] / at.hessian[0];
            if at.gradient[0] == 0.0 {
                return Ok(Some(c));
            }
            if step.abs() <= LAST * (1.0 + c.abs()) {
                return Ok(Some(c - step));
            }
            *(if at.gradient[0] > 0.0 { &mut high } else { &mut low }) = c;
            let newton = c - step;
            c = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        }
        Ok(None)
    }

    /// The sums over all rows at `w`, in an order that threads do not change.
    fn sums(&self, w: [f64; 2]) -> Result<Sums> {
        let mut all = Sums::default();
        self.rows.each_unordered(|ties| {
            let some: Vec<Sums> = ties.par_chunks(CHUNK).map(|ties| self.sums_of(ties, w)).collect();
            some.iter().for_each(|sums| all.add(sums));
        })?;
        Ok(all)
    }

    fn sums_of(&self, ties: &[Tie], w: [f64; 2]) -> Sums {
        let mut sums = Sums::default();
        for tie in ties {
            // All are at the centre where there is no unit.
            let z = if self.unit > 0.0 { (tie.a - self.centre) / self.unit } else { 0.0 };
            let eta = w[0] + w[1] * z;
            let curvature = variance(eta) * tie.weight.iter().sum::<f64>();
            for (t, s) in [0.0, 1.0].into_iter().zip(tie.weight).filter(|(_, s)| *s > 0.0) {
                let (residual, loss) = residual_and_loss(eta, t);
                sums.loss += s * loss;
                sums.gradient[0] += s * residual;
                sums.gradient[1] += s * residual * z;
            }
            sums.hessian[0] += curvature;
            sums.hessian[1] += curvature * z * z;
            sums.hessian[2] += curvature * z;
        }
        sums
    }
}

impl Sums {
    fn add(&mut self, other: &Sums) {
        self.loss += other.loss;
        (0..2).for_each(|k| self.gradient[k] += other.gradient[k]);
        (0..3).for_each(|k| self.hessian[k] += other.hessian[k]);
    }
}
