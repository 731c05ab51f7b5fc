//! The answer re-checked in f64 on the host, and what only f64 can decide: rank, and the last steps to the optimum.

use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::engine::cpu::{ColumnMap, Curvature, Host, RowSample, gram_cost};
use crate::error::Result;
use crate::linalg::{Independence, independent_columns};
use crate::monitor::Monitor;
use crate::objective::{Coordinates, Evaluation, Objective};
use crate::separation::{self, Proof, Separation};
use crate::solver::{RELATIVE_DECREASE, StopReason, StopRule, advance, lbfgs, newton};

/// A column whose variance, given the columns before it, is at most this part of its own is redundant: it is a
/// combination of them to a millionth of its standard deviation. Rounding of a Gram matrix in f64 stays far below.
const REDUNDANT: f64 = 1e-12;
/// Multiply-adds that a rank decision or a Newton step on the host may cost (some ten seconds on two cores).
const AFFORDABLE: f64 = 1e11;
/// Columns up to which a matrix of their products is kept.
const MAX_COLUMNS: usize = 2048;
/// Steps of a polish at the most: Newton's, and where their matrix does not fit those of L-BFGS.
const POLISH_STEPS: usize = 50;
const POLISH_STEPS_LBFGS: usize = 1000;
/// Predicted decrease, as a part of max(J, S/1000), below which a further Newton step only stirs rounding.
const EXACT: f64 = 1e-20;
/// Predicted decrease, likewise, below which separation is looked for.
const SUSPICIOUS: f64 = 1e3 * RELATIVE_DECREASE;
/// Factors of a combination below this are rounding.
const NEGLIGIBLE: f64 = 1e-7;

/// What a fit ended as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The optimum, within the tolerance.
    Converged,
    /// No optimum exists, proved: the classes are separated.
    Separated,
    /// The iteration limit came first.
    MaxIterations,
    /// No further progress, short of the tolerance.
    Stalled,
    /// Stopped by the user.
    Interrupted,
}

impl Status {
    /// The word the reports use.
    pub fn name(self) -> &'static str {
        match self {
            Status::Converged => "converged",
            Status::Separated => "separated",
            Status::MaxIterations => "max-iterations",
            Status::Stalled => "stalled",
            Status::Interrupted => "interrupted",
        }
    }
}

/// What f64 says about the point returned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Certificate {
    /// J in f64, penalty included.
    pub objective: f64,
    /// Σ s·ℓ in f64.
    pub loss: f64,
    /// The gradient as `--tol` measures it.
    pub gradient_inf_norm: f64,
    /// Largest |∂J/∂βⱼ|/S on the original columns.
    pub gradient_inf_norm_raw: f64,
    /// ½·∇JᵀH⁻¹∇J, the decrease of J that one more step of the polish would promise, where that is known.
    pub predicted_decrease: Option<f64>,
    /// f64 steps taken on the host after the solver ended.
    pub polish_steps: usize,
    /// How far the solver's own point was above the returned one in J.
    pub polish_decrease: f64,
}

impl Certificate {
    /// Whether the point is converged under `tolerance`, and by which rule.
    pub fn convergence(&self, tolerance: f64, weight_sum: f64) -> Option<&'static str> {
        let floor = RELATIVE_DECREASE * self.objective.max(weight_sum / 1000.0);
        if self.gradient_inf_norm <= tolerance {
            Some("gradient")
        } else if self.predicted_decrease.is_some_and(|predicted| predicted <= floor) {
            Some("predicted-decrease")
        } else {
            None
        }
    }
}

/// Whether curvature of `rows` × `columns` can be had on the host in reasonable time.
pub fn affordable(rows: usize, columns: usize) -> bool {
    columns <= MAX_COLUMNS && gram_cost(rows, columns) <= AFFORDABLE
}

/// What is fitted, as the host knows it: rows, coordinates, which columns are redundant, and the penalty.
pub struct Problem<'a> {
    host: &'a Host<'a>,
    full: Coordinates,
    independence: Option<Independence>,
    coordinates: Coordinates,
    l2: f64,
}

/// The point returned, on the original scale, and what f64 says of it.
#[derive(Debug, Clone)]
pub struct Certified {
    /// β, one for each feature.
    pub coefficients: Vec<f64>,
    /// β₀.
    pub intercept: f64,
    /// What f64 says.
    pub certificate: Certificate,
    /// The proof that there is no optimum, where that was found.
    pub separation: Option<Separation>,
    /// Whether the user stopped it on the way.
    pub interrupted: bool,
    /// Full reads of X by the engine that evaluated (those for curvature and proofs are the host's to count).
    pub passes: u64,
}

