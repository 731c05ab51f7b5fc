//! The duality gap of a fit with a penalty l1·‖β‖₁: what its slopes prove of the minimum.

use faer::Mat;

use crate::linalg::Cholesky;

/// A scale of the dual point is kept so far below what is feasible.
const INSIDE: f64 = 4.0 * f64::EPSILON;

/// What the duality gap at a point θ of standardised columns x̃ is computed from.
#[derive(Debug, Clone, Copy)]
pub struct Composite<'a> {
    /// θ.
    pub theta: &'a [f64],
    /// ∂/∂θⱼ of the loss alone.
    pub slopes: &'a [f64],
    /// w of the penalty Σ wⱼ|θⱼ| + ½·Σ cⱼθⱼ².
    pub weights: &'a [f64],
    /// c.
    pub curvatures: &'a [f64],
    /// The columns that are free of both, ascending.
    pub free: &'a [usize],
    /// Curvature of the loss in the free columns.
    pub curvature: &'a Mat<f64>,
    /// Largest |x̃ᵢⱼ| of each column.
    pub reach: &'a [f64],
    /// Σ s·ℓ.
    pub loss: f64,
    /// S = Σ s, no less than Σ s·x̃ⱼ² of any column.
    pub weight_sum: f64,
}

/// Upper bound of J − min J, up to rounding in f64; `None` where nothing is proved. It takes no read of X.
///
/// For any q ∈ \[0,1\]ⁿ let r = s∘(q − t) and u = −X̃ᵀr. Where uⱼ = 0 for the free columns F, Fenchel's inequality for each row and each
/// other column gives J(θ) − min J ≤ Σ sᵢ·KL(qᵢ‖yᵢ) + Σⱼ (Rⱼ(θⱼ) + Rⱼ*(uⱼ) − θⱼuⱼ): every term is at least 0, and 0 at the minimum.
/// KL(q‖y) = q·log(q/y) + (1−q)·log((1−q)/(1−y)), and Rⱼ*(u) = max(|u| − wⱼ, 0)²/(2cⱼ), without c infinite for |u| > wⱼ.
///
/// 1. q begins at the fitted y, where u is −∇ of the loss. To meet the free columns it goes to y − v·Σ δₖx̃ₖ with v = y(1−y) and
///    H_FF·δ = ∇_F, which stays in \[0,1\] where Σ |δₖ|·reachₖ ≤ 1. The divergence is then at most Σ s·(q−y)²/v = δᵀH_FF·δ, and uⱼ moves
///    by no more than ¼·S·Σ |δₖ|, for Σ s·v·|x̃ⱼx̃ₖ| ≤ ¼·S.
/// 2. Where c = 0 and some |uⱼ| > wⱼ it goes a part ε of the way to t, on which r = 0, just as far as makes all of them feasible. The
///    divergence is convex in q and Σ s·KL(t‖y) at most the loss, so this adds no more than ε times that.
pub fn duality_gap(at: Composite<'_>) -> Option<f64> {
    let steep: Vec<f64> = at.free.iter().map(|&j| at.slopes[j]).collect();
    let shift = match steep.is_empty() {
        true => Vec::new(),
        false => Cholesky::new(at.curvature)?.solve(&steep),
    };
    let reached: f64 = shift.iter().zip(at.free).map(|(d, &j)| d.abs() * at.reach[j]).sum();
    if !(reached <= 1.0) {
        return None;
    }
    let shifted: f64 = shift.iter().zip(&steep).map(|(d, slope)| d * slope).sum::<f64>().max(0.0);
    let moved = 0.25 * at.weight_sum * shift.iter().map(|d| d.abs()).sum::<f64>();
    let others = || (0..at.theta.len()).filter(|j| at.free.binary_search(j).is_err());
    let scale = others().filter(|&j| at.curvatures[j] == 0.0 && at.slopes[j].abs() + moved > at.weights[j]);
    let scale = scale.map(|j| at.weights[j] / (at.slopes[j].abs() + moved) * (1.0 - INSIDE)).fold(1.0, f64::min);
    let of_column = |j: usize| {
        let (u, size) = (-scale * at.slopes[j], at.theta[j].abs());
        let beyond = (u.abs() + scale * moved - at.weights[j]).max(0.0);
        let conjugate = if at.curvatures[j] > 0.0 { beyond * beyond / (2.0 * at.curvatures[j]) } else { 0.0 };
        let penalty = at.weights[j] * size + 0.5 * at.curvatures[j] * size * size;
        (penalty + conjugate - at.theta[j] * u).max(0.0) + scale * moved * size
    };
    let gap = scale * shifted + (1.0 - scale) * at.loss + others().map(of_column).sum::<f64>();
    gap.is_finite().then_some(gap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logistic::{sigmoid, softplus};

    const ROWS: usize = 40;
    const COLUMNS: usize = 5;

    /// Standardised rows, their targets, and J of a penalty on all columns but those of weight 0; the last column is of ones.
    struct Problem {
        x: Vec<[f64; COLUMNS + 1]>,
        t: Vec<f64>,
        weights: [f64; COLUMNS + 1],
        curvatures: [f64; COLUMNS + 1],
    }

    impl Problem {
        fn new(weights: [f64; COLUMNS + 1], l2: f64) -> Self {
            let mut state = 3u64;
            let mut number = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
            };
            let mut x: Vec<[f64; COLUMNS + 1]> = (0..ROWS).map(|_| std::array::from_fn(|_| number())).collect();
            for j in 0..COLUMNS {
                let mean = x.iter().map(|x| x[j]).sum::<f64>() / ROWS as f64;
                let sd = (x.iter().map(|x| (x[j] - mean).powi(2)).sum::<f64>() / ROWS as f64).sqrt();
                x.iter_mut().for_each(|x| x[j] = (x[j] - mean) / sd);
            }
            x.iter_mut().for_each(|x| x[COLUMNS] = 1.0);
            let t = x.iter().map(|x| f64::from(x[0] - 0.6 * x[1] + number() > 0.2)).collect();
            let curvatures = weights.map(|w| if w > 0.0 { l2 } else { 0.0 });
            Problem { x, t, weights, curvatures }
        }

        fn loss_slopes(&self, theta: &[f64]) -> (f64, Vec<f64>, Vec<f64>) {
            let (mut loss, mut slopes, mut v) = (0.0, vec![0.0; COLUMNS + 1], Vec::new());
            for (x, t) in self.x.iter().zip(&self.t) {
                let a: f64 = x.iter().zip(theta).map(|(x, w)| x * w).sum();
                loss += softplus(a) - t * a;
                slopes.iter_mut().zip(x).for_each(|(slope, x)| *slope += (sigmoid(a) - t) * x);
                v.push(sigmoid(a) * sigmoid(-a));
            }
            (loss, slopes, v)
        }

        fn objective(&self, theta: &[f64]) -> f64 {
            let penalty = theta.iter().zip(&self.weights).zip(&self.curvatures);
            self.loss_slopes(theta).0 + penalty.map(|((w, l1), l2)| l1 * w.abs() + 0.5 * l2 * w * w).sum::<f64>()
        }

        /// Proximal gradient steps, as many as it takes for rounding to end them.
        fn best(&self) -> Vec<f64> {
            let mut theta = vec![0.0; COLUMNS + 1];
            let step = 1.0 / (0.25 * (ROWS * (COLUMNS + 1)) as f64 + self.curvatures[0]);
            for _ in 0..200_000 {
                let slopes = self.loss_slopes(&theta).1;
                for j in 0..=COLUMNS {
                    let to = theta[j] - step * (slopes[j] + self.curvatures[j] * theta[j]);
                    theta[j] = (to.abs() - step * self.weights[j]).max(0.0).copysign(to);
                }
            }
            theta
        }

        fn gap(&self, theta: &[f64]) -> Option<f64> {
            let (loss, slopes, v) = self.loss_slopes(theta);
            let free: Vec<usize> = (0..=COLUMNS).filter(|j| self.weights[*j] == 0.0).collect();
            let of = |a: usize, b: usize| self.x.iter().zip(&v).map(|(x, v)| v * x[free[a]] * x[free[b]]).sum();
            let reach: Vec<f64> =
                (0..=COLUMNS).map(|j| self.x.iter().map(|x| x[j].abs()).fold(0.0, f64::max)).collect();
            duality_gap(Composite {
                theta,
                slopes: &slopes,
                weights: &self.weights,
                curvatures: &self.curvatures,
                free: &free,
                curvature: &Mat::from_fn(free.len(), free.len(), of),
                reach: &reach,
                loss,
                weight_sum: ROWS as f64,
            })
        }
    }

    #[test]
    fn the_gap_holds_everywhere_and_closes_at_the_minimum() {
        let mut proved = 0;
        for (free, l2) in [(0, 0.0), (0, 0.7), (1, 0.0), (2, 0.3)] {
            let mut weights = [2.0; COLUMNS + 1];
            weights[COLUMNS] = 0.0;
            weights[..free].fill(0.0);
            let problem = Problem::new(weights, l2);
            let best = problem.best();
            let least = problem.objective(&best);
            assert!(best.contains(&0.0) && best.iter().any(|b| *b != 0.0), "{best:?}");
            assert!(problem.gap(&best).unwrap() <= 1e-9, "{:?}", problem.gap(&best));
            for (k, off) in [1e-6, 1e-4, 1e-2, 0.1, 1.0].into_iter().enumerate() {
                for j in 0..=COLUMNS {
                    let mut theta = best.clone();
                    theta[j] += if (j + k).is_multiple_of(2) { off } else { -off };
                    let Some(gap) = problem.gap(&theta) else { continue };
                    let above = problem.objective(&theta) - least;
                    assert!(above <= gap + 1e-12, "{j} {off}: {above} {gap}");
                    assert!(off < 1e-2 || gap <= 1e4 * above, "{j} {off}: {gap} is no use against {above}");
                    proved += 1;
                }
            }
        }
        assert!(proved > 80, "{proved}");
    }
}
