//! Softmax of K classes in one read of X: a tile of rows stays in cache while the logits of all classes are computed, turned
//! into residuals, and multiplied with Xᵀ. The same for the product of the Hessian with a direction.

use std::ops::Range;

use rayon::prelude::*;

use super::batch::{InPlace, Rounded, Stretches};
use super::kernels::{self, Column, Lanes, OCTETS};
use super::real::{ReadAs, Real};
use crate::data::{Block, LANES, Precision, RowBlock, Values, each_block};
use crate::engine::{ClassSums, Params};
use crate::error::Result;
use crate::octet::{Octet, Stored, Work, dispatch};

/// Bytes of X in a tile, at the most, unless it is two groups of rows: they are to stay in the second-level cache.
const TILE_BYTES: usize = 512 << 10;
/// Groups of rows in a tile, at the most: a lane adds up no more than 16 rows in f32 before f64 goes on.
const TILE_GROUPS: usize = 8;
/// Classes whose logits, and whose gradients, are computed together.
const TOGETHER: usize = 4;
/// Groups of rows that one task takes at the least, and bytes that the sums of all tasks may take.
const TASK_GROUPS: usize = 16;
const SUM_BYTES: usize = 256 << 20;

/// Loss and gradient at W, a column a class, over the rows of `blocks`; or with `v`, in the place of the gradient, the product of
/// the Hessian at W with V. In f32 or in f64.
///
/// # Errors
/// What reading blocks that are not in memory fails with.
pub(super) fn softmax(
    blocks: &[Block],
    features: usize,
    precision: Precision,
    w: &Params,
    v: Option<&Params>,
) -> Result<ClassSums> {
    let mut sums = ClassSums { loss: 0.0, gradient: Params::zeros(features, w.models()) };
    each_block(blocks, |_, block| {
        let parts = match (block.x(), precision) {
            (Values::F32(x), Precision::F32) => of_block::<f32, f32>(block, w, v, InPlace(x)),
            (Values::F32(x), Precision::F64) => of_block::<f32, f64>(block, w, v, InPlace(x)),
            (Values::F64(x), Precision::F32) => of_block::<f32, f32>(block, w, v, Rounded(x)),
            (Values::F64(x), Precision::F64) => of_block::<f64, f64>(block, w, v, InPlace(x)),
        };
        for (loss, gradient) in parts {
            sums.loss += loss;
            for k in 0..w.models() {
                let of_class = &gradient[k * (features + 1)..(k + 1) * (features + 1)];
                sums.gradient.model_mut(k).iter_mut().zip(of_class).for_each(|(sum, g)| *sum += g);
            }
        }
        Ok(())
    })?;
    Ok(sums)
}

fn of_block<T: Stored + ReadAs<W>, W: Real>(
    block: &RowBlock,
    w: &Params,
    v: Option<&Params>,
    x: impl Stretches<T>,
) -> Vec<(f64, Vec<f64>)> {
    let (w, v) = (Coefficients::<W>::of(w), v.map(Coefficients::<W>::of));
    let of_group = block.features() * LANES;
    let most = (SUM_BYTES / (w.classes * (w.features + 1) * size_of::<f64>())).clamp(2, 1024);
    let task = TASK_GROUPS.max(block.groups().div_ceil(most));
    let tasks: Vec<usize> = (0..block.groups()).step_by(task).collect();
    let of_task = |start: usize| {
        let groups = start..block.groups().min(start + task);
        let x = x.stretch(groups.start * of_group..groups.end * of_group);
        dispatch(Softmax { block, x: kernels::columns(&x), groups, w: &w, v: v.as_ref() })
    };
    tasks.into_par_iter().map(of_task).collect()
}

/// W as it is multiplied with.
struct Coefficients<W> {
    features: usize,
    classes: usize,
    /// The slopes of up to [`TOGETHER`] classes, feature by feature; then those of the next ones.
    slopes: Vec<W>,
    intercepts: Vec<W>,
}

