//! The coordinates that solvers work in: standardised columns, so that nobody has to scale their data.

use crate::data::{Dataset, Moments};
use crate::engine::Params;
use crate::engine::cpu::ColumnMap;
use crate::linalg::length;

/// θ, the solver's parameters, in terms of the stored columns z, and of the original ones x.
///
/// With an intercept x̃ = (x − mean)/sd; without one x̃ = x/rms, for a column may not be moved then. In both cases
/// x̃ = factor·z + shift and x = unit·x̃ + centre, and a = Σ θⱼ·x̃ⱼ + θ₀. Constant columns (with an intercept), zero
/// columns and columns left out as redundant have no coordinate: their coefficient is 0.
#[derive(Debug, Clone)]
pub struct Coordinates {
    map: ColumnMap,
    unit: Vec<f64>,
    centre: Vec<f64>,
    /// What `--tol` divides a slope by: the standard deviation (a constant column's own size without an intercept).
    spread: Vec<f64>,
    /// What the penalty of each column is multiplied by.
    penalty_factor: Vec<f64>,
    /// Features of the data, in and out of the coordinates.
    features: usize,
}

impl Coordinates {
    /// Coordinates of every feature of `data` that varies; `penalty_factors` has what the penalty of each feature is multiplied by,
    /// or is empty where that is 1.
    pub fn new(data: &Dataset, intercept: bool, penalty_factors: &[f64]) -> Self {
        let mut c = Coordinates {
            map: ColumnMap { intercept, ..ColumnMap::default() },
            unit: Vec::new(),
            centre: Vec::new(),
            spread: Vec::new(),
            penalty_factor: Vec::new(),
            features: data.features.len(),
        };
        for (j, (column, m)) in data.columns.iter().zip(&data.moments).enumerate() {
            let mean = column.centre + column.scale * m.mean;
            let sd = column.scale * m.sd;
            let (unit, centre) = if intercept { (sd, mean) } else { (mean.hypot(sd), 0.0) };
            // A spread too small to divide by is none.
            if !(unit.is_normal() && unit.recip().is_finite()) {
                continue;
            }
            c.map.features.push(j);
            c.map.factor.push(column.scale / unit);
            c.map.shift.push((column.centre - centre) / unit);
            c.unit.push(unit);
            c.centre.push(centre);
            c.spread.push(if sd > 0.0 { sd } else { unit });
            c.penalty_factor.push(penalty_factors.get(j).copied().unwrap_or(1.0));
        }
        if intercept {
            // The same numbers without the round trip through the original scale, which a large centre would blur.
            for (k, &j) in c.map.features.iter().enumerate() {
                let m = data.moments[j];
                c.map.factor[k] = 1.0 / m.sd;
                c.map.shift[k] = -m.mean / m.sd;
            }
        }
        c
    }

    /// The same without all but the coordinates `kept` (positions among the present ones, ascending).
    pub fn restricted(&self, kept: &[usize]) -> Self {
        let pick = |values: &[f64]| kept.iter().map(|&k| values[k]).collect::<Vec<f64>>();
        Coordinates {
            map: ColumnMap {
                features: kept.iter().map(|&k| self.map.features[k]).collect(),
                factor: pick(&self.map.factor),
                shift: pick(&self.map.shift),
                intercept: self.map.intercept,
            },
            unit: pick(&self.unit),
            centre: pick(&self.centre),
            spread: pick(&self.spread),
            penalty_factor: pick(&self.penalty_factor),
            features: self.features,
        }
    }

    /// Entries of θ: one for each column present, then the intercept's if there is one.
    pub fn len(&self) -> usize {
        self.map.width()
    }

    /// Features of the data, in and out of the coordinates.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Whether there is nothing to fit.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The unit of each column: x = unit·x̃ + centre.
    pub fn units(&self) -> &[f64] {
        &self.unit
    }

    /// √Σ varⱼ/unitⱼ² over the features: the length on the original columns of a vector whose square in θⱼ is varⱼ.
    pub fn length_on_original(&self, squares: &[f64]) -> f64 {
        length(squares.iter().zip(&self.unit).map(|(square, unit)| square.sqrt() / unit))
    }

    /// x̃ in terms of the stored columns.
    pub fn map(&self) -> &ColumnMap {
        &self.map
    }

    /// What the penalty of each column is multiplied by.
    pub fn penalty_factors(&self) -> &[f64] {
        &self.penalty_factor
    }

