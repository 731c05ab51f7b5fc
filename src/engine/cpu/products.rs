//! Products with X: z·w of a group of rows, and Zᵀr of some groups.

use super::kernels::{Column, Lanes, OCTETS};
use crate::octet::{Octet, Stored};

/// Bytes that are asked for ahead of the ones being read.
const AHEAD: usize = 4096;

/// How the products with X are taken.
pub trait Products<T>: Copy + Send + Sync {
    /// W as it is multiplied with.
    type Slopes;

    /// The slopes `w`.
    fn slopes(w: &[f64]) -> Self::Slopes;

    /// z·w for the rows of `N` groups; `x` holds the p columns of each.
    fn logits<O: Octet, const N: usize>(o: O, x: [&[Column<T>]; N], slopes: &Self::Slopes) -> [Lanes<O>; N];

    /// Adds Zᵀr of `N` groups to `sums`, eight parts a feature.
    fn gradient<O: Octet, const N: usize>(o: O, x: [&[Column<T>]; N], r: &[Lanes<O>; N], sums: &mut [[f64; 8]]);
}

/// In f64, whatever X is stored in.
#[derive(Debug, Clone, Copy)]
pub struct InF64;

impl<T: Stored> Products<T> for InF64 {
    type Slopes = Vec<f64>;

    fn slopes(w: &[f64]) -> Vec<f64> {
        w.to_vec()
    }

    #[inline(always)]
    fn logits<O: Octet, const N: usize>(o: O, x: [&[Column<T>]; N], slopes: &Vec<f64>) -> [Lanes<O>; N] {
        products_of_groups(o, x, slopes)
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

/// In f32. Each slope is the sum of two f32, so that it is W that is evaluated and nothing near it; a logit is rounded as a sum of
/// p f32 is, a lane's sum over `N` groups as one of N.
#[derive(Debug, Clone, Copy)]
pub struct InF32;

impl Products<f32> for InF32 {
    type Slopes = Vec<[f32; 2]>;

    fn slopes(w: &[f64]) -> Vec<[f32; 2]> {
        let split = |w: &f64| [*w as f32, (w - f64::from(*w as f32)) as f32];
        w.iter().map(split).collect()
    }

    #[inline(always)]
    fn logits<O: Octet, const N: usize>(o: O, x: [&[Column<f32>]; N], slopes: &Vec<[f32; 2]>) -> [Lanes<O>; N] {
        // Of each group two halves, and of each of those the sums with the first and the second part of the slopes.
        let mut sums = [[[o.splat_16(0.0); 2]; 2]; N];
        let x = x.map(|x| &x[..slopes.len()]);
        for (j, slope) in slopes.iter().enumerate() {
            let slope = [o.splat_16(slope[0]), o.splat_16(slope[1])];
            for (x, sums) in x.iter().zip(&mut sums) {
                ahead(o, &x[j]);
                let halves = x[j].as_chunks().0;
                for k in 0..2 {
                    let x = o.load_16(&halves[k]);
                    sums[k] = [o.mul_add_16(x, slope[0], sums[k][0]), o.mul_add_16(x, slope[1], sums[k][1])];
                }
            }
        }
        let mut a = [[o.splat(0.0); OCTETS]; N];
        for (a, sums) in a.iter_mut().zip(sums) {
            for k in 0..2 {
                let (high, low) = (o.widen_16(sums[k][0]), o.widen_16(sums[k][1]));
                a[2 * k] = o.add(high[0], low[0]);
                a[2 * k + 1] = o.add(high[1], low[1]);
            }
        }
        a
    }

    #[inline(always)]
    fn gradient<O: Octet, const N: usize>(o: O, x: [&[Column<f32>]; N], r: &[Lanes<O>; N], sums: &mut [[f64; 8]]) {
        let mut narrow = [[o.splat_16(0.0); 2]; N];
        for (narrow, r) in narrow.iter_mut().zip(r) {
            *narrow = [o.narrow_16([r[0], r[1]]), o.narrow_16([r[2], r[3]])];
        }
        for (j, sum) in sums.iter_mut().enumerate() {
            let (mut even, mut odd) = (o.splat_16(0.0), o.splat_16(0.0));
            for (x, r) in x.iter().zip(&narrow) {
                let halves = x[j].as_chunks().0;
                even = o.mul_add_16(o.load_16(&halves[0]), r[0], even);
                odd = o.mul_add_16(o.load_16(&halves[1]), r[1], odd);
            }
            let (even, odd) = (o.widen_16(even), o.widen_16(odd));
            let added = o.add(o.add(even[0], even[1]), o.add(odd[0], odd[1]));
            *sum = o.store(o.add(o.load(sum), added));
        }
    }
}

/// Asks for what comes [`AHEAD`] of a column.
#[inline(always)]
pub(super) fn ahead<O: Octet, T>(o: O, column: &Column<T>) {
    o.prefetch(column, AHEAD);
    o.prefetch(column, AHEAD + size_of::<Column<T>>() / 2);
}
