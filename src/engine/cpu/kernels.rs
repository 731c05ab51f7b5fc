//! The kernels, one function each, named as its shader. Each works on one group of [`LANES`] rows.
//!
//! Arithmetic is f64 whatever the precision X is stored in; the padding rows of a last group have weight 0, so they
//! add exact zeros to every sum.

use crate::data::LANES;
use crate::engine::LossSlope;
use crate::logistic::residual_and_loss;

/// A precision X is stored in.
pub trait Stored: Copy + Send + Sync {
    /// The value in f64.
    fn wide(self) -> f64;
}

impl Stored for f32 {
    #[inline]
    fn wide(self) -> f64 {
        f64::from(self)
    }
}

impl Stored for f64 {
    #[inline]
    fn wide(self) -> f64 {
        self
    }
}

/// One value for each row of a group.
pub type Lanes = [f64; LANES];

/// Lanes that a feature's gradient sum is kept in until the end of a chunk, so that no group needs a horizontal sum.
pub const PARTIALS: usize = 8;

/// a = z·w + w₀ (+ offset) for the rows of a group; `x` holds `p·LANES` values, `w` p slopes and the intercept.
#[inline]
pub fn logits<T: Stored>(x: &[T], w: &[f64], offset: Option<&[f64]>) -> Lanes {
    let (slopes, intercept) = w.split_at(w.len() - 1);
    let mut a = [intercept[0]; LANES];
    if let Some(offset) = offset {
        for (a, offset) in a.iter_mut().zip(offset) {
            *a += offset;
        }
    }
    for (column, &slope) in x.chunks_exact(LANES).zip(slopes) {
        for (a, value) in a.iter_mut().zip(column) {
            *a += value.wide() * slope;
        }
    }
    a
}

/// r = s·(σ(a) − t) for the rows of a group, and Σ s·ℓ(t, a).
#[inline]
pub fn residual(a: &Lanes, target: &[f64], weight: &[f64]) -> (Lanes, f64) {
    let mut r = [0.0; LANES];
    let mut loss = 0.0;
    for lane in 0..LANES {
        let (difference, l) = residual_and_loss(a[lane], target[lane]);
        r[lane] = weight[lane] * difference;
        loss += weight[lane] * l;
    }
    (r, loss)
}

/// Adds Zᵀr of a group to `sums`, `PARTIALS` entries a feature; the last `PARTIALS` are those of the intercept.
#[inline]
pub fn gradient<T: Stored>(x: &[T], r: &Lanes, sums: &mut [f64]) {
    let (slopes, intercept) = sums.split_at_mut(sums.len() - PARTIALS);
    for (column, sums) in x.chunks_exact(LANES).zip(slopes.chunks_exact_mut(PARTIALS)) {
        for part in 0..LANES / PARTIALS {
            for (k, sum) in sums.iter_mut().enumerate() {
                let lane = part * PARTIALS + k;
                *sum += column[lane].wide() * r[lane];
            }
        }
    }
    for part in r.chunks_exact(PARTIALS) {
        for (sum, r) in intercept.iter_mut().zip(part) {
            *sum += r;
        }
    }
}

/// Adds Σ s·ℓ(t, a + α·d) and Σ s·(σ(a + α·d) − t)·d of a group to `sums`, one entry for each step α.
#[inline]
pub fn line_probe(a: &[f64], d: &[f64], target: &[f64], weight: &[f64], steps: &[f64], sums: &mut [LossSlope]) {
    for (&step, sum) in steps.iter().zip(sums) {
        for lane in 0..LANES {
            let (difference, l) = residual_and_loss(a[lane] + step * d[lane], target[lane]);
            sum.loss += weight[lane] * l;
            sum.slope += weight[lane] * difference * d[lane];
        }
    }
}
