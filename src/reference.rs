//! The textbook code: J, ∇J and H of the objective in [`crate`] as one would write them on a blackboard, in f64.
//!
//! Nothing here is fast and nothing is shared with the engines, so that an agreement between the two means something.
//! Sums are compensated (Neumaier 1974), so that 10⁶ rows cost no digits.

mod softmax;

pub use softmax::SoftmaxProblem;

/// Rows and penalty, as the formulas see them: n rows of p features, raw units, nothing scaled.
#[derive(Debug, Clone)]
pub struct Problem<'a> {
    /// Design matrix (n, p), row-major, the column of ones not stored.
    pub x: &'a [f64],
    /// Features p.
    pub features: usize,
    /// Targets t in [0, 1], n of them.
    pub target: &'a [f64],
    /// Sample weights s ≥ 0, n of them.
    pub weight: &'a [f64],
    /// Added to each row's linear predictor, n of them.
    pub offset: Option<&'a [f64]>,
    /// Penalty ½·l2·‖β‖² on the slopes.
    pub l2: f64,
    /// Whether the last column is ones; without an intercept it is zeros, and what belongs to it is 0.
    pub intercept: bool,
}

/// A running sum that keeps the digits each addition drops.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    total: f64,
    dropped: f64,
}

impl Sum {
    fn add(&mut self, term: f64) {
        let next = self.total + term;
        let (larger, smaller) = if self.total.abs() >= term.abs() { (self.total, term) } else { (term, self.total) };
        self.dropped += (larger - next) + smaller;
        self.total = next;
    }

    fn value(self) -> f64 {
        self.total + self.dropped
    }
}

fn sum(terms: impl Iterator<Item = f64>) -> f64 {
    let mut sum = Sum::default();
    terms.for_each(|term| sum.add(term));
    sum.value()
}

/// σ(a) = 1/(1+e^−a), without overflow and with full relative accuracy in both tails.
pub fn sigmoid(a: f64) -> f64 {
    if a >= 0.0 { 1.0 / (1.0 + (-a).exp()) } else { a.exp() / (1.0 + a.exp()) }
}

/// ℓ(t, a) = log(1+eᵃ) − t·a, as log(1+e^−|a|) + (1−t)·a for a ≥ 0 and log(1+e^−|a|) − t·a for a < 0: finite for
/// every finite a, and no digits cancel.
pub fn loss(t: f64, a: f64) -> f64 {
    let linear = if a >= 0.0 { (1.0 - t) * a } else { -t * a };
    (-a.abs()).exp().ln_1p() + linear
}

/// y − t = σ(a) − t; for a ≥ 0 as (1−t) − σ(−a), so that a row fitted well keeps its digits.
pub fn residual(t: f64, a: f64) -> f64 {
    if a >= 0.0 { (1.0 - t) - sigmoid(-a) } else { sigmoid(a) - t }
}

impl Problem<'_> {
    /// Rows n.
    pub fn rows(&self) -> usize {
        self.target.len()
    }

    /// Value in row `i`, column `j` of X with its last column, that of the intercept.
    fn x(&self, i: usize, j: usize) -> f64 {
        if j < self.features { self.x[i * self.features + j] } else { f64::from(u8::from(self.intercept)) }
    }

    /// aᵢ = xᵢ·β + β₀ (+ offset), n values. `w`: p slopes β, then the intercept β₀.
    pub fn linear_predictor(&self, w: &[f64]) -> Vec<f64> {
        let row = |i| (0..=self.features).map(move |j| self.x(i, j) * w[j]);
        (0..self.rows()).map(|i| sum(row(i).chain(self.offset.map(|offset| offset[i])))).collect()
    }

    /// yᵢ − tᵢ, n values, not multiplied by the sample weights.
    pub fn residuals(&self, w: &[f64]) -> Vec<f64> {
        self.target.iter().zip(self.linear_predictor(w)).map(|(&t, a)| residual(t, a)).collect()
    }

    /// J(w) = Σᵢ sᵢ·ℓ(tᵢ, aᵢ) + ½·l2·‖β‖².
    pub fn objective(&self, w: &[f64]) -> f64 {
        let a = self.linear_predictor(w);
        let losses = (0..self.rows()).map(|i| self.weight[i] * loss(self.target[i], a[i]));
        sum(losses.chain(w[..self.features].iter().map(|beta| 0.5 * self.l2 * beta * beta)))
    }

    /// ∇J = Xᵀ(s∘(Y−T)) + l2·β, p+1 values, the intercept's (never penalised) last.
    pub fn gradient(&self, w: &[f64]) -> Vec<f64> {
        let r = self.residuals(w);
        let data = |j| (0..self.rows()).map(move |i| (i, self.x(i, j))).map(|(i, x)| x * self.weight[i] * r[i]);
        (0..self.features).map(|j| sum(data(j).chain([self.l2 * w[j]]))).chain([sum(data(self.features))]).collect()
    }

    /// H = Xᵀ diag(s·y·(1−y)) X + l2·I on the slopes: (p+1)·(p+1) values, row-major, the intercept's row last.
    pub fn hessian(&self, w: &[f64]) -> Vec<f64> {
        let width = self.features + 1;
        let mut sums = vec![Sum::default(); width * width];
        for (i, a) in self.linear_predictor(w).into_iter().enumerate() {
            let curvature = self.weight[i] * sigmoid(a) * sigmoid(-a);
            for j in 0..width {
                for k in 0..width {
                    sums[j * width + k].add(curvature * (self.x(i, j) * self.x(i, k)));
                }
            }
        }
        (0..self.features).for_each(|j| sums[j * width + j].add(self.l2));
        sums.into_iter().map(Sum::value).collect()
    }
}

#[cfg(test)]
mod tests;
