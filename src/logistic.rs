//! σ and ℓ in f64, for engines, metrics and predictions: the counterpart of `shaders/common/logistic.wgsl`.
//!
//! All of them come from e^−|a|, which cannot overflow.

/// y = σ(a) = 1/(1+e^−a), in [0, 1] for every a.
#[inline]
pub fn sigmoid(a: f64) -> f64 {
    let e = (-a.abs()).exp();
    if a >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// log(1+eᵘ), which is ℓ(0, u) and ℓ(1, −u); infinite only for u = ∞.
#[inline]
pub fn softplus(u: f64) -> f64 {
    u.max(0.0) + (-u.abs()).exp().ln_1p()
}

/// The residual y − t and the loss ℓ(t, a) = log(1+eᵃ) − t·a.
///
/// y − t is (1−t) − σ(−a) for a ≥ 0, so that a row far on its own side keeps its digits instead of becoming 0;
/// log(1+eᵃ) = max(a, 0) + log(1 + e^−|a|).
#[inline]
pub fn residual_and_loss(a: f64, t: f64) -> (f64, f64) {
    let e = (-a.abs()).exp();
    let small = e / (1.0 + e);
    let residual = if a >= 0.0 { (1.0 - t) - small } else { small - t };
    (residual, a.max(0.0) - t * a + e.ln_1p())
}

/// y(1−y) at y = σ(a), without cancellation.
#[inline]
pub fn variance(a: f64) -> f64 {
    let e = (-a.abs()).exp();
    e / ((1.0 + e) * (1.0 + e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finite_and_consistent_for_huge_logits() {
        for a in [0.0, 1e-3, 1.0, 36.0, 700.0, 750.0, 1e4] {
            for a in [a, -a] {
                let y = sigmoid(a);
                let (r1, at_one) = residual_and_loss(a, 1.0);
                let (r0, at_zero) = residual_and_loss(a, 0.0);
                assert!((0.0..=1.0).contains(&y) && at_one >= 0.0 && at_zero >= 0.0);
                assert!((at_zero - at_one - a).abs() <= 1e-12 * a.abs().max(1.0));
                assert!((r0 - y).abs() < 1e-15 && (r1 - (y - 1.0)).abs() < 1e-15);
                assert!((variance(a) - y * (1.0 - y)).abs() < 1e-15);
            }
        }
    }

    #[test]
    fn a_row_far_on_its_own_side_keeps_its_residual() {
        let (r, _) = residual_and_loss(50.0, 1.0);
        assert!((r / -(-50f64).exp() - 1.0).abs() < 1e-12, "{r:e}");
        let (r, _) = residual_and_loss(-50.0, 0.0);
        assert!((r / (-50f64).exp() - 1.0).abs() < 1e-12, "{r:e}");
    }
}
