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

/// Share of the off-diagonal part that is left out where no more than that is more than noise.
const NOISE: f64 = 0.1;
/// Part of the mean curvature that every column is given at the least.
const LEAST: f64 = 0.01;
/// Part of a column's curvature that must be its own, given the columns before it, for products in f32 to do: they err by some
/// 10⁻⁶ of it.
const ROUGH: f64 = 1e-3;

/// An approximation of H⁻¹ that learns.
#[derive(Debug)]
pub struct Metric {
    base: Base,
    bend: Option<Bend>,
    memory: VecDeque<Correction>,
    /// How much of the off-diagonal part of its curvature it was made with.
    kept: f64,
}

/// What became of the curvature B that a metric was made of where the point moved on.
///
/// With logits a and curvature v(a) a row, H = Σ v·x̃x̃ᵀ changes with the scale of v, and in the directions U that make a: the slopes
/// and the intercept. (Where columns are elliptically distributed that is all: by Stein's lemma E[v(a)·x̃x̃ᵀ] is E[v]·Σ and a
/// matrix of the span of ΣU.) H⁻¹ is then B⁻¹/κ but on the span of U, where UᵀHU = C is measured:
/// H⁻¹ = B⁻¹/κ + U·(C⁻¹ − (UᵀBU)⁻¹/κ)·Uᵀ, the inverse of κB + BU·G⁻¹(C − κG)G⁻¹·UᵀB with G = UᵀBU.
#[derive(Debug)]
struct Bend {
    /// 1/κ.
    shrunk: f64,
    /// U.
    along: Vec<Vec<f64>>,
    /// C⁻¹ − G⁻¹/κ.
    inner: Mat<f64>,
}

/// What the corrections stand on.
#[derive(Debug, Clone)]
enum Base {
    /// H⁻¹ of curvature that was computed.
    Factor(Arc<Cholesky>),
    /// The same where it is this diagonal.
    Diagonal(Arc<Vec<f64>>),
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
        Metric::on(Base::Scaled(factor))
    }

    /// The inverse of `curvature`, with the smallest ridge that makes it positive definite; `None` where it is not finite.
    pub fn of(curvature: Mat<f64>) -> Option<Self> {
        let factor = Cholesky::with_ridge(curvature)?;
        Some(Metric::on(Base::Factor(Arc::new(factor))))
    }

    fn on(base: Base) -> Self {
        Metric { base, bend: None, memory: VecDeque::new(), kept: 1.0 }
    }

    /// The same curvature, which is shared, without what was learnt since.
    pub fn shared(&self) -> Self {
        Metric { kept: self.kept, ..Metric::on(self.base.clone()) }
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
            Base::Diagonal(_) | Base::Scaled(_) => true,
        }
    }

    /// The inverse of `curvature` that was taken from `rows` rows, out of more.
    ///
    /// With r_ij the curvature scaled to a unit diagonal, sampling alone makes Σ r_ij² over i ≠ j about p(p−1)/rows. The
    /// off-diagonal part is shrunk by the share of that in what is there (after Ledoit & Wolf 2004, Journal of
    /// Multivariate Analysis 88:365): columns that are nearly uncorrelated are better served by the diagonal alone, and are
    /// spared the factor. A column with next to no curvature on these rows gets a hundredth of the mean.
    pub fn of_sample(mut curvature: Mat<f64>, rows: usize) -> Option<Self> {
        let p = curvature.nrows();
        let mean = (0..p).map(|i| curvature[(i, i)]).sum::<f64>() / p as f64;
        let diagonal: Vec<f64> = (0..p).map(|i| curvature[(i, i)].max(LEAST * mean)).collect();
        let inverse: Vec<f64> = diagonal.iter().map(|d| 1.0 / d).collect();
        let above = |j: usize| curvature.col_as_slice(j)[..j].iter().zip(&inverse).map(|(c, d)| c * d * c).sum::<f64>();
        let all: f64 = (0..p).map(|j| 2.0 * inverse[j] * above(j)).sum();
        if !(all + mean).is_finite() {
            return None;
        }
        let noise = (p * (p - 1)) as f64 / rows as f64;
        let kept = if all > noise { 1.0 - noise / all } else { 0.0 };
        if kept <= NOISE {
            return Some(Metric { kept, ..Metric::on(Base::Diagonal(Arc::new(diagonal))) });
        }
        for (j, d) in diagonal.into_iter().enumerate() {
            curvature.col_as_slice_mut(j).iter_mut().for_each(|c| *c *= kept);
            curvature[(j, j)] = d;
        }
        Some(Metric { kept, ..Metric::of(curvature)? })
    }

    /// How much of the off-diagonal part of its curvature is more than noise.
    pub fn kept(&self) -> f64 {
        self.kept
    }

    /// The trace of the curvature that it was made of, where it was made of any.
    pub fn trace(&self) -> Option<f64> {
        match &self.base {
            Base::Factor(factor) => Some(factor.trace()),
            Base::Diagonal(diagonal) => Some(diagonal.iter().sum()),
            Base::Scaled(_) => None,
        }
    }

    /// Takes its curvature to be `scale` times what it was made of, but for the span of the columns `along`, where it is `curvature`;
    /// nothing changes where these say nothing.
    pub fn follow(&mut self, scale: f64, along: Vec<Vec<f64>>, curvature: &Mat<f64>) {
        let Some(before) = self.base.form(&along) else { return };
        let (Some(now), Some(before)) = (Cholesky::new(curvature), Cholesky::new(&before)) else { return };
        if scale > 0.0 && scale.is_finite() {
            let inner = now.inverse() - before.inverse() * faer::Scale(1.0 / scale);
            self.bend = Some(Bend { shrunk: 1.0 / scale, along, inner });
        }
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
        let mut r: Vec<f64> = match (&self.base, self.memory.back()) {
            (Base::Factor(factor), _) => factor.solve(&q),
            (Base::Diagonal(diagonal), _) => q.iter().zip(&**diagonal).map(|(q, d)| q / d).collect(),
            (Base::Scaled(_), Some(c)) => {
                let gamma = 1.0 / (c.rho * dot(&c.change, &c.change));
                q.iter().map(|q| gamma * q).collect()
            }
            (Base::Scaled(factor), None) => q.iter().map(|q| factor * q).collect(),
        };
        if let Some(bend) = &self.bend {
            bend.bend(&q, &mut r);
        }
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
    pub fn renew(&mut self, curvature: Mat<f64>) -> bool {
        let factor = Cholesky::with_ridge(curvature).map(Arc::new);
        let is_finite = factor.is_some();
        self.base = factor.map_or(Base::Scaled(1.0), Base::Factor);
        self.bend = None;
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
        !matches!(self.base, Base::Scaled(_)) || self.memory.len() >= INFORMED
    }
}