/// Which columns (positions in `coordinates`) are combinations of others; `None` where it cannot be afforded.
///
/// Decided on all rows: rare levels vanish from samples.
pub fn rank(host: &Host<'_>, coordinates: &Coordinates) -> Option<Independence> {
    if !affordable(host.data().rows, coordinates.len()) {
        return None;
    }
    // The standardised columns are orthogonal to the column of ones, so it needs no place in the matrix.
    let map = ColumnMap { intercept: false, ..coordinates.map().clone() };
    let gram = host.hessian(&map, Curvature::Gram, RowSample::All);
    Some(independent_columns(&gram, REDUNDANT))
}

impl<'a> Problem<'a> {
    /// The problem of the rows of `host` in the coordinates `full`, less the columns that `independence` calls redundant.
    pub fn new(host: &'a Host<'a>, full: Coordinates, independence: Option<Independence>, l2: f64) -> Self {
        let coordinates = match &independence {
            Some(found) => full.restricted(&found.kept),
            None => full.clone(),
        };
        Problem { host, full, independence, coordinates, l2 }
    }

    /// The coordinates to solve in.
    pub fn coordinates(&self) -> &Coordinates {
        &self.coordinates
    }

    /// Independent columns, the column of ones counted; `None` where that was not decided.
    pub fn rank(&self) -> Option<usize> {
        self.independence.as_ref().map(|_| self.coordinates.len())
    }

    /// Names of the features that add nothing: constant ones with an empty list, others with the combination of
    /// standardised features that they are.
    pub fn redundant(&self) -> Vec<(String, Vec<(String, f64)>)> {
        let names = &self.host.data().features;
        let name = |feature: usize| names[feature].clone();
        let present = &self.full.map().features;
        let mut list: Vec<(usize, Vec<(String, f64)>)> = (0..names.len())
            .filter(|feature| present.binary_search(feature).is_err())
            .map(|feature| (feature, Vec::new()))
            .collect();
        for (column, combination) in self.independence.iter().flat_map(|found| &found.redundant) {
            let parts = combination.iter().filter(|(_, c)| c.abs() > NEGLIGIBLE);
            list.push((present[*column], parts.map(|&(k, c)| (name(present[k]), c)).collect()));
        }
        list.sort_by_key(|(feature, _)| *feature);
        list.into_iter().map(|(feature, combination)| (name(feature), combination)).collect()
    }

    /// β and β₀ of `theta`; among all that predict the same, those of smallest ‖β‖ on the standardised columns.
    pub fn shortest_coefficients(&self, theta: &[f64]) -> (Vec<f64>, f64) {
        let all = self.in_full(theta);
        match &self.independence {
            Some(found) => self.full.to_original(&found.shortest(&all)),
            None => self.full.to_original(&all),
        }
    }

    /// θ in the full coordinates, 0 for the redundant columns.
    fn in_full(&self, theta: &[f64]) -> Vec<f64> {
        let Some(found) = &self.independence else { return theta.to_vec() };
        let mut all = vec![0.0; self.full.len()];
        for (&k, &t) in found.kept.iter().zip(theta) {
            all[k] = t;
        }
        if self.full.map().intercept {
            all[self.full.len() - 1] = theta[theta.len() - 1];
        }
        all
    }

    /// Takes a solver's point to the optimum in f64 (where `steps_allowed`), and certifies where it ends.
    ///
    /// # Errors
    /// As [`Objective::evaluate`].
    pub fn certify(
        &self,
        theta: Vec<f64>,
        steps_allowed: bool,
        tolerance: f64,
        monitor: &dyn Monitor,
    ) -> Result<Certified> {
        let mut engine = self.host.engine();
        let mut objective = Objective::new(&mut engine, self.host, self.coordinates.clone(), self.l2);
        let before = objective.evaluate(theta)?;
        let before_value = before.value;
        let polished = if affordable(self.host.data().rows, self.coordinates.len()) {
            self.newton_polish(&mut objective, before, steps_allowed, tolerance, monitor)?
        } else {
            lbfgs_polish(&mut objective, before, steps_allowed, tolerance, monitor)?
        };
        let separation = polished.proof.map(|proof| Separation {
            complete: proof.complete,
            columns: self.fewest_columns(&proof.direction),
            rows: proof.rows,
        });
        let polished_norm = objective.gradient_norms(&polished.at).0;
        let mut objective = Objective::new(&mut engine, self.host, self.full.clone(), self.l2);
        // The coefficients as they will be written down are what is certified, redundant columns and all.
        let mut certify = |(coefficients, intercept): (Vec<f64>, f64)| -> Result<_> {
            let at = objective.evaluate(self.full.from_original(&coefficients, intercept))?;
            Ok((coefficients, intercept, objective.gradient_norms(&at), at))
        };
        let mut chosen = certify(self.shortest_coefficients(&polished.at.theta))?;
        if chosen.2.0 > tolerance && polished_norm <= tolerance {
            // Columns are redundant to a millionth of their spread only; where that shows, the plain solution stays.
            chosen = certify(self.coordinates.to_original(&polished.at.theta))?;
        }
        let (coefficients, intercept, (gradient_inf_norm, gradient_inf_norm_raw), at) = chosen;
        let certificate = Certificate {
            objective: at.value,
            loss: at.loss,
            gradient_inf_norm,
            gradient_inf_norm_raw,
            predicted_decrease: polished.predicted,
            polish_steps: polished.steps,
            polish_decrease: before_value - at.value,
        };
        Ok(Certified {
            coefficients,
            intercept,
            certificate,
            separation,
            interrupted: polished.interrupted,
            passes: engine.cost().passes,
        })
    }

