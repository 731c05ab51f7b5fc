//! Tail probabilities and quantiles of the normal and the χ² distribution, good to the last digits far out in the tails.

use std::f64::consts::SQRT_2;

/// Newton steps of a quantile at the most; a handful is enough.
const MOST_STEPS: usize = 60;

/// P(|Z| ≥ |z|) of a standard normal Z: erfc(|z|/√2), which is above 0 up to |z| = 38.
pub fn normal_two_sided(z: f64) -> f64 {
    libm::erfc(z.abs() / SQRT_2)
}

/// z with P(|Z| ≤ z) = `level`, in (0, 1), of a standard normal Z.
///
/// Newton's method on log erfc(x) = log(1 − level), which is concave: since erfc(x) ≤ e^−x², √−log(1 − level) lies beyond the
/// root, and from there on every step ends between the root and the one before.
pub fn normal_quantile(level: f64) -> f64 {
    let tail = 1.0 - level;
    let mut x = (-tail.ln()).sqrt();
    for _ in 0..MOST_STEPS {
        let (value, slope) = (libm::erfc(x), std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp());
        let step = value * (value / tail).ln() / slope;
        x += step;
        if !(step.abs() > f64::EPSILON * x) {
            break;
        }
    }
    SQRT_2 * x
}

/// P(C ≥ x) of a χ² variable C with `df` degrees of freedom, 1 or more.
///
/// With h = x/2 it is Σ hᵃe^−h/Γ(a+1), over a = 0, 1, … below df/2 where df is even; where it is odd over a = ½, 1½, … and
/// erfc(√h) (repeated integration by parts of the density; no term is negative, so nothing cancels).
pub fn chi_squared_tail(x: f64, df: usize) -> f64 {
    if !(x > 0.0) {
        return if x.is_nan() { x } else { 1.0 };
    }
    let h = 0.5 * x;
    let (half, start) = if df.is_multiple_of(2) { (0.0, 0.0) } else { (libm::erfc(h.sqrt()), 0.5) };
    let terms = (0..df / 2).map(|i| {
        let a = start + i as f64;
        (a * h.ln() - h - libm::lgamma(a + 1.0)).exp()
    });
    // At the most 1, but for rounding.
    (half + terms.sum::<f64>()).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64, tolerance: f64) {
        assert!((found / expected - 1.0).abs() <= tolerance, "{found:e} for {expected:e}");
    }

    #[test]
    fn tails_are_right_where_they_are_tiny() {
        // mpmath at 30 digits: erfc(z/sqrt(2)).
        for (z, p) in TWO_SIDED {
            close(normal_two_sided(z), p, 2e-13);
            assert_eq!(normal_two_sided(z), normal_two_sided(-z));
        }
        assert_eq!(normal_two_sided(0.0), 1.0);
        assert!(normal_two_sided(38.4) > 0.0);
        // mpmath at 30 digits: gammainc(df/2, x/2, inf, regularized=True).
        for (x, df, p) in CHI_SQUARED {
            close(chi_squared_tail(x, df), p, 2e-12);
        }
        assert_eq!((chi_squared_tail(0.0, 3), chi_squared_tail(-1e-9, 2)), (1.0, 1.0));
        assert!(chi_squared_tail(f64::NAN, 1).is_nan() && chi_squared_tail(1e-300, 4) == 1.0);
    }

    #[test]
    fn quantiles_undo_tails() {
        // mpmath at 30 digits: sqrt(2)*erfinv(level), of the level as it is in f64.
        for (level, z) in QUANTILES {
            close(normal_quantile(level), z, 4e-15);
        }
        for level in [1e-9, 0.1, 0.38, 0.7, 0.997, 1.0 - 1e-12] {
            close(normal_two_sided(normal_quantile(level)), 1.0 - level, 1e-13);
        }
    }

    const TWO_SIDED: [(f64, f64); 5] = [
        (0.5, 0.6170750774519738),
        (1.96, 0.04999579029644087),
        (5.0, 5.733031437583878e-7),
        (10.0, 1.523970604832105e-23),
        (37.0, 1.1451142445049154e-299),
    ];
    const CHI_SQUARED: [(f64, usize, f64); 9] = [
        (3.5, 1, 0.06136882913940217),
        (3.5, 2, 0.17377394345044514),
        (15.40419, 3, 0.0015018793534976062),
        (0.01, 7, 0.999999999243059),
        (120.5, 100, 0.07966860332541582),
        (900.25, 31, 2.991428067748542e-169),
        (1350.0, 5, 9.38661306380067e-290),
        (1900.0, 2000, 0.944_945_313_769_261_9),
        (2100.0, 2000, 0.05867111137731808),
    ];
    const QUANTILES: [(f64, f64); 5] = [
        (0.5, 0.6744897501960817),
        (0.9, 1.6448536269514729),
        (0.95, 1.9599639845400538),
        (0.99, 2.5758293035489004),
        (0.999999, 4.891638475692932),
    ];
}
