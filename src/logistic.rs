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
pub fn log_16<O: Octet>(o: O, x: O::S) -> O::S {
    log_of_16(o, x, &POWERS)
}

/// [`log_16`] where `powers` suffice.
#[inline(always)]
fn log_of_16<O: Octet>(o: O, mut x: O::S, powers: &[(f64, f64)]) -> O::S {
    let (zero, one) = (o.splat_16(0.0), o.splat_16(1.0));
    let mut log = zero;
    for &(from, power) in powers {
        let (from, by) = (o.splat_16(from as f32), o.splat_16((-power).exp2() as f32));
        log = o.add_16(log, o.select_ge_16(x, from, o.splat_16((power * LN_2) as f32), zero));
        x = o.mul_16(x, o.select_ge_16(x, from, by, one));
    }
    let z = o.div_16(o.sub_16(x, one), o.add_16(x, one));
    o.add_16(log, twice_atanh_16(o, z))
}

/// log(1+q) of sixteen q in [0, 3], to 4 units in the last place.
#[inline(always)]
pub fn log1p_16<O: Octet>(o: O, q: O::S) -> O::S {
    let one = o.splat_16(1.0);
    let x = o.add_16(one, q);
    // What 1 + q loses of a small q.
    let lost = o.sub_16(q, o.sub_16(x, one));
    o.add_16(log_of_16(o, x, &POWERS[2..]), o.div_16(lost, x))
}

/// [`residual_linear_decay_octet`] of sixteen f32.
#[inline(always)]
pub fn residual_linear_decay_16<O: Octet>(o: O, a: O::S, t: O::S) -> [O::S; 3] {
    let (zero, one) = (o.splat_16(0.0), o.splat_16(1.0));
    let e = decay_16(o, a);
    let small = o.div_16(e, o.add_16(one, e));
    let residual = o.select_ge_16(a, zero, o.sub_16(o.sub_16(one, t), small), o.sub_16(small, t));
    [residual, o.sub_16(o.max_16(a, zero), o.mul_16(t, a)), e]
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
mod tests;