    /// The least of these; infinite without a column.
    pub fn least_penalty_factor(&self) -> f64 {
        self.penalty_factor.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Positions of the columns that a penalty of the weight `penalty` leaves alone; the intercept's is not among them.
    pub fn unpenalised(&self, penalty: f64) -> Vec<usize> {
        (0..self.unit.len()).filter(|&k| penalty == 0.0 || self.penalty_factor[k] == 0.0).collect()
    }

    /// Curvature of the penalty ½·l2·Σ fⱼβⱼ² in θ: l2·f/unit², 0 for the intercept.
    pub fn penalty_curvature(&self, l2: f64) -> Vec<f64> {
        self.penalty_of(|unit| l2 / unit / unit)
    }

    /// Weights of |θⱼ| in the penalty l1·Σ fⱼ|βⱼ|: l1·f/unit, 0 for the intercept.
    pub fn l1_weights(&self, l1: f64) -> Vec<f64> {
        self.penalty_of(|unit| l1 / unit)
    }

    fn penalty_of(&self, term: impl Fn(f64) -> f64) -> Vec<f64> {
        let columns = self.unit.iter().zip(&self.penalty_factor);
        let mut terms: Vec<f64> = columns.map(|(unit, factor)| factor * term(*unit)).collect();
        if self.map.intercept {
            terms.push(0.0);
        }
        terms
    }

    /// Trace of X̃ᵀ diag(s) X̃ / 4 for rows of Σ s = `weight_sum`, plus the largest curvature of the penalty: no eigenvalue of the
    /// Hessian is larger, anywhere.
    pub fn curvature_bound(&self, weight_sum: f64, penalty: impl Iterator<Item = f64>) -> f64 {
        0.25 * weight_sum * self.len() as f64 + penalty.fold(0.0, f64::max)
    }

    /// Largest |x̃| of each column over all rows that `moments` are of, and of the column of ones.
    pub fn reach(&self, moments: &[Moments]) -> Vec<f64> {
        let end = |z: f64, k: usize| (self.map.factor[k] * z + self.map.shift[k]).abs();
        let features = self.map.features.iter().enumerate();
        let of_feature = |(k, &j): (usize, &usize)| {
            let m = &moments[j];
            end(m.min, k).max(end(m.max, k)) + self.map.factor[k].abs() * m.rounding * m.sd
        };
        let mut reach: Vec<f64> = features.map(of_feature).collect();
        if self.map.intercept {
            reach.push(1.0);
        }
        reach
    }

    /// Some of the columns of x̃ (ascending; the last number is the column of ones, where there is an intercept) in terms of the
    /// stored ones.
    pub fn map_of(&self, columns: &[usize]) -> ColumnMap {
        let features = || columns.iter().filter(|&&k| k < self.unit.len());
        ColumnMap {
            features: features().map(|&k| self.map.features[k]).collect(),
            factor: features().map(|&k| self.map.factor[k]).collect(),
            shift: features().map(|&k| self.map.shift[k]).collect(),
            intercept: columns.last() == Some(&self.unit.len()),
        }
    }

    /// θ as parameters of an engine.
    pub fn to_params(&self, theta: &[f64]) -> Params {
        self.params_of(theta, |value| value)
    }

    /// The magnitudes that [`Coordinates::to_params`] adds up, which bound its rounding.
    pub fn params_magnitudes(&self, theta: &[f64]) -> Params {
        self.params_of(theta, f64::abs)
    }

    fn params_of(&self, theta: &[f64], term: impl Fn(f64) -> f64) -> Params {
        let mut params = Params::zeros(self.features, 1);
        let w = params.model_mut(0);
        let mut intercept = term(self.intercept_of(theta));
        for (k, &j) in self.map.features.iter().enumerate() {
            w[j] = term(theta[k] * self.map.factor[k]);
            intercept += term(theta[k] * self.map.shift[k]);
        }
        w[self.features] = intercept;
        params
    }

    /// The gradient in θ of a function whose gradient in stored units is `gradient` (p slopes, intercept).
    pub fn pull_back(&self, gradient: &[f64]) -> Vec<f64> {
        let ones = gradient[self.features];
        let mut pulled: Vec<f64> = self
            .map
            .features
            .iter()
            .enumerate()
            .map(|(k, &j)| self.map.factor[k] * gradient[j] + self.map.shift[k] * ones)
            .collect();
        if self.map.intercept {
            pulled.push(ones);
        }
        pulled
    }

    /// θ as coefficients of the original columns (p of them) and the intercept.
    pub fn to_original(&self, theta: &[f64]) -> (Vec<f64>, f64) {
        let mut beta = vec![0.0; self.features];
        let mut intercept = self.intercept_of(theta);
        for (k, &j) in self.map.features.iter().enumerate() {
            beta[j] = theta[k] / self.unit[k];
            intercept -= beta[j] * self.centre[k];
        }
        (beta, intercept)
    }

    /// What coefficient `k` (the number of a column present, or of them all for the intercept) is on the original scale as a
    /// combination of θ.
    pub fn original_of(&self, k: usize) -> Vec<f64> {
        let mut parts = vec![0.0; self.len()];
        if k < self.unit.len() {
            parts[k] = 1.0 / self.unit[k];
        } else {
            let moved = self.centre.iter().zip(&self.unit).map(|(centre, unit)| -centre / unit);
            parts.iter_mut().zip(moved.chain([1.0])).for_each(|(part, moved)| *part = moved);
        }
        parts
    }

    /// How much writing θ down on the original scale may move a linear predictor through the rounding of the intercept.
    pub fn blur(&self, theta: &[f64]) -> f64 {
        let moved = theta.iter().zip(&self.unit).zip(&self.centre).map(|((t, unit), centre)| (t / unit * centre).abs());
        f64::EPSILON * (moved.sum::<f64>() + self.intercept_of(theta).abs())
    }

    /// θ of coefficients of the original columns; those of columns not present are ignored.
    pub fn from_original(&self, beta: &[f64], intercept: f64) -> Vec<f64> {
        let mut theta: Vec<f64> = self.map.features.iter().enumerate().map(|(k, &j)| beta[j] * self.unit[k]).collect();
        if self.map.intercept {
            let moved: f64 = self.map.features.iter().enumerate().map(|(k, &j)| beta[j] * self.centre[k]).sum();
            theta.push(intercept + moved);
        }
        theta
    }

    /// From the gradient in θ: the largest |∂J/∂βⱼ|/(S·sdⱼ) and |∂J/∂β₀|/S, as `--tol` measures it, and the largest
    /// |∂J/∂βⱼ|/S, both on the original columns.
    pub fn gradient_norms(&self, gradient: &[f64], weight_sum: f64) -> (f64, f64) {
        self.norms(gradient, weight_sum, |_, slope| slope.abs())
    }

    /// The same of the subgradient of least size of a J with the penalty Σ wⱼ|θⱼ| at θ, `gradient` being that of all but it: the
    /// slope plus wⱼ·sign θⱼ, and where θⱼ = 0 what of |slope| goes beyond wⱼ. 0 in both is a minimum.
    pub fn subgradient_norms(&self, gradient: &[f64], theta: &[f64], weights: &[f64], weight_sum: f64) -> (f64, f64) {
        self.norms(gradient, weight_sum, |k, slope| {
            // The weight of |βⱼ|/sdⱼ.
            let weight = weights[k] * (self.unit[k] / self.spread[k]);
            if theta[k] == 0.0 { (slope.abs() - weight).max(0.0) } else { (slope + weight.copysign(theta[k])).abs() }
        })
    }

    /// Largest sizes of the slopes ∂/∂βⱼ on the original columns, over sdⱼ and as they are, both over S; `size` is given the number
    /// of the coordinate and the slope over sdⱼ.
    fn norms(&self, gradient: &[f64], weight_sum: f64, size: impl Fn(usize, f64) -> f64) -> (f64, f64) {
        let ones = self.intercept_of(gradient);
        let (mut scaled, mut raw) = (ones.abs(), ones.abs());
        let columns = gradient.iter().zip(&self.unit).zip(&self.centre).zip(&self.spread);
        for (k, (((g, unit), centre), spread)) in columns.enumerate() {
            // The slope itself may be beyond f64 where its share of the spread is not.
            let slope = size(k, unit / spread * g + centre / spread * ones);
            // Unlike `f64::max` this keeps what is not a number.
            let larger = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
            scaled = larger(scaled, slope);
            raw = larger(raw, slope * spread);
        }
        (scaled / weight_sum, raw / weight_sum)
    }

    /// The last entry, where the intercept has one.
    pub fn intercept_of(&self, theta: &[f64]) -> f64 {
        if self.map.intercept { theta[theta.len() - 1] } else { 0.0 }
    }
}
