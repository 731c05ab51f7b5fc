//! A grid of penalties λ·(α·‖β‖₁ + ½·(1 − α)·‖β‖²) for one α, largest λ first.

use super::FitOptions;
use crate::data::Dataset;
use crate::engine::cpu::Host;
use crate::engine::{Draw, DrawnRows};
use crate::error::{Error, Result};
use crate::monitor::Silent;
use crate::objective::{Coordinates, Objective};
use crate::solver::{StopRule, newton};

/// Standardised coefficients are at the most this far from zero under the largest penalty of a grid without an l1 that is made up.
const NEARLY_NULL: f64 = 0.01;
/// The smallest penalty of such a grid is this part of what the curvature of a column can be, of the flattest one; but no less
/// than this part of the largest penalty, and no more than that.
const NEARLY_NONE: f64 = 1e-3;
const SPANS: [f64; 2] = [1e-8, 1e-4];
/// With an l1 it is this part of the largest penalty where there are more rows than columns, and that part elsewhere.
const L1_SPANS: [f64; 2] = [1e-3, 1e-2];
/// Penalties of a grid at the most.
const MOST_PENALTIES: usize = 1000;
/// Slope at which the model of no penalised column is fitted, and steps at the most.
const NULL_SLOPE: f64 = 1e-12;
const NULL_STEPS: usize = 50;

/// The penalties to try.
#[derive(Debug, Clone, PartialEq)]
pub struct Penalties {
    /// α, from 0 (none of a penalty is l1) to 1 (all of it).
    pub l1_ratio: f64,
    /// λ.
    pub lambda: Lambda,
}

/// How large they are.
#[derive(Debug, Clone, PartialEq)]
pub enum Lambda {
    /// So many, spread evenly on the scale of their logarithms: with an l1 from the least that sets all coefficients to zero, else from
    /// one that leaves next to nothing of any, down to one that leaves them nearly as they are.
    Count(usize),
    /// These.
    Given(Vec<f64>),
}

/// Penalties that differ in λ.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// λ, largest first.
    pub lambda: Vec<f64>,
    /// α.
    pub l1_ratio: f64,
}

impl Grid {
    /// l1 of penalty `k`.
    pub fn l1(&self, k: usize) -> f64 {
        self.l1_ratio * self.lambda[k]
    }

    /// l2 of penalty `k`.
    pub fn l2(&self, k: usize) -> f64 {
        (1.0 - self.l1_ratio) * self.lambda[k]
    }

    /// The grid of `penalties`; `null` is asked for where they are to be made up.
    ///
    /// # Errors
    /// [`Error::Usage`] for penalties, their number or an α that are out of range; what `null` fails with.
    pub(super) fn new(penalties: &Penalties, null: impl FnOnce() -> Result<Null>) -> Result<Self> {
        let l1_ratio = penalties.l1_ratio;
        if !(0.0..=1.0).contains(&l1_ratio) {
            return Err(Error::Usage(format!("--l1-ratio {l1_ratio}: it must lie between 0 and 1")));
        }
        match &penalties.lambda {
            Lambda::Count(count) if !(1..=MOST_PENALTIES).contains(count) => {
                Err(Error::Usage(format!("--penalties {count}: there must be 1 to {MOST_PENALTIES}")))
            }
            Lambda::Count(count) => Ok(Grid { lambda: made_up(*count, l1_ratio, &null()?), l1_ratio }),
            Lambda::Given(given) => {
                if let Some(bad) = given.iter().find(|lambda| !(**lambda >= 0.0 && lambda.is_finite())) {
                    return Err(Error::Usage(format!(
                        "--grid: a penalty is a finite number that is not negative, not {bad}"
                    )));
                }
                let mut lambda = given.clone();
                lambda.sort_by(|a, b| b.total_cmp(a));
                lambda.dedup();
                if lambda.is_empty() || lambda.len() > MOST_PENALTIES {
                    let n = lambda.len();
                    return Err(Error::Usage(format!("--grid: {n} penalties; there must be 1 to {MOST_PENALTIES}")));
                }
                Ok(Grid { lambda, l1_ratio })
            }
        }
    }
}

/// The model in which penalised columns have no part and the others their best one.
#[derive(Debug)]
pub(super) struct Null {
    coordinates: Coordinates,
    rows: usize,
    weight_sum: f64,
    /// ∂/∂θ of the loss.
    slopes: Vec<f64>,
    /// Σ s·ℓ.
    pub(super) loss: f64,
    /// Reads of X that it took.
    pub(super) passes: u64,
}

