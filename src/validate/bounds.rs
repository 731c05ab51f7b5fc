//! What an engine's arithmetic may cost, entry by entry.
//!
//! With unit roundoff u, a sum of k terms in any order is off by at most k·u·Σ|terms| (Higham, Accuracy and Stability
//! of Numerical Algorithms, 2nd ed., §4.2), and what goes into a term may carry a few u of its own. The logistic
//! functions add the errors that their polynomials are documented with in `shaders/common/logistic.wgsl`. An error δa
//! in the linear predictor moves σ by at most δa/4 and ℓ by at most δa.

use faer::Mat;

use super::cases::Rows;
use crate::data::{Block, Dataset};
use crate::engine::cpu::kernels::together;
use crate::engine::gpu::{LOSS_ERROR, SIGMOID_ERROR};
use crate::engine::{DeviceInfo, DeviceKind, LossSlope};
use crate::error::{Error, Result};
use crate::linalg::Cholesky;
use crate::reference::Problem;

/// Unit roundoffs.
const F32_UNIT: f64 = f32::EPSILON as f64 / 2.0;
const F64_UNIT: f64 = f64::EPSILON / 2.0;
/// Rows that a GPU sums in f32 before f64 takes over.
const TILE: f64 = 256.0;

/// The arithmetic of an engine.
#[derive(Debug, Clone, Copy)]
pub struct Arithmetic {
    /// Unit roundoff of a sum.
    unit: f64,
    /// Rows added up in that precision.
    rows: f64,
    /// Absolute error of σ.
    sigmoid: f64,
    /// Absolute error of ℓ(t, a), as a multiple of 1 + |a|.
    loss: f64,
}

impl Arithmetic {
    /// That of the host on `data`, all in f64.
    pub(super) fn of_host(data: &Dataset) -> Self {
        Arithmetic { unit: F64_UNIT, rows: data.rows as f64, sigmoid: 4.0 * F64_UNIT, loss: 4.0 * F64_UNIT }
    }

    /// That of the engine on `device`, holding `data`.
    pub fn of(device: &DeviceInfo, data: &Dataset) -> Self {
        match device.kind {
            DeviceKind::Cpu => {
                // Where X is f32 the products with it are taken in f32, all else in f64.
                let narrow = !data.blocks.iter().all(Block::is_wide);
                let host = Arithmetic::of_host(data);
                let rows = together(data.features.len()) as f64;
                if narrow { Arithmetic { unit: F32_UNIT, rows, ..host } } else { host }
            }
            _ => Arithmetic::of_batch(),
        }
    }

    /// Unit roundoff of a sum.
    pub(super) fn unit(&self) -> f64 {
        self.unit
    }

    /// Absolute error of a probability.
    pub(super) fn sigmoid(&self) -> f64 {
        self.sigmoid
    }

    /// Absolute error of a loss, as a multiple of 1 + |a|.
    pub(super) fn loss(&self) -> f64 {
        self.loss
    }

    /// Relative error of adding up a tile's rows.
    pub(super) fn sum_error(&self) -> f64 {
        (self.rows + 4.0) * self.unit
    }

    /// That of an engine's batches of models and of several classes, in f32 on the CPU too.
    pub(super) fn of_batch() -> Self {
        Arithmetic { unit: F32_UNIT, rows: TILE, sigmoid: SIGMOID_ERROR.into(), loss: LOSS_ERROR.into() }
    }
}

/// The comparison nearest to its bound, or farthest beyond it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Worst {
    pub(super) error: f64,
    pub(super) bound: f64,
}

impl Worst {
    /// Takes an error and its bound into account; what is not a number counts as beyond every bound.
    pub(super) fn see(&mut self, error: f64, bound: f64) {
        let nearer = self.bound == 0.0 && self.error == 0.0
            || !(error.is_finite() && bound.is_finite())
            || error * self.bound > self.error * bound;
        if nearer && self.error.is_finite() {
            (self.error, self.bound) = (error, bound);
        }
    }

    /// Whether every error seen was within its bound.
    pub(super) fn within(&self) -> bool {
        self.error <= self.bound
    }
}

