//! The answer re-checked in f64 on the host, and what only f64 can decide: rank, and the last steps to the optimum.

mod bounds;
mod classes;
mod dual;
mod polish;

use serde::{Deserialize, Serialize};

use crate::data::{Dataset, Precision};
use crate::engine::DeviceKind;
use crate::engine::cpu::{ColumnMap, Curvature, Host, HostEngine, RowSample, gram_cost};
use crate::error::Result;
use crate::linalg::{Cholesky, Independence, MAX_COLUMNS, independent_columns};
use crate::monitor::Monitor;
use crate::objective::{Coordinates, Evaluation, Objective};
use crate::separation::{self, Separation};
use crate::solver::{RELATIVE_DECREASE, Solution};
use bounds::Penalised;
pub use dual::{Composite, duality_gap};

pub use classes::CertifiedClasses;

/// A column whose variance, given the columns before it, is at most this part of its own is redundant: it is a
/// combination of them to a millionth of its standard deviation. Rounding of a Gram matrix in f64 stays far below.
const REDUNDANT: f64 = 1e-12;
/// The same for what a column has left on some of the rows, well clear of it.
const REDUNDANT_ON_SOME: f64 = 1e-9;
/// Part of its own that a column must keep for products in f32, which err by some 10⁻⁶ of it, to say that it is none.
const REDUNDANT_IN_F32: f64 = 1e-2;
/// Multiply-adds that a rank decision or a Newton step on the host may cost (some ten seconds on two cores).
const AFFORDABLE: f64 = 1e12;
/// Multiply-adds of curvature of all rows that are cheap beside everything else.
const CHEAP: f64 = 4e9;
/// Rows that may show that no column is redundant, or that there is an optimum: this many for each column, and at the least.
const WITNESSES_PER_COLUMN: usize = 4;
const WITNESSES: usize = 8192;
/// Multiply-adds that more than the least of them may cost.
const WITNESSED: f64 = 4e9;
/// Rounding of a linear predictor, as a part of the tolerance, that changes nothing worth another pass.
const NO_BLUR: f64 = 1e-3;
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
    /// ½·∇JᵀH⁻¹∇J, the decrease of J that one more step of the polish would promise, where that is known; H is exact
    /// after Newton steps, else as good as the metric.
    pub predicted_decrease: Option<f64>,
    /// Proved upper bound of J − min J, where there is one: from the penalty, or from the curvature at the point.
    pub objective_gap: Option<f64>,
    /// Proved upper bound of ‖β − β*‖ on the original columns, redundant ones left out, likewise.
    pub coefficient_gap: Option<f64>,
    /// Proved upper bound of |βⱼ − βⱼ*| for every j, in units of √(H⁻¹)ⱼⱼ (standard errors, where there is no penalty), but for
    /// the rounding of β to f64.
    pub standard_error_gap: Option<f64>,
    /// f64 steps taken on the host after the solver ended.
    pub polish_steps: usize,
    /// How far the first point that the host evaluated was above the returned one in J.
    pub polish_decrease: f64,
}

