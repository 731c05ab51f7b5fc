//! Textbook softmax of K classes in f64: J, its gradient, and the product of its Hessian with a direction.

use super::sum;

/// n rows of p features and K classes.
#[derive(Debug, Clone, Copy)]
pub struct SoftmaxProblem<'a> {
    /// n×p, row-major.
    pub x: &'a [f64],
    /// Features p.
    pub features: usize,
    /// Classes K.
    pub classes: usize,
    /// The number of each row's class.
    pub target: &'a [f64],
    /// Sample weights s.
    pub weight: &'a [f64],
    /// l2 of the objective.
    pub l2: f64,
    /// Whether there is a column of ones.
    pub intercept: bool,
}

impl SoftmaxProblem<'_> {
    /// Value in row `i`, column `j` of X with its last column, that of the intercept.
    fn x(&self, i: usize, j: usize) -> f64 {
        if j < self.features { self.x[i * self.features + j] } else { f64::from(u8::from(self.intercept)) }
    }

    /// aₖ = xᵢ·βₖ + β₀ₖ of row `i`, K values. `w`: for each class p slopes, then the intercept.
    pub fn predictors(&self, i: usize, w: &[Vec<f64>]) -> Vec<f64> {
        w.iter().map(|w| sum((0..=self.features).map(|j| self.x(i, j) * w[j]))).collect()
    }

    /// log Σₖ e^aₖ.
    fn log_sum(a: &[f64]) -> f64 {
        let largest = a.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        largest + sum(a.iter().map(|a| (a - largest).exp())).ln()
    }

    /// yₖ = e^aₖ/Σ e^aₗ.
    pub fn probabilities(a: &[f64]) -> Vec<f64> {
        let log_sum = Self::log_sum(a);
        a.iter().map(|a| (a - log_sum).exp()).collect()
    }

    /// J = Σᵢ sᵢ·(log Σₖ e^aₖ − aₜ) + ½·l2·Σₖ ‖βₖ‖².
    pub fn objective(&self, w: &[Vec<f64>]) -> f64 {
        let loss = |i: usize| {
            let a = self.predictors(i, w);
            self.weight[i] * (Self::log_sum(&a) - a[self.target[i] as usize])
        };
        let penalty = w.iter().flat_map(|w| &w[..self.features]).map(|beta| 0.5 * self.l2 * beta * beta);
        sum((0..self.target.len()).map(loss).chain(penalty))
    }

    /// ∂J/∂βₖ = Xᵀ(s∘(yₖ − [t = k])) + l2·βₖ: for each class p values, then the intercept's.
    pub fn gradient(&self, w: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let residual = |i: usize| {
            let y = Self::probabilities(&self.predictors(i, w));
            let own = self.target[i] as usize;
            // The own class's as the sum of the others, which keeps its digits.
            let others = sum((0..self.classes).filter(|k| *k != own).map(|k| y[k]));
            (0..self.classes).map(|k| self.weight[i] * if k == own { -others } else { y[k] }).collect()
        };
        self.transposed(residual, w)
    }

    /// H·V: Xᵀ(s∘yₖ∘(bₖ − Σₗ yₗ·bₗ)) + l2·vₖ with b = X·V.
    pub fn product(&self, w: &[Vec<f64>], v: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let change = |i: usize| {
            let (y, b) = (Self::probabilities(&self.predictors(i, w)), self.predictors(i, v));
            let mean = sum(y.iter().zip(&b).map(|(y, b)| y * b));
            (0..self.classes).map(|k| self.weight[i] * y[k] * (b[k] - mean)).collect()
        };
        self.transposed(change, v)
    }

    /// Xᵀr + l2·v for the K values of `r` of each row.
    fn transposed(&self, r: impl Fn(usize) -> Vec<f64>, v: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let r: Vec<Vec<f64>> = (0..self.target.len()).map(r).collect();
        let entry = |k: usize, j: usize| {
            let penalty = if j < self.features { self.l2 * v[k][j] } else { 0.0 };
            sum((0..r.len()).map(|i| self.x(i, j) * r[i][k]).chain([penalty]))
        };
        (0..self.classes).map(|k| (0..=self.features).map(|j| entry(k, j)).collect()).collect()
    }
}
