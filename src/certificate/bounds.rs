//! What the gradient at a point proves of the optimum.

use faer::Mat;
use rayon::prelude::*;

use crate::linalg::{Cholesky, length};
use crate::solver::dot;

/// Largest λ·R/√μ for which a [`Basin`] is proved; what J can be above its minimum then, as a multiple of λ²; and how
/// far away that can be, as a multiple of λ.
const NEAR: f64 = 0.5;
const BASIN_DEPTH: f64 = 0.62;
const BASIN_WIDTH: f64 = 1.39;
/// Condition number up to which a factor in f64 is believed.
const TRUSTED: f64 = 1e13;
/// Steps of conjugate gradients that an upper bound may take, and the part of it that may be due to what they leave.
const STEPS: usize = 100;
const ENOUGH: f64 = 0.1;

/// That there is a minimum, and how near.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Basin {
    /// Upper bound of J − min J.
    pub(super) objective: f64,
    /// Upper bound of ‖w − w*‖ in the norm of the Hessian H at w: no coefficient is further from the minimum's than this
    /// many times √(H⁻¹)ⱼⱼ, its standard error.
    pub(super) distance: f64,
    /// Upper bounds of (H⁻¹)ⱼⱼ.
    pub(super) variances: Vec<f64>,
}

/// Proves that there is a minimum near the point whose gradient is `gradient`; `None` where nothing is proved.
///
/// `factor` is of a matrix that the Hessian H at the point exceeds (H itself, or the part of some rows), in coordinates
/// where no row is longer than `reach`.
///
/// Along a unit vector u let φ(s) = J(w + s·u). The third derivative of a row's loss is at most its second, so φ″ falls
/// no faster than e^−Rs for R = `reach` (J is self-concordant in the sense of Bach 2010, Electronic Journal of Statistics
/// 4:384). With λ² = ∇JᵀH⁻¹∇J and h² = φ″(0) ≥ μ, the smallest eigenvalue, φ′(s) ≥ −λ·h + h²·(1 − e^−Rs)/R. Where
/// x = λR/√μ ≤ ½ every line therefore rises from s = −log(1−x)/R on: there is a minimum, no further away than
/// −λ·log(1−x)/x ≤ 1.39·λ in the norm of H, and integrating bounds the way down to it by
/// λ²·(x + (1−x)·log(1−x))/x² ≤ 0.62·λ². 1/μ is no more than the trace of H⁻¹, which a smaller matrix only enlarges.
pub(super) fn basin(factor: &Cholesky, gradient: &[f64], reach: f64) -> Option<Basin> {
    let variances = factor.inverse_diagonal();
    let trace: f64 = variances.iter().sum();
    let decrement_squared: f64 = factor.solve(gradient).iter().zip(gradient).map(|(x, g)| x * g).sum();
    let sound = factor.is_exact() && trace * factor.largest_diagonal() <= TRUSTED;
    if sound { within(decrement_squared, trace, variances, reach) } else { None }
}

/// The same where H exceeds a matrix that exceeds the one that has nothing but this `diagonal`: without a factor of the first.
pub(super) fn basin_on_diagonal(below: &Mat<f64>, diagonal: &[f64], gradient: &[f64], reach: f64) -> Option<Basin> {
    let variances: Vec<f64> = diagonal.iter().map(|d| 1.0 / d).collect();
    let largest = variances.iter().copied().fold(0.0, f64::max);
    within(inverse_length(below, &variances, gradient), largest, variances, reach)
}

