//! How a group of rows is computed: z·w, residuals and Zᵀr in f64, or in f32 where X is.

use super::kernels::{self, Column, Lanes, OCTETS, residual, residual_16};
use crate::data::Group;
use crate::octet::{Octet, Stored};

/// Columns whose products are added to logits in f32 together.
const TOGETHER: usize = 4;
/// Bytes that are asked for ahead of the ones being read.
const AHEAD: usize = 4096;

/// What rows are computed in; sums over more rows than a lane adds up in one step of a kernel are f64 always.
pub trait RowArithmetic<T>: Copy + Send + Sync {
    /// W as it is multiplied with.
    type Weights;
    /// One number for each row of a group.
    type Rows<O: Octet>: Copy;

    /// W: p slopes and the intercept.
    fn weights(w: &[f64]) -> Self::Weights;

    /// Zeros.
    fn zeros<O: Octet>(o: O) -> Self::Rows<O>;

    /// z·w + w₀ for the rows of `N` groups; `x` holds the p columns of each.
    fn logits<O: Octet, const N: usize>(o: O, x: [&[Column<T>]; N], w: &Self::Weights) -> [Self::Rows<O>; N];

    /// The logits `a`, moved by the `offset` of each row.
    fn moved<O: Octet>(o: O, a: Self::Rows<O>, offset: Lanes<O>) -> Self::Rows<O>;

    /// [`residual`].
    fn residual<O: Octet>(
        o: O,
        a: Self::Rows<O>,
        target: Group<'_>,
        weight: Group<'_>,
        loss: &mut O::F,
    ) -> Self::Rows<O>;

    /// Adds Zᵀr of `N` groups to `sums`, eight parts a feature.
    fn gradient<O: Octet, const N: usize>(o: O, x: [&[Column<T>]; N], r: &[Self::Rows<O>; N], sums: &mut [[f64; 8]]);

    /// Σ r of `N` groups in eight parts.
    fn total<O: Octet, const N: usize>(o: O, r: &[Self::Rows<O>; N]) -> O::F;

    /// Puts the logits `a` to `out`, which has room for a group.
    fn store<O: Octet>(o: O, a: Self::Rows<O>, out: &mut [T]);
}

/// In f64, whatever X is stored in.
#[derive(Debug, Clone, Copy)]
pub struct InF64;

impl<T: Stored> RowArithmetic<T> for InF64 {
    type Weights = (Vec<f64>, f64);
    type Rows<O: Octet> = Lanes<O>;

    fn weights(w: &[f64]) -> Self::Weights {
        let p = w.len() - 1;
        (w[..p].to_vec(), w[p])
    }

    #[inline(always)]
    fn zeros<O: Octet>(o: O) -> Lanes<O> {
        [o.splat(0.0); OCTETS]
    }

    #[inline(always)]
    fn logits<O: Octet, const N: usize>(o: O, x: [&[Column<T>]; N], w: &Self::Weights) -> [Lanes<O>; N] {
        let (slopes, intercept) = w;
        let mut a = products_of_groups(o, x, slopes);
        for a in a.as_flattened_mut() {
            *a = o.add(*a, o.splat(*intercept));
        }
        a
    }

    #[inline(always)]
    fn moved<O: Octet>(o: O, a: Lanes<O>, offset: Lanes<O>) -> Lanes<O> {
        kernels::sum(o, a, offset)
    }

    #[inline(always)]
    fn residual<O: Octet>(o: O, a: Lanes<O>, target: Group<'_>, weight: Group<'_>, loss: &mut O::F) -> Lanes<O> {
        residual(o, a, target, weight, loss)
    }

