//! The model of a composite objective that a proximal Newton step minimises: a quadratic and Σ wⱼ|xⱼ|.
//!
//! Coordinate descent finds which xⱼ are zero and the signs of the others; given those the minimum is that of a linear system, so a
//! Cholesky factor ends the search exactly, where coordinate descent alone would creep along correlated columns.

use faer::Mat;

use crate::linalg::Cholesky;

/// Rounds of coordinate descent and exact steps at the most, and sweeps over the non-zero coordinates in each.
const ROUNDS: usize = 200;
const SWEEPS: usize = 10;
/// Violations of the optimality conditions below this part of the numbers that they are differences of are rounding.
const ROUNDING: f64 = 1e-13;
/// Curvature of a coordinate at the least, as a part of the largest.
const LEAST: f64 = 1e-14;

/// gᵀ(x − x₀) + ½·(x − x₀)ᵀB(x − x₀) + Σ wⱼ|xⱼ|.
pub(super) struct Quadratic<'a> {
    /// B, symmetric and positive semidefinite.
    pub(super) curvature: &'a Mat<f64>,
    /// g.
    pub(super) gradient: &'a [f64],
    /// x₀.
    pub(super) from: &'a [f64],
    /// w, none of them negative.
    pub(super) weights: &'a [f64],
}

/// A point and the slopes of the quadratic there.
struct State {
    x: Vec<f64>,
    slopes: Vec<f64>,
}

impl State {
    fn add(&mut self, curvature: &Mat<f64>, j: usize, change: f64) {
        self.x[j] += change;
        self.slopes.iter_mut().zip(curvature.col_as_slice(j)).for_each(|(slope, b)| *slope += change * b);
    }
}

impl Quadratic<'_> {
    /// The minimising x, with exact zeros, and how far the model is below its value at x₀.
    pub(super) fn minimise(&self) -> (Vec<f64>, f64) {
        let size = self.from.len();
        let largest = (0..size).map(|j| self.curvature[(j, j)]).fold(0.0, f64::max);
        let least = LEAST * largest + f64::MIN_POSITIVE;
        let curvatures: Vec<f64> = (0..size).map(|j| self.curvature[(j, j)].max(least)).collect();
        let mut state = State { x: self.from.to_vec(), slopes: self.gradient.to_vec() };
        for _ in 0..ROUNDS {
            self.descend(&mut state, &curvatures, 0..size);
            for _ in 0..SWEEPS {
                let free = (0..size).filter(|j| self.is_free(*j, state.x[*j])).collect::<Vec<_>>();
                if !self.descend(&mut state, &curvatures, free.into_iter()) {
                    break;
                }
            }
            while self.solve_on_the_face(&mut state) {}
            if self.is_optimal(&state) {
                break;
            }
        }
        let slopes = self.gradient.iter().zip(&state.slopes).map(|(g, slope)| 0.5 * (g + slope));
        let decrease = -change(slopes, self.weights, self.from, &state.x);
        (state.x, decrease)
    }

    /// Whether the penalty has a slope in xⱼ.
    fn is_free(&self, j: usize, x: f64) -> bool {
        x != 0.0 || self.weights[j] == 0.0
    }

    /// Minimises along some coordinates in turn; whether any sign changed on the way, or became one.
    fn descend(&self, state: &mut State, curvatures: &[f64], coordinates: impl Iterator<Item = usize>) -> bool {
        let mut changed = false;
        for j in coordinates {
            let (x, h, w) = (state.x[j], curvatures[j], self.weights[j]);
            let z = h * x - state.slopes[j];
            let new = if z > w {
                (z - w) / h
            } else if z < -w {
                (z + w) / h
            } else {
                0.0
            };
            if new != x {
                state.add(self.curvature, j, new - x);
                // Exactly, whatever rounding the addition made.
                state.x[j] = new;
                changed |= (new > 0.0, new < 0.0) != (x > 0.0, x < 0.0);
            }
        }
        changed
    }

    /// Goes towards the minimum over the coordinates that are not zero, their signs as they are: all the way, or until the first of
    /// them becomes zero, which is told by `true`.
    fn solve_on_the_face(&self, state: &mut State) -> bool {
        let face: Vec<usize> = (0..self.from.len()).filter(|j| self.is_free(*j, state.x[*j])).collect();
        let slope = |j: usize| state.slopes[j] + signed(self.weights[j], state.x[j]);
        let slopes: Vec<f64> = face.iter().map(|&j| slope(j)).collect();
        let matrix = Mat::from_fn(face.len(), face.len(), |a, b| self.curvature[(face[a], face[b])]);
        let Some(factor) = (!face.is_empty()).then(|| Cholesky::of(matrix)).flatten() else { return false };
        let step = factor.solve(&slopes);
        if !step.iter().all(|d| d.is_finite()) {
            return false;
        }
        // Where along the step a penalised coordinate reaches zero.
        let crossing = |(&j, d): (&usize, &f64)| {
            let at = state.x[j] / d;
            (self.weights[j] > 0.0 && at > 0.0 && at < 1.0).then_some((at, j))
        };
        let first = face.iter().zip(&step).filter_map(crossing).min_by(|a, b| a.0.total_cmp(&b.0));
        let length = first.map_or(1.0, |(at, _)| at);
        for (&j, d) in face.iter().zip(&step) {
            state.add(self.curvature, j, -length * d);
        }
        if let Some((_, j)) = first {
            state.x[j] = 0.0;
        }
        first.is_some()
    }

    fn is_optimal(&self, state: &State) -> bool {
        (0..self.from.len()).all(|j| {
            let (x, slope, w) = (state.x[j], state.slopes[j], self.weights[j]);
            let violation = if x == 0.0 { slope.abs() - w } else { (slope + signed(w, x)).abs() };
            violation <= ROUNDING * (self.gradient[j].abs() + slope.abs() + w)
        })
    }
}