/// Upper bound of gᵀA⁻¹g, where A⁻¹ is exceeded by a matrix that has nothing but the diagonal `inverse`.
///
/// For any x and r = g − A·x it is xᵀ(g + r) + rᵀA⁻¹r; x is what a few steps of conjugate gradients find.
fn inverse_length(a: &Mat<f64>, inverse: &[f64], g: &[f64]) -> f64 {
    let times = |v: &[f64]| -> Vec<f64> { (0..v.len()).into_par_iter().map(|j| dot(a.col_as_slice(j), v)).collect() };
    let scaled = |r: &[f64]| -> Vec<f64> { r.iter().zip(inverse).map(|(r, v)| r * v).collect() };
    let (mut x, mut r) = (vec![0.0; g.len()], g.to_vec());
    let mut direction = scaled(&r);
    let mut length = dot(&r, &direction);
    for _ in 0..STEPS {
        // What is left of the bound then is worth no more steps.
        if length <= ENOUGH * dot(&x, g) {
            break;
        }
        let product = times(&direction);
        let step = length / dot(&direction, &product);
        if !step.is_finite() {
            break;
        }
        x.iter_mut().zip(&direction).for_each(|(x, d)| *x += step * d);
        r.iter_mut().zip(&product).for_each(|(r, p)| *r -= step * p);
        let next = scaled(&r);
        let before = std::mem::replace(&mut length, dot(&r, &next));
        direction.iter_mut().zip(&next).for_each(|(d, n)| *d = n + length / before * *d);
    }
    // Not what the steps made of it, which rounding has a part in.
    let r: Vec<f64> = times(&x).iter().zip(g).map(|(ax, g)| g - ax).collect();
    dot(&x, g) + dot(&x, &r) + dot(&r, &scaled(&r))
}

/// [`basin`] from upper bounds of λ², of 1/μ and of the `variances`.
fn within(decrement_squared: f64, inverse: f64, variances: Vec<f64>, reach: f64) -> Option<Basin> {
    let decrement = decrement_squared.sqrt();
    let (objective, distance) = (BASIN_DEPTH * decrement_squared, BASIN_WIDTH * decrement);
    (decrement * reach * inverse.sqrt() <= NEAR).then_some(Basin { objective, distance, variances })
}

/// What the bounds of a penalised fit are computed from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Penalised<'a> {
    /// ∂J/∂βⱼ with every column centred.
    pub(super) slopes: &'a [f64],
    /// Standard deviation of every column.
    pub(super) spreads: &'a [f64],
    /// What the penalty of every column is multiplied by, positive.
    pub(super) factors: &'a [f64],
    /// ∂J/∂β₀ and ∂²J/∂β₀² on centred columns, where there is an intercept.
    pub(super) intercept: Option<(f64, f64)>,
    /// S = Σ s.
    pub(super) weight_sum: f64,
    /// The penalty's factor, positive.
    pub(super) l2: f64,
}

/// The length of slopes ∂J/∂γⱼ, or of spreads of the columns that belong to them, for γⱼ = √fⱼ·βⱼ: a penalty ½·l2·Σ fⱼβⱼ² is ½·l2·‖γ‖².
/// There may be those of several classes, one after the other.
fn scaled_norm(values: &[f64], factors: &[f64]) -> f64 {
    length(values.iter().zip(factors.iter().cycle()).map(|(v, f)| v / f.sqrt()))
}

/// No distance in β is more than this many times the one in γ.
fn back_to_original(factors: &[f64]) -> f64 {
    factors.iter().copied().fold(f64::INFINITY, f64::min).sqrt().recip()
}

/// Upper bounds of J − min J and of ‖β − β*‖, up to rounding in f64; `None` where the intercept is too far off.
///
/// The minimum of J over the intercept is a function of γ, where γⱼ = √fⱼ·βⱼ, that is l2-strongly convex, so with g its gradient
/// J − min J ≤ ‖g‖²/(2·l2) and ‖γ − γ*‖ ≤ ‖g‖/l2. g is ∇_γJ where the intercept is the best one for γ. That is a step δ
/// away: ∂²J/∂β₀² falls no faster than e^−|δ|, so |δ| ≤ −log(1 − |∂J/∂β₀|/(∂²J/∂β₀²)). Over δ each slope on a centred column
/// changes by at most ¼·|δ|·Σ s|x − mean| ≤ ¼·|δ|·S·sd, and J by at most |∂J/∂β₀|·|δ|. No pass over X is needed.
pub(super) fn penalised(at: Penalised<'_>) -> Option<(f64, f64)> {
    let shift = match at.intercept {
        None => 0.0,
        Some((slope, curvature)) if slope.abs() < curvature => -(-slope.abs() / curvature).ln_1p(),
        Some(_) => return None,
    };
    let norm = |values| scaled_norm(values, at.factors);
    let slope = norm(at.slopes) + 0.25 * shift * at.weight_sum * norm(at.spreads);
    let lost = at.intercept.map_or(0.0, |(slope, _)| slope.abs() * shift);
    Some((slope / (2.0 * at.l2) * slope + lost, slope / at.l2 * back_to_original(at.factors)))
}