    #[inline(always)]
    fn gradient<O: Octet, const N: usize>(o: O, x: [&[Column<T>]; N], r: &[Lanes<O>; N], sums: &mut [[f64; 8]]) {
        for (j, sum) in sums.iter_mut().enumerate() {
            // Two sums, since each addition waits for the one before.
            let (mut even, mut odd) = (o.load(sum), o.splat(0.0));
            for (x, r) in x.iter().zip(r) {
                for k in (0..OCTETS).step_by(2) {
                    even = o.mul_add(T::octet(o, &x[j][k]), r[k], even);
                    odd = o.mul_add(T::octet(o, &x[j][k + 1]), r[k + 1], odd);
                }
            }
            *sum = o.store(o.add(even, odd));
        }
    }

    #[inline(always)]
    fn total<O: Octet, const N: usize>(o: O, r: &[Lanes<O>; N]) -> O::F {
        let mut sum = o.splat(0.0);
        for r in r.as_flattened() {
            sum = o.add(sum, *r);
        }
        sum
    }

    #[inline(always)]
    fn store<O: Octet>(o: O, a: Lanes<O>, out: &mut [T]) {
        for (out, a) in out.as_chunks_mut().0.iter_mut().zip(a) {
            *out = T::rounded(o, a);
        }
    }
}

/// z·w in f64 for the rows of a group.
#[inline(always)]
pub fn products<O: Octet, T: Stored>(o: O, x: &[Column<T>], slopes: &[f64]) -> Lanes<O> {
    products_of_groups(o, [x], slopes)[0]
}

/// [`products`] of `N` groups.
#[inline(always)]
fn products_of_groups<O: Octet, T: Stored, const N: usize>(
    o: O,
    x: [&[Column<T>]; N],
    slopes: &[f64],
) -> [Lanes<O>; N] {
    let mut a = [[o.splat(0.0); OCTETS]; N];
    let x = x.map(|x| &x[..slopes.len()]);
    for (j, &slope) in slopes.iter().enumerate() {
        let slope = o.splat(slope);
        for (x, a) in x.iter().zip(&mut a) {
            ahead(o, &x[j]);
            for k in 0..OCTETS {
                a[k] = o.mul_add(T::octet(o, &x[j][k]), slope, a[k]);
            }
        }
    }
    a
}

/// In f32. Each number of W is the sum of two f32, so that it is W that is evaluated and nothing near it; a logit is rounded as a
/// sum of p f32 is, a lane's sum over `N` groups as one of 2·N.
#[derive(Debug, Clone, Copy)]
pub struct InF32;

impl RowArithmetic<f32> for InF32 {
    /// Slopes and intercept.
    type Weights = (Vec<[f32; 2]>, [f32; 2]);
    type Rows<O: Octet> = [O::S; 2];

    fn weights(w: &[f64]) -> Self::Weights {
        let split = |w: &f64| [*w as f32, (w - f64::from(*w as f32)) as f32];
        let p = w.len() - 1;
        (w[..p].iter().map(split).collect(), split(&w[p]))
    }

    #[inline(always)]
    fn zeros<O: Octet>(o: O) -> [O::S; 2] {
        [o.splat_16(0.0); 2]
    }

    #[inline(always)]
    fn logits<O: Octet, const N: usize>(o: O, x: [&[Column<f32>]; N], w: &Self::Weights) -> [[O::S; 2]; N] {
        let (slopes, intercept) = w;
        let mut a = [[o.splat_16(intercept[0]); 2]; N];
        let mut least = o.splat_16(intercept[1]);
        let (fours, rest) = slopes.as_chunks::<TOGETHER>();
        let x = x.map(|x| x[..slopes.len()].as_chunks::<TOGETHER>());
        for (j, slopes) in fours.iter().enumerate() {
            for (x, a) in x.iter().zip(&mut a) {
                add_products(o, &x.0[j], slopes, least, a);
            }
            least = o.splat_16(0.0);
        }
        for (j, slope) in rest.iter().enumerate() {
            for (x, a) in x.iter().zip(&mut a) {
                add_products(o, &[x.1[j]], &[*slope], least, a);
            }
            least = o.splat_16(0.0);
        }
        a
    }

