// The logistic function and its loss, the only place where exponentials and logarithms are taken.
//
// WGSL lets `exp` err by 3 + 2|x| ULP and `log` by 2^-21 near 1, so both are polynomials here. With u = 2^-24:
//   e^x, x in [-87, 0]: x = k ln2 + r, |r| <= ln2/2; Taylor to r^7 leaves r^8/8! < 5.3e-9, rounding some 2u: 1.3e-7 relative.
//   log(1+e), e in (0, 1]: 2 atanh(z), z = e/(2+e) <= 1/3; series to z^15 leaves z^16/17 < 1.4e-9 relative; the
//   division (2.5 ULP by WGSL) and rounding some 5u: 4e-7 relative, and 1.3e-7/2 absolute from e.
//   1/(1+e), e/(1+e): division 2.5u, rounding of 1+e u, a quarter of e's error: 2.4e-7 absolute.
// So a probability errs by at most SIGMOID_ERROR = 3e-7 and a loss by LOSS_ERROR = 5e-7 times 1 + |a|
// (src/engine/gpu/mod.rs); a test measures both. Below x = -87 the exponential stays at 1.6e-38, which is the error then.

// Logits beyond this are taken for overflow: the loss becomes OUT_OF_RANGE, which the host refuses.
const MAX_LOGIT: f32 = 1.0e30;
const OUT_OF_RANGE: f32 = 3.0e38;

// e^-|a|, in (0, 1].
fn decay(a: Models) -> Models {
    let x = max(-abs(a), Models(-87.0));
    let k = round(x * 1.44269504);
    // ln2 in two parts; the first has 9 bits, so k * 0.693359375 is exact.
    let r = (x - k * 0.693359375) + k * 2.12194440e-4;
    var e = Models(1.0 / 5040.0);
    e = e * r + 1.0 / 720.0;
    e = e * r + 1.0 / 120.0;
    e = e * r + 1.0 / 24.0;
    e = e * r + 1.0 / 6.0;
    e = e * r + 0.5;
    e = (e * r) * r + r;
    let exponent = (ModelInts(k) + ModelInts(127)) * ModelInts(8388608);
    return (e + 1.0) * bitcast<Models>(exponent);
}

// y = 1/(1 + e^-a), given e = decay(a).
fn sigmoid(a: Models, e: Models) -> Models {
    return select(e, Models(1.0), a >= Models(0.0)) / (e + 1.0);
}

// log((1 + z)/(1 - z)) = 2 atanh(z), |z| <= 1/3.
fn twice_atanh(z: Models) -> Models {
    let u = z * z;
    var q = Models(2.0 / 15.0);
    q = q * u + 2.0 / 13.0;
    q = q * u + 2.0 / 11.0;
    q = q * u + 2.0 / 9.0;
    q = q * u + 2.0 / 7.0;
    q = q * u + 2.0 / 5.0;
    q = q * u + 2.0 / 3.0;
    return z * 2.0 + (z * u) * q;
}

// log x of the x in [1, 256) that the exponentials of a row's classes add up to. Powers of two are taken out until |z| <= 0.172,
// where the series leaves z^16/17 < 4e-14; at the most 6u for the quotients by them and the sum.
fn log_sum(sum: Models) -> Models {
    var x = sum;
    var taken = select(Models(0.0), Models(2.77258872), x >= Models(16.0));
    x = select(x, x / 16.0, x >= Models(16.0));
    taken += select(Models(0.0), Models(1.38629436), x >= Models(4.0));
    x = select(x, x / 4.0, x >= Models(4.0));
    taken += select(Models(0.0), Models(0.693147181), x >= Models(2.0));
    x = select(x, x / 2.0, x >= Models(2.0));
    taken += select(Models(0.0), Models(0.693147181), x >= Models(1.41421356));
    x = select(x, x / 2.0, x >= Models(1.41421356));
    return taken + twice_atanh((x - 1.0) / (x + 1.0));
}

// log(1 + e^a) - t a = max(a, 0) - t a + log(1 + e^-|a|), given e = decay(a).
fn loss(a: Models, t: f32, e: Models) -> Models {
    return (max(a, Models(0.0)) - t * a) + twice_atanh(e / (e + 2.0));
}

// s * loss; OUT_OF_RANGE where a row that counts has a logit that is not a usable number (NaN fails the comparison).
fn weighted_loss(a: Models, t: f32, s: f32, e: Models) -> Models {
    let usable = abs(a) <= Models(MAX_LOGIT);
    return select(Models(select(0.0, OUT_OF_RANGE, s > 0.0)), s * loss(a, t, e), usable);
}