/// What the reference computes at one w, with the bounds of an engine's arithmetic.
pub(super) struct Reference<'a> {
    pub(super) w: Vec<f64>,
    rows: &'a Rows,
    features: usize,
    arithmetic: Arithmetic,
    a: Vec<f64>,
    /// Bound on the error of each linear predictor.
    a_error: Vec<f64>,
    r: Vec<f64>,
}

impl<'a> Reference<'a> {
    pub(super) fn new(rows: &'a Rows, w: Vec<f64>, arithmetic: Arithmetic) -> Self {
        let features = w.len() - 1;
        let mut reference =
            Reference { w, rows, features, arithmetic, a: Vec::new(), a_error: Vec::new(), r: Vec::new() };
        let (a, r) = reference.predictors_and_residuals(&reference.w);
        // Rounding of z, of w and of the offset, the product, and the sum of p + 2 terms.
        let roundings = (features as f64 + 6.0) * arithmetic.unit;
        reference.a_error = (0..rows.target.len())
            .map(|i| {
                let terms: f64 = reference.row(i).iter().zip(&reference.w).map(|(z, w)| (z * w).abs()).sum();
                let offset = reference.rows.offset.as_ref().map_or(0.0, |offset| offset[i].abs());
                roundings * (terms + reference.w[features].abs() + offset)
            })
            .collect();
        (reference.a, reference.r) = (a, r);
        reference
    }

    fn problem(&self) -> Problem<'_> {
        Problem {
            x: &self.rows.x,
            features: self.features,
            target: &self.rows.target,
            weight: &self.rows.weight,
            offset: self.rows.offset.as_deref(),
            l2: 0.0,
            intercept: true,
        }
    }

    /// a and s·(y−t) of every row at `w`.
    fn predictors_and_residuals(&self, w: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let problem = self.problem();
        let r = problem.residuals(w).iter().zip(&self.rows.weight).map(|(r, s)| s * r).collect();
        (problem.linear_predictor(w), r)
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.rows.x[i * self.features..(i + 1) * self.features]
    }

    /// Bound on the error of s·(y − t) when the linear predictor is off by `a_error`.
    fn residual_error(&self, i: usize, a_error: f64) -> f64 {
        let u = self.arithmetic.unit;
        self.rows.weight[i] * (0.25 * a_error + self.arithmetic.sigmoid + 4.0 * u)
    }

    /// Bound on the error of s·ℓ at the linear predictor `a`, likewise, but for roundoffs of its own size.
    fn loss_error(&self, i: usize, a: f64, a_error: f64) -> f64 {
        self.rows.weight[i] * (a_error + self.arithmetic.loss * (1.0 + a.abs()))
    }

    fn sum_error(&self) -> f64 {
        self.arithmetic.sum_error()
    }

    pub(super) fn compare_logits(&self, got: &[f64], worst: &mut Worst) {
        for ((got, a), bound) in got.iter().zip(&self.a).zip(&self.a_error) {
            worst.see((got - a).abs(), *bound);
        }
    }

    pub(super) fn compare_loss(&self, got: f64, worst: &mut Worst) {
        let loss = self.problem().objective(&self.w);
        let rows: f64 = (0..self.a.len()).map(|i| self.loss_error(i, self.a[i], self.a_error[i])).sum();
        worst.see((got - loss).abs(), rows + (self.sum_error() + 6.0 * self.arithmetic.unit) * loss);
    }

    pub(super) fn compare_gradient(&self, got: &[f64], worst: &mut Worst) {
        let exact = self.problem().gradient(&self.w);
        let mut carried = vec![0.0; self.features + 1];
        for i in 0..self.a.len() {
            let residual_error = self.residual_error(i, self.a_error[i]);
            // Rounding of z and of the product, and the sum.
            let own = (self.sum_error() + 3.0 * self.arithmetic.unit) * self.r[i].abs();
            for (carried, z) in carried.iter_mut().zip(self.row(i).iter().chain([&1.0])) {
                *carried += z.abs() * (residual_error + own);
            }
        }
        for ((got, exact), bound) in got.iter().zip(&exact).zip(carried) {
            worst.see((got - exact).abs(), bound);
        }
    }

    pub(super) fn compare_hessian(&self, got: &Mat<f64>, worst: &mut Worst) {
        let exact = self.problem().hessian(&self.w);
        let width = self.features + 1;
        let u = self.arithmetic.unit;
        let mut bound = vec![0.0; width * width];
        for i in 0..self.a.len() {
            let (s, c) = (self.rows.weight[i], crate::reference::sigmoid(self.a[i]));
            // |d(y(1−y))/da| < 0.1; the root is taken and squared again, and the sum is over all rows.
            let row_error = s * (0.1 * self.a_error[i] + (self.arithmetic.rows + 16.0) * u * c * (1.0 - c));
            let row: Vec<f64> = self.row(i).iter().chain([&1.0]).map(|z| z.abs()).collect();
            for (j, zj) in row.iter().enumerate() {
                for (k, zk) in row.iter().enumerate() {
                    bound[j * width + k] += row_error * zj * zk;
                }
            }
        }
        for j in 0..width {
            for k in 0..width {
                worst.see((got[(j, k)] - exact[j * width + k]).abs(), bound[j * width + k]);
            }
        }
    }

    /// `got` is the probe at `step` on the line from here to `other`.
    pub(super) fn compare_probe(&self, other: &Reference<'_>, step: f64, got: LossSlope, worst: &mut Worst) {
        let w: Vec<f64> = self.w.iter().zip(&other.w).map(|(from, to)| from + step * (to - from)).collect();
        let (a, r) = self.predictors_and_residuals(&w);
        let u = self.arithmetic.unit;
        let loss = self.problem().objective(&w);
        let (mut slope, mut loss_bound, mut slope_bound) = (0.0, (self.sum_error() + 6.0 * u) * loss, 0.0);
        for i in 0..a.len() {
            let d = other.a[i] - self.a[i];
            let d_error = self.a_error[i] + other.a_error[i] + u * d.abs();
            let a_error = self.a_error[i] + step.abs() * (d_error + u * d.abs()) + u * a[i].abs();
            slope += r[i] * d;
            loss_bound += self.loss_error(i, a[i], a_error);
            slope_bound += self.residual_error(i, a_error) * (d.abs() + d_error)
                + r[i].abs() * d_error
                + (self.sum_error() + 3.0 * u) * (r[i] * d).abs();
        }
        worst.see((got.loss - loss).abs(), loss_bound);
        worst.see((got.slope - slope).abs(), slope_bound);
    }
}

