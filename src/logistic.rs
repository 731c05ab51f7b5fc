//! σ and ℓ in f64, one by one for metrics and predictions, and eight at a time for engines: the counterpart of
//! `shaders/common/logistic.wgsl`.
//!
//! All of them come from e^−|a|, which cannot overflow.

use std::f64::consts::{LN_2, LOG2_E};

use crate::octet::Octet;

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

/// ln 2 in two parts; the first ends in zeros, so its product with a small whole number is exact.
const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// Adding this leaves the nearest whole number k in the last bits of a fraction, as 1023 + k: the exponent of 2ᵏ.
const TO_EXPONENT: f64 = 6_755_399_441_055_744.0 + 1023.0;
/// e^−708 is the least that has all its bits; below it e^x is taken to be 0.
const LEAST: f64 = -708.0;
/// 1/12!, 1/11!, …, 1/2!: beyond them |x| ≤ ½·ln 2 leaves x¹³/13! < 2⁻⁵².
const TAYLOR: [f64; 11] = [
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
];
/// 2/21, 2/19, …, 2/3: log((1+z)/(1−z)) = 2z + ⅔z³ + …; beyond them |z| ≤ 0.172 leaves 2z²³/23 < 2⁻⁵⁵·z.
const ATANH: [f64; 10] = [
    2.0 / 21.0,
    2.0 / 19.0,
    2.0 / 17.0,
    2.0 / 15.0,
    2.0 / 13.0,
    2.0 / 11.0,
    2.0 / 9.0,
    2.0 / 7.0,
    2.0 / 5.0,
    2.0 / 3.0,
];
/// √2 − 1: from here on 1 + e is halved before its logarithm is taken.
const HALVED: f64 = std::f64::consts::SQRT_2 - 1.0;

/// `coefficients` as a polynomial in x, highest power first.
#[inline(always)]
fn polynomial<O: Octet, const N: usize>(o: O, x: O::F, coefficients: &[f64; N]) -> O::F {
    let mut sum = o.splat(coefficients[0]);
    for c in &coefficients[1..] {
        sum = o.mul_add(sum, x, o.splat(*c));
    }
    sum
}

/// log((1+z)/(1−z)) = 2·atanh z of eight z, |z| ≤ 0.172.
#[inline(always)]
fn twice_atanh_octet<O: Octet>(o: O, z: O::F) -> O::F {
    let z2 = o.mul(z, z);
    o.mul_add(o.mul(z, z2), polynomial(o, z2, &ATANH), o.add(z, z))
}

/// e^−|a| of eight a, to 2 units in the last place for |a| ≤ 708.
#[inline(always)]
pub fn decay_octet<O: Octet>(o: O, a: O::F) -> O::F {
    let least = o.splat(LEAST);
    let below = o.sub(o.splat(0.0), o.abs(a));
    let x = o.max(below, least);
    let exponent = o.mul_add(x, o.splat(LOG2_E), o.splat(TO_EXPONENT));
    let k = o.sub(exponent, o.splat(TO_EXPONENT));
    let r = o.mul_add(k, o.splat(-LN_2_LOW), o.mul_add(k, o.splat(-LN_2_HIGH), x));
    let tail = polynomial(o, r, &TAYLOR);
    let e = o.add(o.mul_add(o.mul(tail, r), r, r), o.splat(1.0));
    o.select_ge(below, least, o.mul(e, o.shift_to_exponent(exponent)), o.splat(0.0))
}

/// log(1+q) of eight q in [0, 15], to 4 units in the last place.
#[inline(always)]
pub fn log1p_octet<O: Octet>(o: O, q: O::F) -> O::F {
    let one = o.splat(1.0);
    let x = o.add(one, q);
    // What 1 + q loses of a small q.
    let lost = o.sub(q, o.sub(x, one));
    o.add(log_of(o, x, &POWERS[1..]), o.div(lost, x))
}

/// The residual y − t of eight rows, the part max(a, 0) − t·a of their loss, and the e = e^−|a| of which the rest is log(1+e).
#[inline(always)]
pub fn residual_linear_decay_octet<O: Octet>(o: O, a: O::F, t: O::F) -> [O::F; 3] {
    let (zero, one) = (o.splat(0.0), o.splat(1.0));
    let e = decay_octet(o, a);
    let small = o.div(e, o.add(one, e));
    let residual = o.select_ge(a, zero, o.sub(o.sub(one, t), small), o.sub(small, t));
    [residual, o.sub(o.max(a, zero), o.mul(t, a)), e]
}