    #[inline(always)]
    fn moved<O: Octet>(o: O, mut a: [O::S; 2], offset: Lanes<O>) -> [O::S; 2] {
        // In f64, for offsets may be no f32.
        for k in 0..2 {
            let wide = o.widen_16(a[k]);
            a[k] = o.narrow_16([o.add(wide[0], offset[2 * k]), o.add(wide[1], offset[2 * k + 1])]);
        }
        a
    }

    #[inline(always)]
    fn residual<O: Octet>(o: O, a: [O::S; 2], target: Group<'_>, weight: Group<'_>, loss: &mut O::F) -> [O::S; 2] {
        // What may be rounded alike in many rows is not: the sum of these would be off by as much as all of them.
        if let (Some(t), Some(s)) = (target.exact_16(o), weight.same_in_f32()) {
            return residual_16(o, a, t, s, loss);
        }
        let [first, second] = [o.widen_16(a[0]), o.widen_16(a[1])];
        let r = residual(o, [first[0], first[1], second[0], second[1]], target, weight, loss);
        [o.narrow_16([r[0], r[1]]), o.narrow_16([r[2], r[3]])]
    }

    #[inline(always)]
    fn gradient<O: Octet, const N: usize>(o: O, x: [&[Column<f32>]; N], r: &[[O::S; 2]; N], sums: &mut [[f64; 8]]) {
        for (j, sum) in sums.iter_mut().enumerate() {
            let (mut even, mut odd) = (o.splat_16(0.0), o.splat_16(0.0));
            for (x, r) in x.iter().zip(r) {
                let halves = x[j].as_chunks().0;
                even = o.mul_add_16(o.load_16(&halves[0]), r[0], even);
                odd = o.mul_add_16(o.load_16(&halves[1]), r[1], odd);
            }
            let (even, odd) = (o.widen_16(even), o.widen_16(odd));
            let added = o.add(o.add(even[0], even[1]), o.add(odd[0], odd[1]));
            *sum = o.store(o.add(o.load(sum), added));
        }
    }

    #[inline(always)]
    fn total<O: Octet, const N: usize>(o: O, r: &[[O::S; 2]; N]) -> O::F {
        let mut sum = o.splat_16(0.0);
        for r in r.as_flattened() {
            sum = o.add_16(sum, *r);
        }
        let halves = o.widen_16(sum);
        o.add(halves[0], halves[1])
    }

    #[inline(always)]
    fn store<O: Octet>(o: O, a: [O::S; 2], out: &mut [f32]) {
        let sixteens = out.as_chunks_mut().0.as_chunks_mut().0;
        for k in 0..2 {
            sixteens[k] = o.store_16(a[k]);
        }
    }
}

/// Adds the products of some columns of a group with their slopes to `a`, and `least` too.
///
/// What comes of the second parts of the slopes is far below the last bit of `a`. It is added to the first product before that is
/// rounded, for `a` itself would not change.
#[inline(always)]
fn add_products<O: Octet, const N: usize>(
    o: O,
    columns: &[Column<f32>; N],
    slopes: &[[f32; 2]; N],
    least: O::S,
    a: &mut [O::S; 2],
) {
    for column in columns {
        ahead(o, column);
    }
    for k in 0..2 {
        let mut x = [least; N];
        let mut small = least;
        for j in 0..N {
            x[j] = o.load_16(&columns[j].as_chunks().0[k]);
            small = o.mul_add_16(x[j], o.splat_16(slopes[j][1]), small);
        }
        a[k] = o.add_16(a[k], o.mul_add_16(x[0], o.splat_16(slopes[0][0]), small));
        for j in 1..N {
            a[k] = o.mul_add_16(x[j], o.splat_16(slopes[j][0]), a[k]);
        }
    }
}

/// Asks for what comes [`AHEAD`] of a column.
#[inline(always)]
pub(super) fn ahead<O: Octet, T>(o: O, column: &Column<T>) {
    o.prefetch(column, AHEAD);
    o.prefetch(column, AHEAD + size_of::<Column<T>>() / 2);
}
