//! What the gradient at a point proves of the optimum.

use crate::linalg::Cholesky;

/// Largest λ·R/√μ for which [`basin`] is proved, and what J can be above its minimum then, as a multiple of λ².
const BASIN: f64 = 0.5;
const BASIN_GAP: f64 = 0.62;
/// Condition number up to which a factor in f64 is believed.
const TRUSTED: f64 = 1e13;

/// An upper bound of J − min J, which is also the proof that there is a minimum; `None` where nothing is proved.
///
/// `factor` is of a matrix below the Hessian H at the point whose gradient is `gradient` (H itself, or that of some of its
/// rows), in coordinates where no row is longer than `reach`.
///
/// Along a unit vector u let φ(s) = J(θ + s·u). The third derivative of a row's loss is at most its second, so φ″ falls
/// no faster than e^−Rs for R = `reach` (J is self-concordant in the sense of Bach 2010, Electronic Journal of Statistics
/// 4:384). With λ² = ∇JᵀH⁻¹∇J and h² = φ″(0) ≥ μ, the smallest eigenvalue, φ′(s) ≥ −λ·h + h²·(1 − e^−Rs)/R: where
/// x = λR/√μ ≤ ½ every line rises in the end, so there is a minimum, and integrating bounds the way down to it by
/// λ²·(x + (1−x)·log(1−x))/x² ≤ 0.62·λ². √μ is bounded from below by the trace of H⁻¹.
pub(super) fn basin(factor: &Cholesky, gradient: &[f64], reach: f64) -> Option<f64> {
    let trace = factor.inverse_trace();
    let decrement_squared: f64 = factor.solve(gradient).iter().zip(gradient).map(|(x, g)| x * g).sum();
    let sound = factor.is_exact() && trace * factor.largest_diagonal() <= TRUSTED && decrement_squared >= 0.0;
    let inside = decrement_squared.sqrt() * reach * trace.sqrt() <= BASIN;
    (sound && inside).then_some(BASIN_GAP * decrement_squared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::Mat;

    /// J of one coefficient: two rows x = 1 with targets 1 and `t`, as [value, slope, curvature].
    fn pair(t: f64, w: f64) -> [f64; 3] {
        let y = 1.0 / (1.0 + (-w).exp());
        let loss = |t: f64| (1.0 + w.exp()).ln() - t * w;
        [loss(1.0) + loss(t), 2.0 * y - 1.0 - t, 2.0 * y * (1.0 - y)]
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
            if let Some(gap) = basin(&factor, &[slope], 1.0) {
                let true_gap = value - pair(0.2, best)[0];
                assert!(true_gap <= gap + 1e-15, "{w}: {true_gap:e} {gap:e}");
                assert!(gap <= 2.0 * true_gap + 1e-15, "{w}: {gap:e} is no use against {true_gap:e}");
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
        }
    }
}