/// [`residual_and_loss`] of eight rows, from one division: to 4 units in the last place of the probability and of 1 + |a|.
#[inline(always)]
pub fn residual_and_loss_octet<O: Octet>(o: O, a: O::F, t: O::F) -> (O::F, O::F) {
    let (zero, one) = (o.splat(0.0), o.splat(1.0));
    let e = decay_octet(o, a);
    // log(1+e) = 2·atanh(e/(2+e)), or with (1+e)/2 in the place of 1+e log 2 + 2·atanh((e−1)/(e+3)).
    let halved = o.splat(HALVED);
    let numerator = o.select_ge(e, halved, o.sub(e, one), e);
    let denominator = o.select_ge(e, halved, o.add(e, o.splat(3.0)), o.add(e, o.splat(2.0)));
    let one_and_e = o.add(one, e);
    let quotient = o.div(one, o.mul(one_and_e, denominator));
    let small = o.mul(o.mul(e, denominator), quotient);
    let z = o.mul(o.mul(numerator, one_and_e), quotient);
    let log1p = twice_atanh_octet(o, z);
    let log1p = o.add(log1p, o.select_ge(e, halved, o.splat(LN_2), zero));
    let residual = o.select_ge(a, zero, o.sub(o.sub(one, t), small), o.sub(small, t));
    let linear = o.sub(o.max(a, zero), o.mul(t, a));
    (residual, o.add(linear, log1p))
}

/// Adding this to an f32 leaves the nearest whole number k in the last bits of its fraction, as 127 + k.
const TO_EXPONENT_16: f32 = 12_582_912.0 + 127.0;
/// ln 2 in two parts; the first has nine bits, so its product with a small whole number is exact in f32.
const LN_2_HIGH_16: f32 = 355.0 / 512.0;
const LN_2_LOW_16: f32 = -2.121_944_4e-4;
/// e^−87 is nearly the least that f32 holds with all its bits; what lies beyond is taken for it.
const LEAST_16: f32 = -87.0;
/// 1/7!, …, 1/2!, and 2/15, …, 2/3, as in `shaders/common/logistic.wgsl`, whose bounds hold here too.
const TAYLOR_16: [f32; 6] = [1.0 / 5_040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5];
const ATANH_16: [f32; 7] = [2.0 / 15.0, 2.0 / 13.0, 2.0 / 11.0, 2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0];

/// [`polynomial`] of sixteen f32.
#[inline(always)]
fn polynomial_16<O: Octet, const N: usize>(o: O, x: O::S, coefficients: &[f32; N]) -> O::S {
    let mut sum = o.splat_16(coefficients[0]);
    for c in &coefficients[1..] {
        sum = o.mul_add_16(sum, x, o.splat_16(*c));
    }
    sum
}

/// log((1+z)/(1−z)) = 2·atanh z of sixteen f32, |z| ≤ 1/3.
#[inline(always)]
fn twice_atanh_16<O: Octet>(o: O, z: O::S) -> O::S {
    let z2 = o.mul_16(z, z);
    o.mul_add_16(o.mul_16(z, z2), polynomial_16(o, z2, &ATANH_16), o.add_16(z, z))
}

/// e^−|a| of sixteen f32, or e^−87 where that is more, to 3 units in the last place.
#[inline(always)]
pub fn decay_16<O: Octet>(o: O, a: O::S) -> O::S {
    let x = o.max_16(o.sub_16(o.splat_16(0.0), o.abs_16(a)), o.splat_16(LEAST_16));
    let exponent = o.mul_add_16(x, o.splat_16(std::f32::consts::LOG2_E), o.splat_16(TO_EXPONENT_16));
    let k = o.sub_16(exponent, o.splat_16(TO_EXPONENT_16));
    let r = o.mul_add_16(k, o.splat_16(-LN_2_LOW_16), o.mul_add_16(k, o.splat_16(-LN_2_HIGH_16), x));
    let tail = polynomial_16(o, r, &TAYLOR_16);
    let e = o.add_16(o.mul_add_16(o.mul_16(tail, r), r, r), o.splat_16(1.0));
    o.mul_16(e, o.shift_to_exponent_16(exponent))
}

/// Powers of two by which x is divided, from those of these that are at the least as large as it is over √2.
const POWERS: [(f64, f64); 4] = [(16.0, 4.0), (4.0, 2.0), (2.0, 1.0), (std::f64::consts::SQRT_2, 1.0)];

/// log x of eight x in [1, 256), to 2 units in the last place of 1 + log x.
#[inline(always)]
pub fn log_octet<O: Octet>(o: O, x: O::F) -> O::F {
    log_of(o, x, &POWERS)
}