impl Null {
    pub(super) fn new(data: &Dataset, options: &FitOptions) -> Result<Self> {
        let host = Host::new(data);
        let coordinates = Coordinates::new(data, options.intercept, &options.penalty_factors);
        let null = coordinates.restricted(&coordinates.unpenalised(1.0));
        let mut engine = host.engine()?;
        let mut theta = vec![0.0; null.len()];
        if !null.is_empty() {
            if let (true, Some(intercept)) = (options.intercept, theta.last_mut()) {
                *intercept = log_odds(&host, &[Draw::All], &[])?[0];
            }
            let rule = StopRule {
                tolerance: NULL_SLOPE,
                max_iterations: NULL_STEPS,
                relative_decrease: 0.0,
                leave_last_step: false,
            };
            let mut objective = Objective::new(engine.as_mut(), &host, null.clone(), 0.0);
            theta = newton::minimise(&mut objective, theta, rule, &Silent)?.at.theta;
        }
        let (beta, intercept) = null.to_original(&theta);
        let mut objective = Objective::new(engine.as_mut(), &host, coordinates.clone(), 0.0);
        let at = objective.evaluate(coordinates.from_original(&beta, intercept))?;
        let passes = objective.passes();
        Ok(Null {
            coordinates,
            rows: data.rows,
            weight_sum: data.weight_sum,
            slopes: at.gradient,
            loss: at.loss,
            passes,
        })
    }
}

/// The intercept that makes the mean prediction that of the targets where there is nothing else and no offset, on the rows of each draw;
/// 0 where a class is missing. `folds` has the fold of each row where a draw asks for it.
pub(super) fn log_odds(host: &Host<'_>, draws: &[Draw], folds: &[u8]) -> Result<Vec<f64>> {
    let of = |[negative, positive]: [f64; 2]| (positive / negative).ln();
    let sums = host.weight_sums(draws, DrawnRows::all(folds))?;
    Ok(sums.iter().map(|sums| of(sums.classes)).map(|odds| if odds.is_finite() { odds } else { 0.0 }).collect())
}

/// λ from the slopes of the null model: with an l1 all coefficients stay zero while no |∂J/∂βⱼ| exceeds it. Without one, near zero
/// θⱼ = −unitⱼ²/(l2·fⱼ)·∂J/∂θⱼ, the curvature of the loss in θⱼ is at most S/4, and that of the penalty l2·fⱼ/unitⱼ².
fn made_up(count: usize, l1_ratio: f64, null: &Null) -> Vec<f64> {
    let slopes = &null.slopes;
    let (largest, span) = if l1_ratio > 0.0 {
        let weights = null.coordinates.l1_weights(l1_ratio);
        let weighted = slopes.iter().zip(&weights).filter(|(_, w)| **w > 0.0);
        let least = weighted.map(|(g, w)| g.abs() / w).fold(0.0, f64::max);
        // Rounded up: at the first of them nothing is to be left.
        (1.005 * least, L1_SPANS[usize::from(null.rows <= null.coordinates.len())])
    } else {
        // The reciprocal curvature of a penalty of 1, of the columns that it weighs on.
        let columns = slopes.iter().zip(null.coordinates.penalty_curvature(1.0)).filter(|(_, c)| *c > 0.0);
        let columns: Vec<(f64, f64)> = columns.map(|(g, c)| (g.abs(), c.recip())).collect();
        let largest = columns.iter().map(|(g, flat)| g * flat).fold(0.0, f64::max) / NEARLY_NULL;
        let flattest = columns.iter().map(|(_, flat)| *flat).fold(f64::INFINITY, f64::min);
        let smallest = NEARLY_NONE * 0.25 * null.weight_sum * flattest;
        (largest, (smallest / largest).clamp(SPANS[0], SPANS[1]))
    };
    let largest = if largest > 0.0 { largest } else { 1.0 };
    let step = span.powf(1.0 / (count.max(2) - 1) as f64);
    (0..count).map(|k| rounded(largest * step.powi(k as i32))).collect()
}

/// x to three digits, which is as good a penalty.
fn rounded(x: f64) -> f64 {
    format!("{x:.2e}").parse().unwrap_or(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn penalties_are_rounded_to_three_digits() {
        assert_eq!([1234.5, 0.009_996, 1e-30].map(rounded), [1230.0, 0.01, 1e-30]);
    }
}