/// w·sign x, and 0 at zero.
fn signed(w: f64, x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { w.copysign(x) }
}

/// Σ slopeⱼ·(xⱼ − x₀ⱼ) + wⱼ·(|xⱼ| − |x₀ⱼ|), added up by coordinates: near a minimum the two cancel in each, to far more digits than
/// their sums would.
pub(super) fn change(slopes: impl Iterator<Item = f64>, weights: &[f64], from: &[f64], x: &[f64]) -> f64 {
    let of = |(((slope, w), from), x): (((f64, &f64), &f64), &f64)| match x - from {
        0.0 => 0.0,
        moved => moved * (slope + w * ((x.abs() - from.abs()) / moved)),
    };
    slopes.zip(weights).zip(from).zip(x).map(of).sum()
}

/// Σ wⱼ|xⱼ|.
pub(super) fn weighted_sizes(weights: &[f64], x: &[f64]) -> f64 {
    weights.iter().zip(x).map(|(w, x)| w * x.abs()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_is_exact_and_meets_its_conditions() {
        let mut state = 7u64;
        let mut number = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        };
        let mut seen = [0; 2];
        // More rows than columns, and fewer: the matrix is singular then.
        for (rows, columns) in [(40, 12), (40, 12), (6, 15)] {
            let common: Vec<f64> = (0..rows).map(|_| 2.0 * number()).collect();
            let a = Mat::from_fn(rows, columns, |i, _| common[i] + number());
            let curvature = a.transpose() * &a;
            let target: Vec<f64> = (0..rows).map(|_| 4.0 * number()).collect();
            let gradient: Vec<f64> =
                (0..columns).map(|j| -(0..rows).map(|i| a[(i, j)] * target[i]).sum::<f64>()).collect();
            let largest = gradient.iter().fold(0f64, |m, g| m.max(g.abs()));
            let from = vec![0.0; columns];
            for part in [0.01, 0.1, 0.5, 1.01] {
                let mut weights = vec![part * largest; columns];
                weights[columns - 1] = if part < 1.0 { 0.0 } else { weights[0] };
                let quadratic =
                    Quadratic { curvature: &curvature, gradient: &gradient, from: &from, weights: &weights };
                let (x, decrease) = quadratic.minimise();
                for j in 0..columns {
                    let slope = gradient[j] + (0..columns).map(|k| curvature[(j, k)] * x[k]).sum::<f64>();
                    let violation =
                        if x[j] == 0.0 { slope.abs() - weights[j] } else { slope + signed(weights[j], x[j]) };
                    assert!(
                        violation <= 1e-9 * largest && (x[j] == 0.0 || violation >= -1e-9 * largest),
                        "{violation}"
                    );
                    seen[usize::from(x[j] == 0.0)] += 1;
                }
                assert!(if part > 1.0 { decrease == 0.0 } else { decrease > 0.0 }, "{decrease}");
            }
        }
        assert!(seen[0] > 20 && seen[1] > 40, "{seen:?}");
    }
}