/// [`log_octet`] where `powers` suffice.
#[inline(always)]
fn log_of<O: Octet>(o: O, mut x: O::F, powers: &[(f64, f64)]) -> O::F {
    let (zero, one) = (o.splat(0.0), o.splat(1.0));
    let mut log = zero;
    for &(from, power) in powers {
        let (from, by) = (o.splat(from), o.splat((-power).exp2()));
        log = o.add(log, o.select_ge(x, from, o.splat(power * LN_2), zero));
        x = o.mul(x, o.select_ge(x, from, by, one));
    }
    // log x = 2·atanh((x−1)/(x+1)), and |(x−1)/(x+1)| ≤ 0.172.
    let z = o.div(o.sub(x, one), o.add(x, one));
    o.add(log, twice_atanh_octet(o, z))
}

/// [`log_octet`] of sixteen f32.
#[inline(always)]
pub fn log_16<O: Octet>(o: O, mut x: O::S) -> O::S {
    let (zero, one) = (o.splat_16(0.0), o.splat_16(1.0));
    let mut log = zero;
    for (from, power) in POWERS {
        let (from, by) = (o.splat_16(from as f32), o.splat_16((-power).exp2() as f32));
        log = o.add_16(log, o.select_ge_16(x, from, o.splat_16((power * LN_2) as f32), zero));
        x = o.mul_16(x, o.select_ge_16(x, from, by, one));
    }
    let z = o.div_16(o.sub_16(x, one), o.add_16(x, one));
    o.add_16(log, twice_atanh_16(o, z))
}

/// [`residual_and_loss`] of sixteen rows in f32, from one division: the probability to 3·10⁻⁷, the loss to 5·10⁻⁷ of 1 + |a|.
#[inline(always)]
pub fn residual_and_loss_16<O: Octet>(o: O, a: O::S, t: O::S) -> (O::S, O::S) {
    let (zero, one) = (o.splat_16(0.0), o.splat_16(1.0));
    let e = decay_16(o, a);
    // log(1+e) = 2·atanh(e/(2+e)).
    let (one_and_e, two_and_e) = (o.add_16(one, e), o.add_16(o.splat_16(2.0), e));
    let quotient = o.div_16(one, o.mul_16(one_and_e, two_and_e));
    let small = o.mul_16(o.mul_16(e, two_and_e), quotient);
    let z = o.mul_16(o.mul_16(e, one_and_e), quotient);
    let log1p = twice_atanh_16(o, z);
    let residual = o.select_ge_16(a, zero, o.sub_16(o.sub_16(one, t), small), o.sub_16(small, t));
    let linear = o.sub_16(o.max_16(a, zero), o.mul_16(t, a));
    (residual, o.add_16(linear, log1p))
}