    /// Features that the direction `d` moves, in as few columns as redundancy allows (looked for greedily): with all
    /// levels of a category as columns, one level to +∞ is the same as all others to −∞.
    fn fewest_columns(&self, d: &[f64]) -> Vec<usize> {
        let present = &self.full.map().features;
        let mut all = self.in_full(d);
        all.truncate(present.len());
        let largest = all.iter().fold(0f64, |m, d| m.max(d.abs()));
        let moved = |d: f64| d.abs() > separation::ABSENT * largest;
        for (column, combination) in self.independence.iter().flat_map(|found| &found.redundant) {
            let after = |amount: f64| {
                let others = combination.iter().filter(|&&(k, c)| moved(all[k] - amount * c)).count();
                others + usize::from(moved(all[*column] + amount))
            };
            let amounts = combination.iter().filter(|(_, c)| c.abs() > NEGLIGIBLE).map(|&(k, c)| all[k] / c);
            let best = amounts.min_by_key(|&amount| after(amount));
            if let Some(amount) = best.filter(|&amount| after(amount) < after(0.0)) {
                all[*column] += amount;
                combination.iter().for_each(|&(k, c)| all[k] -= amount * c);
            }
        }
        (0..present.len()).filter(|&k| moved(all[k])).map(|k| present[k]).collect()
    }

    /// Newton steps until they only stir rounding.
    ///
    /// Where J has next to nothing left to lose, and there is no penalty, a proof of separation is sought: first where
    /// a step still moves linear predictors, and at the end where they are far out already.
    fn newton_polish(
        &self,
        objective: &mut Objective<'_>,
        at: Evaluation,
        steps_allowed: bool,
        tolerance: f64,
        monitor: &dyn Monitor,
    ) -> Result<Polished> {
        objective.keep(&at)?;
        let mut polished = Polished::untouched(at);
        while let Some((step, predicted)) = newton::newton_step(objective, &polished.at) {
            let at = &polished.at;
            polished.predicted = Some(predicted);
            let scale = at.value.max(objective.weight_sum() / 1000.0);
            let suspicious = self.l2 == 0.0 && predicted <= SUSPICIOUS * scale;
            if suspicious {
                polished.proof = separation::prove_moving(self.host, &self.coordinates, &at.theta, &step);
                if polished.proof.is_some() {
                    break;
                }
            }
            polished.interrupted = monitor.interrupted();
            let within = objective.gradient_norms(at).0 <= tolerance && predicted <= EXACT * scale;
            let stop = within || !steps_allowed || polished.interrupted || polished.steps >= POLISH_STEPS;
            match if stop { None } else { advance(objective, at, &step)? } {
                Some(next) => polished.at = next,
                None => {
                    if suspicious {
                        polished.proof = separation::prove_far_out(self.host, &self.coordinates, &at.theta);
                    }
                    break;
                }
            }
            polished.steps += 1;
        }
        Ok(polished)
    }
}

/// L-BFGS steps until the tolerance holds, where a Newton matrix does not fit.
fn lbfgs_polish(
    objective: &mut Objective<'_>,
    at: Evaluation,
    steps_allowed: bool,
    tolerance: f64,
    monitor: &dyn Monitor,
) -> Result<Polished> {
    if !steps_allowed || objective.gradient_norms(&at).0 <= tolerance {
        return Ok(Polished::untouched(at));
    }
    let rule = StopRule { tolerance, max_iterations: POLISH_STEPS_LBFGS, relative_decrease: 0.0 };
    let solution = lbfgs::minimise(objective, at.theta, rule, monitor)?;
    Ok(Polished {
        at: solution.at,
        steps: solution.iterations,
        predicted: solution.predicted,
        proof: None,
        interrupted: solution.reason == StopReason::Interrupted,
    })
}

/// Where a polish ended.
struct Polished {
    at: Evaluation,
    steps: usize,
    /// Decrease that a further step promises, where that is known.
    predicted: Option<f64>,
    proof: Option<Proof>,
    interrupted: bool,
}

impl Polished {
    fn untouched(at: Evaluation) -> Self {
        Polished { at, steps: 0, predicted: None, proof: None, interrupted: false }
    }
}
