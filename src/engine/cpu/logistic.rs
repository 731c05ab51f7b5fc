//! σ and ℓ in f64: the counterpart of `shaders/common/logistic.wgsl`.

/// y = σ(a) and ℓ(t, a) = log(1+eᵃ) − t·a, finite for every finite a.
///
/// Both come from e^−|a|: log(1+eᵃ) = max(a, 0) + log(1 + e^−|a|).
#[inline]
pub fn probability_and_loss(a: f64, t: f64) -> (f64, f64) {
    let e = (-a.abs()).exp();
    let y = if a >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) };
    (y, a.max(0.0) - t * a + e.ln_1p())
}

/// σ(a) = 1/(1+e^−a), in [0, 1] for every a.
#[inline]
pub fn sigmoid(a: f64) -> f64 {
    let e = (-a.abs()).exp();
    if a >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// y(1−y) at y = σ(a), which e^−|a| gives without cancellation.
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
            for sign in [1.0, -1.0] {
                let a = a * sign;
                let (y, at_one) = probability_and_loss(a, 1.0);
                let (_, at_zero) = probability_and_loss(a, 0.0);
                assert!((0.0..=1.0).contains(&y) && at_one >= 0.0 && at_zero >= 0.0);
                assert!((at_zero - at_one - a).abs() <= 1e-12 * a.abs().max(1.0));
                assert!((variance(a) - y * (1.0 - y)).abs() < 1e-15);
                assert!((sigmoid(-a) - (1.0 - y)).abs() < 1e-15);
            }
        }
    }
}