/// [`variance`] of eight rows.
#[inline(always)]
pub fn variance_octet<O: Octet>(o: O, a: O::F) -> O::F {
    let e = decay_octet(o, a);
    let one_and_e = o.add(o.splat(1.0), e);
    o.div(e, o.mul(one_and_e, one_and_e))
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

    /// Residual, loss and variance of eight rows.
    #[derive(Clone)]
    struct Rows {
        a: [f64; 8],
        t: [f64; 8],
    }

    impl crate::octet::Work for Rows {
        type Output = [[f64; 8]; 3];
        #[inline(always)]
        fn run<O: Octet>(self, o: O) -> [[f64; 8]; 3] {
            let (a, t) = (o.load(&self.a), o.load(&self.t));
            let (residual, loss) = residual_and_loss_octet(o, a, t);
            [o.store(residual), o.store(loss), o.store(variance_octet(o, a))]
        }
    }

    /// Residual and loss of sixteen rows in f32.
    #[derive(Clone)]
    struct Sixteen {
        a: [[f32; 8]; 2],
        t: [[f32; 8]; 2],
    }

    impl crate::octet::Work for Sixteen {
        type Output = [[[f32; 8]; 2]; 2];
        #[inline(always)]
        fn run<O: Octet>(self, o: O) -> [[[f32; 8]; 2]; 2] {
            let (residual, loss) = residual_and_loss_16(o, o.load_16(&self.a), o.load_16(&self.t));
            [o.store_16(residual), o.store_16(loss)]
        }
    }

    #[test]
    fn sixteen_at_a_time_are_within_their_bounds_on_every_instruction_set() {
        let (mut seen, mut worst) = (0, [0f64; 2]);
        for i in 0..20_000 {
            let size = [1.0, 30.0, 1000.0, 1e-4][i % 4];
            let number = |k: usize| size * ((i * 16 + k) as f32 * 0.618_034).fract() * (1.0 - 2.0 * (k % 2) as f32);
            let a: [[f32; 8]; 2] = std::array::from_fn(|h| std::array::from_fn(|k| number(8 * h + k)));
            let t = std::array::from_fn(|h| std::array::from_fn(|k| [0.0, 1.0, 0.25, 1.0][(i + h + k) % 4]));
            let outputs = crate::octet::on_each(&Sixteen { a, t });
            assert!(outputs.iter().all(|output| *output == outputs[0]), "{a:?}");
            for (h, k) in (0..16).map(|k| (k / 8, k % 8)) {
                let (a, t): (f32, f32) = (a[h][k], t[h][k]);
                let (residual, loss) = residual_and_loss(a.into(), t.into());
                let errors = [
                    (f64::from(outputs[0][0][h][k]) - residual).abs() / 3e-7,
                    (f64::from(outputs[0][1][h][k]) - loss).abs() / (5e-7 * (1.0 + f64::from(a.abs()))),
                ];
                for (worst, error) in worst.iter_mut().zip(errors) {
                    assert!(error <= 1.0, "a = {a}, t = {t}: {errors:?}");
                    *worst = worst.max(error);
                }
                seen += 1;
            }
        }
        assert_eq!(seen, 320_000);
        assert!(worst.iter().all(|worst| *worst > 0.05), "the bounds say nothing: {worst:?}");
        for bad in [f32::NAN, f32::INFINITY] {
            let lost = crate::octet::on_each(&Sixteen { a: [[bad; 8]; 2], t: [[0.0; 8]; 2] })[0];
            assert!(lost[1].iter().flatten().all(|loss| !loss.is_finite()), "{bad} must show: {lost:?}");
        }
    }

    /// log(1+q) of eight q.
    #[derive(Clone)]
    struct Log1p([f64; 8]);

    impl crate::octet::Work for Log1p {
        type Output = [f64; 8];
        #[inline(always)]
        fn run<O: Octet>(self, o: O) -> [f64; 8] {
            o.store(log1p_octet(o, o.load(&self.0)))
        }
    }

    #[test]
    fn the_logarithm_of_a_product_keeps_the_digits_of_small_numbers() {
        let (mut seen, mut worst) = (0, 0f64);
        for i in 0..10_000 {
            let size = [15.0, 1.0, 1e-3, 1e-15, 1e-17, 1e-300][i % 6];
            let q = std::array::from_fn(|k| size * ((i * 8 + k) as f64 * 0.618_033_988_75).fract());
            let outputs = crate::octet::on_each(&Log1p(q));
            assert!(outputs.iter().all(|output| *output == outputs[0]), "{q:?}");
            for (q, log) in q.iter().zip(outputs[0]) {
                let error = (log - q.ln_1p()).abs() / (4.0 * f64::EPSILON * q.ln_1p().max(f64::MIN_POSITIVE));
                assert!(error <= 1.0, "log1p({q:e}) is {log:e}");
                worst = worst.max(error);
                seen += 1;
            }
        }
        assert!(seen == 80_000 && worst > 0.05, "the bound says nothing: {worst}");
        assert_eq!(crate::octet::on_each(&Log1p([15.0; 8]))[0], [16f64.ln(); 8]);
    }

    #[test]
    fn eight_at_a_time_agree_with_one_by_one_on_every_instruction_set() {
        let u = f64::EPSILON / 2.0;
        let mut seen = 0;
        let mut worst = [0f64; 3];
        for i in 0..40_000 {
            let size = [1.0, 30.0, 700.0, 1e-4][i % 4];
            let a = std::array::from_fn(|k| {
                size * ((i * 8 + k) as f64 * 0.618_033_988_75).fract() * (1.0 - 2.0 * (k % 2) as f64)
            });
            let t = std::array::from_fn(|k| [0.0, 1.0, 0.25, 1.0][(i + k) % 4]);
            let outputs = crate::octet::on_each(&Rows { a, t });
            assert!(outputs.iter().all(|output| *output == outputs[0]), "{a:?}");
            for k in 0..8 {
                let (residual, loss) = residual_and_loss(a[k], t[k]);
                let small = (-a[k].abs()).exp();
                let errors = [
                    (outputs[0][0][k] - residual).abs() / (4.0 * u * (small + residual.abs())),
                    (outputs[0][1][k] - loss).abs() / (4.0 * u * (small + a[k].abs())),
                    (outputs[0][2][k] - variance(a[k])).abs() / (8.0 * u * small),
                ];
                for (worst, error) in worst.iter_mut().zip(errors) {
                    assert!(error <= 1.0, "a = {}, t = {}: {errors:?}", a[k], t[k]);
                    *worst = worst.max(error);
                }
                seen += 1;
            }
        }
        assert_eq!(seen, 320_000);
        assert!(worst.iter().all(|worst| *worst > 0.05), "the bounds say nothing: {worst:?}");
        let far = crate::octet::on_each(&Rows { a: [800.0; 8], t: [1.0; 8] })[0];
        assert!([far[0][0], far[1][0], far[2][0]] == [0.0; 3], "{far:?}");
        let lost = crate::octet::on_each(&Rows { a: [f64::NAN; 8], t: [0.0; 8] })[0];
        assert!(lost[1].iter().all(|loss| loss.is_nan()), "not a number must show: {lost:?}");
    }
}