impl Base {
    /// UᵀBU for the columns U that are given, where B is known.
    fn form(&self, columns: &[Vec<f64>]) -> Option<Mat<f64>> {
        let n = columns.len();
        match self {
            Base::Factor(factor) => Some(factor.form(columns)),
            Base::Diagonal(diagonal) => {
                let times = |k: usize| columns[k].iter().zip(&**diagonal).map(|(u, d)| u * d).collect::<Vec<f64>>();
                Some(Mat::from_fn(n, n, |i, j| dot(&columns[i], &times(j))))
            }
            Base::Scaled(_) => None,
        }
    }
}

impl Bend {
    /// B⁻¹q, which is `solved`, becomes H⁻¹q.
    fn bend(&self, q: &[f64], solved: &mut [f64]) {
        solved.iter_mut().for_each(|r| *r *= self.shrunk);
        for (i, out) in self.along.iter().enumerate() {
            let part: f64 = self.along.iter().enumerate().map(|(j, u)| self.inner[(i, j)] * dot(u, q)).sum();
            solved.iter_mut().zip(out).for_each(|(r, u)| *r += part * u);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_that_followed_has_the_curvature_it_was_told() {
        let p = 6;
        let correlated =
            Mat::from_fn(p, p, |i, j| if i == j { 3.0 + i as f64 } else { 0.4 / (1 + i.abs_diff(j)) as f64 });
        let plain = Mat::from_fn(p, p, |i, j| if i == j { 3.0 + i as f64 } else { 0.0 });
        let diagonal = Metric::of_sample(plain.clone(), 10).unwrap();
        assert!(matches!(diagonal.base, Base::Diagonal(_)) && diagonal.kept() == 0.0);
        follows(Metric::of(correlated.clone()).unwrap(), &correlated);
        follows(diagonal, &plain);
    }

    /// Holds `metric`, made of `base`, to that.
    fn follows(mut metric: Metric, base: &Mat<f64>) {
        let p = base.nrows();
        let u: Vec<f64> = (0..p - 1).map(|i| 0.5 - 0.2 * i as f64).chain([0.0]).collect();
        let ones: Vec<f64> = (0..p - 1).map(|_| 0.0).chain([1.0]).collect();
        let curvature = Mat::from_fn(2, 2, |i, j| [0.7, 0.2, 2.0][i + j]);
        metric.follow(0.6, vec![u.clone(), ones.clone()], &curvature);
        let times_base = |v: &[f64]| (0..p).map(|i| (0..p).map(|j| base[(i, j)] * v[j]).sum()).collect::<Vec<f64>>();
        // Column by column H⁻¹, of which the inverse is sought on the span and beside it.
        let unit = |k: usize| (0..p).map(|i| f64::from(u8::from(i == k))).collect::<Vec<f64>>();
        let columns: Vec<Vec<f64>> = (0..p).map(|k| metric.direction(&unit(k))).collect();
        let h = Cholesky::of(Mat::from_fn(p, p, |i, j| -columns[j][i])).unwrap().inverse();
        let form =
            |a: &[f64], b: &[f64]| (0..p).map(|i| (0..p).map(|j| a[i] * h[(i, j)] * b[j]).sum::<f64>()).sum::<f64>();
        for (found, told) in [(form(&u, &u), 0.7), (form(&u, &ones), 0.2), (form(&ones, &ones), 2.0)] {
            assert!((found - told).abs() < 1e-12, "{found} for {told}");
        }
        // A direction that B keeps apart from the span has 0.6 of its curvature in B.
        let apart = |v: Vec<f64>| -> Vec<f64> {
            let along = [times_base(&u), times_base(&ones)];
            let gram = Mat::from_fn(2, 2, |i, j| dot(&along[i], [&u, &ones][j]));
            let inverse = Cholesky::new(&gram).unwrap().inverse();
            let parts = [0, 1].map(|i| (0..2).map(|j| inverse[(i, j)] * dot(&along[j], &v)).sum::<f64>());
            (0..p).map(|i| v[i] - parts[0] * u[i] - parts[1] * ones[i]).collect()
        };
        let v = apart((0..p).map(|i| (i as f64).cos()).collect());
        assert!((form(&v, &v) - 0.6 * dot(&v, &times_base(&v))).abs() < 1e-12);
        assert!(form(&v, &u).abs() < 1e-12);
    }
}