/// ½·∇JᵀH⁻¹∇J by the reference: how much lower the optimum lies, near to it.
pub(super) fn newton_decrease(problem: &Problem<'_>, w: &[f64]) -> Result<f64> {
    let gradient = problem.gradient(w);
    let hessian = problem.hessian(w);
    let width = w.len();
    // Scaled to a unit diagonal, so that columns of any size can be factored.
    let root: Vec<f64> = (0..width).map(|j| hessian[j * width + j].sqrt().max(f64::MIN_POSITIVE)).collect();
    let scaled = Mat::from_fn(width, width, |i, j| hessian[i * width + j] / (root[i] * root[j]));
    let rhs: Vec<f64> = gradient.iter().zip(&root).map(|(g, root)| g / root).collect();
    let factor = Cholesky::with_ridge(scaled)
        .ok_or_else(|| Error::Numerics("the reference's Hessian cannot be factored".into()))?;
    Ok(0.5 * factor.solve(&rhs).iter().zip(&rhs).map(|(x, g)| x * g).sum::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_the_nearest_to_its_bound_and_not_a_number_is_beyond_all() {
        let mut worst = Worst::default();
        worst.see(1e-9, 1e-3);
        worst.see(2e-6, 4e-6);
        worst.see(1e-4, 1.0);
        assert_eq!((worst.error, worst.bound), (2e-6, 4e-6));
        assert!(worst.within());
        worst.see(1.1e-7, 1e-7);
        worst.see(0.0, 1e-7);
        assert!(!worst.within());
        let mut lost = Worst::default();
        lost.see(1e-9, 1e-3);
        lost.see(f64::NAN, 1e-3);
        lost.see(1e-9, 1e-3);
        assert!(!lost.within());
        let mut boundless = Worst::default();
        boundless.see(0.0, f64::NAN);
        assert!(!boundless.within());
        let mut exact = Worst::default();
        exact.see(0.0, 0.0);
        exact.see(1e-30, 0.0);
        assert!(!exact.within());
    }
}