impl Certificate {
    /// Whether the point is converged under `tolerance`, and by which rule.
    pub fn convergence(&self, tolerance: f64, weight_sum: f64) -> Option<&'static str> {
        let floor = RELATIVE_DECREASE * self.objective.max(weight_sum / 1000.0);
        if !self.objective.is_finite() {
            None
        } else if self.gradient_inf_norm <= tolerance {
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

/// Whether Newton's method on all rows of `data` is cheap: no row sample is worth the trouble then.
pub fn exact_is_cheap(data: &Dataset, columns: usize) -> bool {
    data.samples.is_empty() && columns <= MAX_COLUMNS && gram_cost(data.rows, columns) <= CHEAP
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

/// Rows that are asked about `columns` columns.
fn witnesses(columns: usize) -> usize {
    let affordable = (WITNESSED / gram_cost(1, columns)) as usize;
    WITNESSES.min(affordable).max(WITNESSES_PER_COLUMN * columns)
}

/// Which columns (positions in `coordinates`) are combinations of others; `None` where it cannot be afforded, or the penalty
/// `l2` leaves no column alone.
///
/// With a penalty two combinations of columns that predict the same are not equally good, so only columns that it leaves alone
/// can be redundant, and only as combinations of each other: the optimum is unique where these are independent.
///
/// # Errors
/// As [`Host::hessian`].
pub fn rank(host: &Host<'_>, coordinates: &Coordinates, l2: f64) -> Result<Option<Independence>> {
    let unpenalised = coordinates.unpenalised(l2);
    if (l2 > 0.0 && unpenalised.is_empty()) || !affordable(host.data().rows, coordinates.len()) {
        return Ok(None);
    }
    let found = independence(host, &coordinates.restricted(&unpenalised))?;
    Ok(Some(found.placed(&unpenalised, coordinates.units().len())))
}

/// Columns that are independent on some rows are independent on all, so a few rows are asked first; that columns are
/// redundant is decided on all rows alone, for rare levels vanish from samples.
fn independence(host: &Host<'_>, coordinates: &Coordinates) -> Result<Independence> {
    let (rows, columns) = (host.data().rows, coordinates.len());
    // The standardised columns are orthogonal to the column of ones, so it needs no place in the matrix.
    let map = ColumnMap { intercept: false, ..coordinates.map().clone() };
    let sample = RowSample::of_about(witnesses(columns), rows);
    if sample != RowSample::All {
        // What is left of a column can only grow with more rows; S is all that it has of its own.
        let least = REDUNDANT_ON_SOME * host.data().weight_sum;
        for products in [Precision::F32, Precision::F64] {
            // The column of ones is not orthogonal to the others on some of the rows.
            let gram = host.gram(coordinates.map(), sample, products)?;
            let is_plain = |factor: &Cholesky| products == Precision::F64 || factor.smallest_share() > REDUNDANT_IN_F32;
            if Cholesky::new(&gram).is_some_and(|factor| factor.smallest_pivot() > least && is_plain(&factor)) {
                return Ok(Independence { kept: (0..map.width()).collect(), redundant: Vec::new() });
            }
        }
    }
    let gram = host.hessian(&map, Curvature::Gram, RowSample::All, Precision::F64)?;
    Ok(independent_columns(&gram, REDUNDANT))
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

    /// Independent columns among those not penalised, the column of ones counted; `None` where that was not decided.
    pub fn rank(&self) -> Option<usize> {
        let columns = || self.coordinates.unpenalised(self.l2).len() + usize::from(self.coordinates.map().intercept);
        self.independence.as_ref().map(|_| columns())
    }

    /// Whether there is a penalty on every column: then there is one optimum, and a slope says how far it can be.
    pub fn penalises_all(&self) -> bool {
        self.l2 > 0.0 && self.full.least_penalty_factor() > 0.0
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

    /// Takes the point where a solver on `engine` ended to the optimum in f64 (where `steps_allowed`), and certifies where
    /// that ends.
    ///
    /// # Errors
    /// As [`Objective::evaluate`].
    pub fn certify(
        &self,
        end: Solution,
        engine: DeviceKind,
        steps_allowed: bool,
        tolerance: f64,
        monitor: &dyn Monitor,
    ) -> Result<Certified> {
        let bounded = self.penalises_all();
        let mut host_engine = if bounded { self.host.engine()? } else { self.host.engine_for_steps()? };
        let mut objective = Objective::new(host_engine.as_mut(), self.host, self.coordinates.clone(), self.l2);
        let polished = self.polish(&mut objective, end, engine, steps_allowed, tolerance, monitor)?;
        let separation = polished.proof.map(|proof| Separation {
            complete: proof.complete,
            columns: self.fewest_columns(&proof.direction),
            rows: proof.rows,
        });
        let (polished_norms, polished_value) = (objective.gradient_norms(&polished.at), polished.at.value);
        let mut objective = Objective::new(host_engine.as_mut(), self.host, self.full.clone(), self.l2);
        // The coefficients as they will be written down are what is certified, redundant columns and all.
        let mut certify = |(coefficients, intercept): (Vec<f64>, f64)| -> Result<_> {
            let at = objective.evaluate(self.full.from_original(&coefficients, intercept))?;
            Ok((coefficients, intercept, objective.gradient_norms(&at), at))
        };
        let plain = self.coordinates.to_original(&polished.at.theta);
        let as_polished =
            self.redundant_columns() == 0 && self.coordinates.blur(&polished.at.theta) <= NO_BLUR * tolerance;
        let (coefficients, intercept, (gradient_inf_norm, gradient_inf_norm_raw), at) = if as_polished {
            (plain.0, plain.1, polished_norms, polished.at)
        } else {
            let shortest = certify(self.shortest_coefficients(&polished.at.theta))?;
            if shortest.2.0 > tolerance && polished_norms.0 <= tolerance && self.redundant_columns() > 0 {
                // Columns are redundant to a millionth of their spread only; where that shows, the plain solution stays.
                certify(plain)?
            } else {
                shortest
            }
        };
        let bounds = if bounded { self.penalised_bounds(host_engine.as_mut(), &at)? } else { None };
        let basin = polished.basin.as_ref();
        // What was proved of the point that the polish ended at, and what writing that down cost.
        let written = (at.value - polished_value).max(0.0);
        let smallest = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::min);
        let certificate = Certificate {
            // A bound below the rounding of J itself would say more than f64 can know.
            objective_gap: smallest(
                basin.map(|basin| basin.objective + written),
                bounds.map(|(objective, _)| objective),
            )
            .map(|gap| gap.max(f64::EPSILON * at.value)),
            standard_error_gap: basin.map(|basin| basin.distance),
            coefficient_gap: smallest(
                basin.map(|basin| basin.distance * self.coordinates.length_on_original(&basin.variances)),
                bounds.map(|(_, coefficients)| coefficients),
            ),
            objective: at.value,
            loss: at.loss,
            gradient_inf_norm,
            gradient_inf_norm_raw,
            predicted_decrease: polished.predicted,
            polish_steps: polished.steps,
            polish_decrease: polished.first_value - at.value,
        };
        Ok(Certified {
            coefficients,
            intercept,
            certificate,
            separation,
            interrupted: polished.interrupted,
            passes: host_engine.cost().passes,
        })
    }

    /// What the penalty proves of the point `at`, in the full coordinates and still held by `engine`.
    fn penalised_bounds(&self, engine: &mut dyn HostEngine, at: &Evaluation) -> Result<Option<(f64, f64)>> {
        let spreads = self.full.units();
        let slopes: Vec<f64> = at.gradient.iter().zip(spreads).map(|(g, unit)| g * unit).collect();
        let intercept = match self.full.map().intercept {
            true => Some((at.gradient[spreads.len()], engine.curvature_sum(at.point())?)),
            false => None,
        };
        let (factors, weight_sum) = (self.full.penalty_factors(), self.host.data().weight_sum);
        Ok(bounds::penalised(Penalised { slopes: &slopes, spreads, factors, intercept, weight_sum, l2: self.l2 }))
    }

    fn redundant_columns(&self) -> usize {
        self.independence.as_ref().map_or(0, |found| found.redundant.len())
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
}