impl<W: Real> Coefficients<W> {
    fn of(w: &Params) -> Self {
        let (features, classes) = (w.features(), w.models());
        let mut slopes = Vec::with_capacity(features * classes);
        for first in (0..classes).step_by(TOGETHER) {
            let together = first..classes.min(first + TOGETHER);
            for j in 0..features {
                slopes.extend(together.clone().map(|k| W::narrow(w.model(k)[j])));
            }
        }
        let intercepts = (0..classes).map(|k| W::narrow(w.model(k)[features])).collect();
        Coefficients { features, classes, slopes, intercepts }
    }
}

/// Some groups of rows.
struct Softmax<'a, T, W> {
    block: &'a RowBlock,
    /// The columns of the groups.
    x: &'a [Column<T>],
    groups: Range<usize>,
    w: &'a Coefficients<W>,
    v: Option<&'a Coefficients<W>>,
}

impl<T: Stored + ReadAs<W>, W: Real> Work for Softmax<'_, T, W> {
    /// The loss, and the gradient or the product, class by class.
    type Output = (f64, Vec<f64>);

    #[inline(always)]
    fn run<O: Octet>(self, o: O) -> Self::Output {
        let (features, classes) = (self.w.features, self.w.classes);
        let group_bytes = (features * size_of::<Column<T>>()).max(1);
        let tile = (TILE_BYTES / group_bytes).clamp(2, TILE_GROUPS);
        let empty = || vec![[[W::default(); 8]; OCTETS]; classes * tile];
        let (mut a, mut b) = (empty(), if self.v.is_some() { empty() } else { Vec::new() });
        let mut loss = [0.0; 8];
        let mut sums = vec![[0.0; 8]; classes * (features + 1)];
        let Range { start, end } = self.groups;
        for first in (start..end).step_by(tile) {
            let groups = tile.min(end - first);
            let x = &self.x[(first - start) * features..(first - start + groups) * features];
            let a = &mut a[..classes * groups];
            logits::<O, T, W>(o, x, groups, self.w, a);
            if let Some(v) = self.v {
                logits::<O, T, W>(o, x, groups, v, &mut b);
            }
            for g in 0..groups {
                let mut beside = [[[W::default(); 8]; OCTETS]; 2];
                put(o, kernels::lanes(o, self.block.target().group(first + g)), &mut beside[0]);
                put(o, kernels::lanes(o, self.block.weight().group(first + g)), &mut beside[1]);
                for part in 0..W::PARTS {
                    let (t, s) = (W::load(o, &beside[0], part), W::load(o, &beside[1], part));
                    match self.v {
                        None => residuals::<O, W>(o, a, (g, groups, part), t, s, &mut loss),
                        Some(_) => products::<O, W>(o, a, &b, (g, groups, part), s),
                    }
                }
            }
            gradients::<O, T, W>(o, x, groups, a, features, &mut sums);
        }
        let total = |parts: &[f64; 8]| parts.iter().sum();
        (total(&loss), sums.iter().map(total).collect())
    }
}

/// Writes numbers of a group down.
#[inline(always)]
fn put<O: Octet, W: Stored>(o: O, lanes: Lanes<O>, out: &mut Column<W>) {
    for k in 0..OCTETS {
        out[k] = W::rounded(o, lanes[k]);
    }
}

/// The logits of `groups` groups with columns `x` into `out`: those of all groups in the first class, then in the next.
#[inline(always)]
fn logits<O: Octet, T: ReadAs<W>, W: Real>(
    o: O,
    x: &[Column<T>],
    groups: usize,
    w: &Coefficients<W>,
    out: &mut [Column<W>],
) {
    let mut first = 0;
    while first < w.classes {
        match w.classes - first {
            1 => of_classes::<O, T, W, 1>(o, x, groups, w, first, out),
            2 => of_classes::<O, T, W, 2>(o, x, groups, w, first, out),
            3 => of_classes::<O, T, W, 3>(o, x, groups, w, first, out),
            _ => of_classes::<O, T, W, TOGETHER>(o, x, groups, w, first, out),
        }
        first += TOGETHER;
    }
}