/// What the bounds of a penalised fit of several classes are computed from.
#[derive(Debug, Clone, Copy)]
pub(super) struct PenalisedClasses<'a> {
    /// ∂J/∂βⱼₖ with every column centred, class by class.
    pub(super) slopes: &'a [f64],
    /// Standard deviation of every column.
    pub(super) spreads: &'a [f64],
    /// What the penalty of every column is multiplied by, positive.
    pub(super) factors: &'a [f64],
    /// ∂J/∂β₀ₖ of each class, and the smallest curvature of J in β₀ but for that of moving all classes alike, where there is an
    /// intercept.
    pub(super) intercept: Option<(&'a [f64], f64)>,
    /// S = Σ s.
    pub(super) weight_sum: f64,
    /// The penalty's factor, positive.
    pub(super) l2: f64,
}

/// As [`penalised`]. Along a unit vector that sums to 0 the logits of two classes part by at most √2, and a row's third
/// derivative is at most that part times its second, so the best β₀ are a step δ away with |δ| ≤ −log(1 − √2·|∂J/∂β₀|/μ)/√2. Over
/// it the probabilities of a row change by at most ½·|δ|, so the slopes of all classes on a centred column by ½·|δ|·S·sd.
pub(super) fn penalised_classes(at: PenalisedClasses<'_>) -> Option<(f64, f64)> {
    let norm = |values| scaled_norm(values, at.factors);
    let root = std::f64::consts::SQRT_2;
    let (slope, shift) = match at.intercept {
        None => (0.0, 0.0),
        Some((slopes, curvature)) => {
            let slope = scaled_norm(slopes, &[1.0]);
            let steep = root * slope / curvature;
            if !(0.0..1.0).contains(&steep) {
                return None;
            }
            (slope, -(-steep).ln_1p() / root)
        }
    };
    let all = norm(at.slopes) + 0.5 * shift * at.weight_sum * norm(at.spreads);
    Some((all / (2.0 * at.l2) * all + slope * shift, all / at.l2 * back_to_original(at.factors)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::Mat;

    #[test]
    fn the_bounds_of_a_penalty_hold_and_are_of_use() {
        let x = [0.3, -1.2, 0.8, 0.1, -0.5, 2.0, 1.4, -0.9];
        let mean = x.iter().sum::<f64>() / 8.0;
        let x: Vec<f64> = x.iter().map(|x| x - mean).collect();
        let target = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
        let l2 = 0.7;
        // J, its two slopes, and its curvature in β, in both, and in β₀.
        let objective = |w: &[f64]| {
            let mut all = [0.5 * l2 * w[0] * w[0], l2 * w[0], 0.0, l2, 0.0, 0.0];
            for (x, t) in x.iter().zip(&target) {
                let a = x * w[0] + w[1];
                let y = 1.0 / (1.0 + (-a).exp());
                let (r, c) = (y - t, y * (1.0 - y));
                let terms = [(1.0 + a.exp()).ln() - t * a, r * x, r, c * x * x, c * x, c];
                all.iter_mut().zip(terms).for_each(|(all, term)| *all += term);
            }
            all
        };
        let mut best = vec![0.0, 0.0];
        for _ in 0..50 {
            let [_, slope, intercept_slope, h, mixed, intercept_h] = objective(&best);
            let determinant = h * intercept_h - mixed * mixed;
            best[0] -= (intercept_h * slope - mixed * intercept_slope) / determinant;
            best[1] -= (h * intercept_slope - mixed * slope) / determinant;
        }
        let spread = (x.iter().map(|x| x * x).sum::<f64>() / 8.0).sqrt();
        let mut seen = 0;
        for (off, intercept_off) in [(0.0, 0.0), (1e-3, 0.0), (0.0, 1e-3), (0.1, -0.2), (-0.4, 0.3)] {
            let w = [best[0] + off, best[1] + intercept_off];
            let [value, slope, intercept_slope, _, _, intercept_h] = objective(&w);
            let bound = |intercept| {
                let (slopes, spreads) = (&[slope], &[spread]);
                let at = Penalised { slopes, spreads, factors: &[1.0], intercept, weight_sum: 8.0, l2 };
                penalised(at).unwrap()
            };
            let (most, coefficients) = bound(Some((intercept_slope, intercept_h)));
            let gap = value - objective(&best)[0];
            assert!(gap <= most + 1e-14 && off.abs() <= coefficients + 1e-14, "{w:?}: {gap} {most}");
            assert!(most <= 30.0 * gap + 1e-14, "{w:?}: {most} is no use against {gap}");
            // Negative control: an intercept that is off and not accounted for.
            if off == 0.0 && intercept_off != 0.0 {
                assert!(!(gap <= bound(None).0 / 30.0));
            }
            seen += 1;
        }
        assert_eq!(seen, 5);
        let (slopes, spreads, factors) = (&[0.0], &[1.0], &[1.0]);
        let far = Penalised { slopes, spreads, factors, intercept: Some((2.0, 1.0)), weight_sum: 8.0, l2 };
        assert_eq!(penalised(far), None);
    }

    #[test]
    fn the_bounds_hold_where_columns_are_penalised_by_factors() {
        let x = [[0.3, 1.0], [-1.2, 0.4], [0.8, -0.7], [0.1, -1.1], [-0.9, 0.2], [0.9, 0.2]];
        let target = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0];
        let (l2, factors) = (40.0, [0.1, 3.0]);
        // J, its slopes and its Hessian in both columns, which are centred, and the intercept.
        let objective = |w: &[f64; 3]| {
            let (mut value, mut slopes, mut h) = (0.0, vec![0.0; 3], Mat::<f64>::zeros(3, 3));
            for (x, t) in x.iter().zip(&target) {
                let row = [x[0], x[1], 1.0];
                let a: f64 = row.iter().zip(w).map(|(x, w)| x * w).sum();
                let y = 1.0 / (1.0 + (-a).exp());
                value += (1.0 + a.exp()).ln() - t * a;
                for i in 0..3 {
                    slopes[i] += (y - t) * row[i];
                    (0..3).for_each(|j| h[(i, j)] += y * (1.0 - y) * row[i] * row[j]);
                }
            }
            for (j, f) in factors.iter().enumerate() {
                value += 0.5 * l2 * f * w[j] * w[j];
                slopes[j] += l2 * f * w[j];
                h[(j, j)] += l2 * f;
            }
            (value, slopes, h)
        };
        let mut best = [0.0; 3];
        for _ in 0..50 {
            let (_, slopes, h) = objective(&best);
            let step = Cholesky::new(&h).unwrap().solve(&slopes);
            best.iter_mut().zip(step).for_each(|(w, d)| *w -= d);
        }
        let spread = |j: usize| (x.iter().map(|x| x[j] * x[j]).sum::<f64>() / 6.0).sqrt();
        let spreads = [spread(0), spread(1)];
        let (mut seen, mut violated) = (0, 0);
        for off in [[0.1, 0.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.1], [0.3, -0.2, 0.1], [-0.01, 0.02, -0.1]] {
            let w = [best[0] + off[0], best[1] + off[1], best[2] + off[2]];
            let (value, slopes, h) = objective(&w);
            let intercept = Some((slopes[2], h[(2, 2)]));
            let bound = |factors: &[f64]| {
                let (slopes, spreads) = (&slopes[..2], &spreads);
                penalised(Penalised { slopes, spreads, factors, intercept, weight_sum: 6.0, l2 }).unwrap()
            };
            let (gap, away) = (value - objective(&best).0, off[0].hypot(off[1]));
            let (most, furthest) = bound(&factors);
            assert!(gap <= most + 1e-14 && away <= furthest + 1e-14, "{off:?}: {gap} {most}, {away} {furthest}");
            assert!(most <= 30.0 * gap, "{off:?}: {most} is no use against {gap}");
            // Negative control: the bounds of other factors do not hold.
            violated += usize::from(!(gap <= bound(&[1.0, 1.0]).0));
            // The same J is that of a softmax of the logits ½·a and −½·a with twice the l2.
            let classes = [&slopes[..2], &[-slopes[0], -slopes[1]]].concat();
            let (ones, spreads) = ([slopes[2], -slopes[2]], &spreads);
            let curvature = 2.0 * h[(2, 2)];
            let intercept = Some((ones.as_slice(), curvature));
            let (slopes, factors) = (classes.as_slice(), &factors[..]);
            let at = PenalisedClasses { slopes, spreads, factors, intercept, weight_sum: 6.0, l2: 2.0 * l2 };
            let (most, furthest) = penalised_classes(at).unwrap();
            assert!(gap <= most + 1e-14 && away <= 2f64.sqrt() * furthest + 1e-14, "{off:?}: {gap} {most}");
            seen += 1;
        }
        assert_eq!((seen, violated > 0), (5, true), "{violated}");
    }

    /// J of one coefficient: two rows x = 1 with targets 1 and `t`, as [value, slope, curvature].
    fn pair(t: f64, w: f64) -> [f64; 3] {
        let y = 1.0 / (1.0 + (-w).exp());
        let loss = |t: f64| (1.0 + w.exp()).ln() - t * w;
        [loss(1.0) + loss(t), 2.0 * y - 1.0 - t, 2.0 * y * (1.0 - y)]
    }

    #[test]
    fn an_inverse_length_is_bounded_and_nearly_met() {
        for n in [1, 5, 90] {
            let mut a = Mat::from_fn(n, n, |i, j| (((3 * i + 1) * (3 * j + 1)) as f64).sin() / n as f64);
            (0..n).for_each(|i| a[(i, i)] += 1.0 + 0.2 * (i % 3) as f64);
            let g: Vec<f64> = (0..n).map(|i| ((i * i) as f64).cos()).collect();
            let exact = dot(&Cholesky::new(&a).unwrap().solve(&g), &g);
            // A exceeds a tenth of its diagonal.
            let inverse: Vec<f64> = (0..n).map(|i| 10.0 / a[(i, i)]).collect();
            assert!(crate::linalg::exceeds_part_of_diagonal(&mut a, 0.1));
            let bound = inverse_length(&a, &inverse, &g);
            assert!(bound >= exact * (1.0 - 1e-14) && bound <= (1.0 + ENOUGH) * exact, "{n}: {bound} for {exact}");
        }
    }

    #[test]
    fn a_minimum_is_proved_near_it_only_and_the_gap_holds() {
        // Targets 1 and 0.2: the minimum lies at σ(w) = 0.6.
        let best = (0.6f64 / 0.4).ln();
        let mut proved = 0;
        for k in 0..=40 {
            let w = best - 2.0 + 0.1 * f64::from(k);
            let [value, slope, curvature] = pair(0.2, w);
            let factor = Cholesky::new(&Mat::from_fn(1, 1, |_, _| curvature)).unwrap();
            if let Some(basin) = basin(&factor, &[slope], 1.0) {
                let above = value - pair(0.2, best)[0];
                let away = (w - best).abs() * curvature.sqrt();
                assert!(above <= basin.objective + 1e-15 && away <= basin.distance + 1e-15, "{w}: {basin:?}");
                assert!(basin.objective <= 2.0 * above + 1e-15, "{w}: {basin:?} is no use against {above:e}");
                assert!(basin.distance <= 2.0 * away + 1e-15, "{w}: {basin:?} is no use against {away:e}");
                // What is less than it says as much where it is near enough.
                let curvature = Mat::from_fn(1, 1, |_, _| curvature);
                let looser = basin_on_diagonal(&curvature, &[0.5 * curvature[(0, 0)]], &[slope], 1.0);
                let ratio = looser.map_or(1.0, |looser| looser.objective / basin.objective);
                assert!((ratio - 1.0).abs() < 1e-12, "{ratio}");
                proved += 1;
            }
        }
        assert!(proved > 5 && proved < 40, "{proved}");
    }

    #[test]
    fn no_minimum_is_proved_where_there_is_none() {
        // Both targets 1: J falls for ever.
        for k in 0..60 {
            let [_, slope, curvature] = pair(1.0, f64::from(k) * 0.5);
            let factor = Cholesky::new(&Mat::from_fn(1, 1, |_, _| curvature)).unwrap();
            assert_eq!(basin(&factor, &[slope], 1.0), None, "at {}", f64::from(k) * 0.5);
            let below = Mat::from_fn(1, 1, |_, _| curvature);
            assert_eq!(basin_on_diagonal(&below, &[curvature], &[slope], 1.0), None, "at {}", f64::from(k) * 0.5);
        }
    }
}
