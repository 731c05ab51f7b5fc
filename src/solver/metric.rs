//! What stands for the inverse Hessian: curvature taken somewhere, corrected by the changes of the gradient seen since
//! (L-BFGS; Nocedal & Wright, Numerical Optimization, 2nd ed., algorithm 7.4).

use std::collections::VecDeque;
use std::sync::Arc;

use faer::Mat;

use super::dot;
use crate::error::Result;
use crate::linalg::Cholesky;
use crate::objective::Precision;

/// Corrections remembered.
const MEMORY: usize = 12;
/// Corrections from which on the decrease that an unfactored metric predicts is believed.
const INFORMED: usize = 6;

/// Part of the mean curvature that every column is given at the least.
const LEAST: f64 = 0.01;
/// Part of a column's curvature that must be its own, given the columns before it, for products in f32 to do: they err by some
/// 10⁻⁶ of it.
const ROUGH: f64 = 1e-3;

/// An approximation of H⁻¹ that learns.
#[derive(Debug)]
pub struct Metric {
    base: Base,
    memory: VecDeque<Correction>,
    /// How much of the off-diagonal part of its curvature it was made with.
    kept: f64,
}

/// What the corrections stand on.
#[derive(Debug, Clone)]
enum Base {
    /// H⁻¹ of curvature that was computed.
    Factor(Arc<Cholesky>),
    /// This multiple of the identity until the first correction gives a better one.
    Scaled(f64),
}

/// One remembered change of the point and of the gradient.
#[derive(Debug)]
struct Correction {
    step: Vec<f64>,
    change: Vec<f64>,
    /// 1/(changeᵀ·step).
    rho: f64,
}

impl Metric {
    /// A multiple of the identity: what is known before anything is.
    pub fn scaled(factor: f64) -> Self {
        Metric { base: Base::Scaled(factor), memory: VecDeque::new(), kept: 1.0 }
    }

    /// The inverse of `curvature`, with the smallest ridge that makes it positive definite; `None` where it is not finite.
    pub fn of(curvature: &Mat<f64>) -> Option<Self> {
        let factor = Cholesky::with_ridge(curvature)?;
        Some(Metric { base: Base::Factor(Arc::new(factor)), memory: VecDeque::new(), kept: 1.0 })
    }

    /// The same curvature, which is shared, without what was learnt since.
    pub fn shared(&self) -> Self {
        Metric { base: self.base.clone(), memory: VecDeque::new(), kept: self.kept }
    }

    /// The metric that `metric` makes of products in f32, where those are good enough for it, else of products in f64.
    ///
    /// # Errors
    /// What `metric` fails with.
    pub fn rough(metric: impl Fn(Precision) -> Result<Option<Self>>) -> Result<Option<Self>> {
        match metric(Precision::F32)?.filter(Metric::is_well_conditioned) {
            Some(metric) => Ok(Some(metric)),
            None => metric(Precision::F64),
        }
    }

    /// Whether products in f32 are good enough for it.
    pub(super) fn is_well_conditioned(&self) -> bool {
        match &self.base {
            Base::Factor(factor) => factor.is_exact() && factor.smallest_share() >= ROUGH,
            Base::Scaled(_) => true,
        }
    }

    /// The inverse of `curvature` that was taken from `rows` rows, out of more.
    ///
    /// With r_ij the curvature scaled to a unit diagonal, sampling alone makes Σ r_ij² over i ≠ j about p(p−1)/rows. The
    /// off-diagonal part is shrunk by the share of that in what is there (after Ledoit & Wolf 2004, Journal of
    /// Multivariate Analysis 88:365): columns that are nearly uncorrelated are better served by the diagonal alone. A
    /// column with next to no curvature on these rows gets a hundredth of the mean.
    pub fn of_sample(curvature: &Mat<f64>, rows: usize) -> Option<Self> {
        let p = curvature.nrows();
        let mean = (0..p).map(|i| curvature[(i, i)]).sum::<f64>() / p as f64;
        let diagonal: Vec<f64> = (0..p).map(|i| curvature[(i, i)].max(LEAST * mean)).collect();
        let energy = |i: usize, j: usize| curvature[(i, j)] * curvature[(i, j)] / (diagonal[i] * diagonal[j]);
        let all: f64 = (0..p).flat_map(|j| (0..j).map(move |i| (i, j))).map(|(i, j)| 2.0 * energy(i, j)).sum();
        let noise = (p * (p - 1)) as f64 / rows as f64;
        let kept = if all > noise { 1.0 - noise / all } else { 0.0 };
        let shrunk = |i: usize, j: usize| if i == j { diagonal[i] } else { kept * curvature[(i, j)] };
        Some(Metric { kept, ..Metric::of(&Mat::from_fn(p, p, shrunk))? })
    }

    /// How much of the off-diagonal part of its curvature was kept.
    pub fn kept(&self) -> f64 {
        self.kept
    }

    /// −H⁻¹·`gradient`.
    pub fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut q = gradient.to_vec();
        let mut alphas = Vec::with_capacity(self.memory.len());
        for c in self.memory.iter().rev() {
            let alpha = c.rho * dot(&c.step, &q);
            q.iter_mut().zip(&c.change).for_each(|(q, y)| *q -= alpha * y);
            alphas.push(alpha);
        }
        let mut r = match (&self.base, self.memory.back()) {
            (Base::Factor(factor), _) => factor.solve(&q),
            (Base::Scaled(_), Some(c)) => {
                let gamma = 1.0 / (c.rho * dot(&c.change, &c.change));
                q.iter().map(|q| gamma * q).collect()
            }
            (Base::Scaled(factor), None) => q.iter().map(|q| factor * q).collect(),
        };
        for (c, alpha) in self.memory.iter().zip(alphas.into_iter().rev()) {
            let beta = c.rho * dot(&c.change, &r);
            r.iter_mut().zip(&c.step).for_each(|(r, s)| *r += (alpha - beta) * s);
        }
        r.iter_mut().for_each(|r| *r = -*r);
        r
    }

    /// Learns that the gradient changed by `change` over `step`.
    pub fn correct(&mut self, step: Vec<f64>, change: Vec<f64>) {
        let curvature = dot(&step, &change);
        // A correction that rounding made (nearly) flat or concave would poison the metric.
        if curvature > 1e-10 * dot(&change, &change).sqrt() * dot(&step, &step).sqrt() {
            if self.memory.len() == MEMORY {
                self.memory.pop_front();
            }
            self.memory.push_back(Correction { step, change, rho: 1.0 / curvature });
        }
    }

    /// Puts `curvature` in the place of what the corrections stand on, with the smallest ridge that makes it positive definite; whether
    /// it is finite.
    pub fn renew(&mut self, curvature: &Mat<f64>) -> bool {
        let factor = Cholesky::with_ridge(curvature).map(Arc::new);
        let is_finite = factor.is_some();
        self.base = factor.map_or(Base::Scaled(1.0), Base::Factor);
        is_finite
    }

    /// Forgets every correction; whether there were any.
    pub fn forget(&mut self) -> bool {
        let had_any = !self.memory.is_empty();
        self.memory.clear();
        had_any
    }

    /// Whether its steps say how far away the optimum is.
    pub fn is_informed(&self) -> bool {
        matches!(self.base, Base::Factor(_)) || self.memory.len() >= INFORMED
    }
}