/// Those of `M` classes from the one of number `first` on.
#[inline(always)]
fn of_classes<O: Octet, T: ReadAs<W>, W: Real, const M: usize>(
    o: O,
    x: &[Column<T>],
    groups: usize,
    w: &Coefficients<W>,
    first: usize,
    out: &mut [Column<W>],
) {
    let slopes = w.slopes[first * w.features..(first + M) * w.features].as_chunks::<M>().0;
    let mut g = 0;
    // Four vectors of rows at a time: two groups of f32, or one of f64.
    while W::PARTS == 2 && groups - g >= 2 {
        of_groups::<O, T, W, M, 2>(o, x, (g, groups), slopes, w, first, out);
        g += 2;
    }
    while g < groups {
        of_groups::<O, T, W, M, 1>(o, x, (g, groups), slopes, w, first, out);
        g += 1;
    }
}

#[inline(always)]
fn of_groups<O: Octet, T: ReadAs<W>, W: Real, const M: usize, const N: usize>(
    o: O,
    x: &[Column<T>],
    (g, groups): (usize, usize),
    slopes: &[[W; M]],
    w: &Coefficients<W>,
    first: usize,
    out: &mut [Column<W>],
) {
    let p = slopes.len();
    let mut a = [[W::splat(o, W::default()); M]; 4];
    for (m, intercept) in w.intercepts[first..first + M].iter().enumerate() {
        for a in &mut a {
            a[m] = W::splat(o, *intercept);
        }
    }
    for (j, slopes) in slopes.iter().enumerate() {
        for i in 0..N {
            let column = &x[(g + i) * p + j];
            for part in 0..W::PARTS {
                let x = T::read(o, column, part);
                for m in 0..M {
                    let at = i * W::PARTS + part;
                    a[at][m] = W::mul_add(o, x, W::splat(o, slopes[m]), a[at][m]);
                }
            }
        }
    }
    for i in 0..N {
        for part in 0..W::PARTS {
            for m in 0..M {
                W::store(o, a[i * W::PARTS + part][m], &mut out[(first + m) * groups + g + i], part);
            }
        }
    }
}

/// Puts s·(y − t) in the place of the logits of part `part` of group `g` out of `groups`, and adds Σ s·ℓ to `loss`.
#[inline(always)]
fn residuals<O: Octet, W: Real>(
    o: O,
    a: &mut [Column<W>],
    (g, groups, part): (usize, usize, usize),
    t: W::V<O>,
    s: W::V<O>,
    loss: &mut [f64; 8],
) {
    let zero = W::splat(o, W::default());
    let classes = a.len() / groups;
    let largest = largest::<O, W>(o, a, (g, groups, part));
    let (mut sum, mut others, mut own) = (zero, zero, zero);
    for k in 0..classes {
        let at = &mut a[k * groups + g];
        let (logit, class) = (W::load(o, at, part), W::splat(o, W::narrow(k as f64)));
        let e = W::decay(o, W::sub(o, logit, largest));
        sum = W::add(o, sum, e);
        // Without the row's own class, so that a row far on its own side keeps the digits of its residual.
        others = W::add(o, others, W::select_near(o, t, class, zero, e));
        own = W::select_near(o, t, class, logit, own);
        W::store(o, e, at, part);
    }
    let l = W::add(o, W::sub(o, largest, own), W::log(o, sum));
    W::add_onto(o, W::mul(o, s, l), loss);
    let unit = W::div(o, s, sum);
    let of_own = W::sub(o, zero, W::mul(o, others, unit));
    for k in 0..classes {
        let at = &mut a[k * groups + g];
        let r = W::mul(o, W::load(o, at, part), unit);
        let r = W::select_near(o, t, W::splat(o, W::narrow(k as f64)), of_own, r);
        W::store(o, r, at, part);
    }
}

/// Puts s·y∘(b − yᵀb), the derivative of s·y along b, in the place of the logits.
#[inline(always)]
fn products<O: Octet, W: Real>(
    o: O,
    a: &mut [Column<W>],
    b: &[Column<W>],
    (g, groups, part): (usize, usize, usize),
    s: W::V<O>,
) {
    let zero = W::splat(o, W::default());
    let classes = a.len() / groups;
    let largest = largest::<O, W>(o, a, (g, groups, part));
    let (mut sum, mut mean) = (zero, zero);
    for k in 0..classes {
        let at = &mut a[k * groups + g];
        let e = W::decay(o, W::sub(o, W::load(o, at, part), largest));
        sum = W::add(o, sum, e);
        mean = W::mul_add(o, e, W::load(o, &b[k * groups + g], part), mean);
        W::store(o, e, at, part);
    }
    let (mean, unit) = (W::div(o, mean, sum), W::div(o, s, sum));
    for k in 0..classes {
        let at = &mut a[k * groups + g];
        let y = W::mul(o, W::load(o, at, part), unit);
        let r = W::mul(o, y, W::sub(o, W::load(o, &b[k * groups + g], part), mean));
        W::store(o, r, at, part);
    }
}

/// The largest logit of each row.
#[inline(always)]
fn largest<O: Octet, W: Real>(o: O, a: &[Column<W>], (g, groups, part): (usize, usize, usize)) -> W::V<O> {
    let mut largest = W::load(o, &a[g], part);
    for k in 1..a.len() / groups {
        largest = W::max(o, W::load(o, &a[k * groups + g], part), largest);
    }
    largest
}

/// Adds Xᵀr of `groups` groups to `sums`, class by class: `features` of them and the intercept's.
#[inline(always)]
fn gradients<O: Octet, T: ReadAs<W>, W: Real>(
    o: O,
    x: &[Column<T>],
    groups: usize,
    r: &[Column<W>],
    features: usize,
    sums: &mut [[f64; 8]],
) {
    let mut rest = (r, sums);
    while !rest.0.is_empty() {
        let classes = (rest.0.len() / groups).min(TOGETHER);
        let (r, other_r) = rest.0.split_at(classes * groups);
        let (sums, other_sums) = rest.1.split_at_mut(classes * (features + 1));
        match classes {
            1 => of_features::<O, T, W, 1>(o, x, groups, r, features, sums),
            2 => of_features::<O, T, W, 2>(o, x, groups, r, features, sums),
            3 => of_features::<O, T, W, 3>(o, x, groups, r, features, sums),
            _ => of_features::<O, T, W, TOGETHER>(o, x, groups, r, features, sums),
        }
        rest = (other_r, other_sums);
    }
}

/// Those of `M` classes.
#[inline(always)]
fn of_features<O: Octet, T: ReadAs<W>, W: Real, const M: usize>(
    o: O,
    x: &[Column<T>],
    groups: usize,
    r: &[Column<W>],
    features: usize,
    sums: &mut [[f64; 8]],
) {
    let mut j = 0;
    while features - j >= 2 {
        columns::<O, T, W, M, 2>(o, x, groups, r, (j, features), sums);
        j += 2;
    }
    if j < features {
        columns::<O, T, W, M, 1>(o, x, groups, r, (j, features), sums);
    }
    let mut ones = [W::splat(o, W::default()); M];
    for g in 0..groups {
        for part in 0..W::PARTS {
            for m in 0..M {
                ones[m] = W::add(o, ones[m], W::load(o, &r[m * groups + g], part));
            }
        }
    }
    for m in 0..M {
        W::add_onto(o, ones[m], &mut sums[m * (features + 1) + features]);
    }
}

/// Those of `F` features from the one of number `j` on.
#[inline(always)]
fn columns<O: Octet, T: ReadAs<W>, W: Real, const M: usize, const F: usize>(
    o: O,
    x: &[Column<T>],
    groups: usize,
    r: &[Column<W>],
    (j, features): (usize, usize),
    sums: &mut [[f64; 8]],
) {
    let mut all = [[W::splat(o, W::default()); M]; F];
    for g in 0..groups {
        let columns = &x[g * features + j..g * features + j + F];
        for part in 0..W::PARTS {
            for m in 0..M {
                let r = W::load(o, &r[m * groups + g], part);
                for f in 0..F {
                    all[f][m] = W::mul_add(o, T::read(o, &columns[f], part), r, all[f][m]);
                }
            }
        }
    }
    for m in 0..M {
        for f in 0..F {
            W::add_onto(o, all[f][m], &mut sums[m * (features + 1) + j + f]);
        }
    }
}
