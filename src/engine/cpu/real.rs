//! The numbers that rows are computed in: sixteen f32 at a time, or eight f64.

use super::kernels::Column;
use crate::logistic::{decay_16, decay_octet, log_16, log_octet};
use crate::octet::{Octet, Stored};

/// A number that a group of rows is computed in, some rows at a time: a *part* of the group.
pub(super) trait Real: Stored {
    /// Parts of a group.
    const PARTS: usize;

    /// The numbers of a part.
    type V<O: Octet>: Copy;

    /// Part `part` of a group.
    fn load<O: Octet>(o: O, group: &Column<Self>, part: usize) -> Self::V<O>;
    /// To part `part` of a group.
    fn store<O: Octet>(o: O, values: Self::V<O>, group: &mut Column<Self>, part: usize);
    /// The same number in every row.
    fn splat<O: Octet>(o: O, value: Self) -> Self::V<O>;
    /// a + b.
    fn add<O: Octet>(o: O, a: Self::V<O>, b: Self::V<O>) -> Self::V<O>;
    /// a − b.
    fn sub<O: Octet>(o: O, a: Self::V<O>, b: Self::V<O>) -> Self::V<O>;
    /// a·b.
    fn mul<O: Octet>(o: O, a: Self::V<O>, b: Self::V<O>) -> Self::V<O>;
    /// a/b.
    fn div<O: Octet>(o: O, a: Self::V<O>, b: Self::V<O>) -> Self::V<O>;
    /// a·b + c, rounded once.
    fn mul_add<O: Octet>(o: O, a: Self::V<O>, b: Self::V<O>, c: Self::V<O>) -> Self::V<O>;
    /// The larger of a and b; b where either is NaN.
    fn max<O: Octet>(o: O, a: Self::V<O>, b: Self::V<O>) -> Self::V<O>;
    /// `yes` where |a − b| < ½, else `no`.
    fn select_near<O: Octet>(o: O, a: Self::V<O>, b: Self::V<O>, yes: Self::V<O>, no: Self::V<O>) -> Self::V<O>;
    /// e^−|a|.
    fn decay<O: Octet>(o: O, a: Self::V<O>) -> Self::V<O>;
    /// log a of a in [1, 256).
    fn log<O: Octet>(o: O, a: Self::V<O>) -> Self::V<O>;
    /// Adds them to eight sums.
    fn add_onto<O: Octet>(o: O, values: Self::V<O>, sums: &mut [f64; 8]);
}

/// A number that X can be stored as, where rows are computed in `W`.
pub(super) trait ReadAs<W: Real>: Stored {
    /// Part `part` of a column.
    fn read<O: Octet>(o: O, column: &Column<Self>, part: usize) -> W::V<O>;
}

impl Real for f32 {
    const PARTS: usize = 2;

    type V<O: Octet> = O::S;

    #[inline(always)]
    fn load<O: Octet>(o: O, group: &Column<f32>, part: usize) -> O::S {
        o.load_16(&group.as_chunks().0[part])
    }
    #[inline(always)]
    fn store<O: Octet>(o: O, values: O::S, group: &mut Column<f32>, part: usize) {
        group.as_chunks_mut().0[part] = o.store_16(values);
    }
    #[inline(always)]
    fn splat<O: Octet>(o: O, value: f32) -> O::S {
        o.splat_16(value)
    }
    #[inline(always)]
    fn add<O: Octet>(o: O, a: O::S, b: O::S) -> O::S {
        o.add_16(a, b)
    }
    #[inline(always)]
    fn sub<O: Octet>(o: O, a: O::S, b: O::S) -> O::S {
        o.sub_16(a, b)
    }
    #[inline(always)]
    fn mul<O: Octet>(o: O, a: O::S, b: O::S) -> O::S {
        o.mul_16(a, b)
    }
    #[inline(always)]
    fn div<O: Octet>(o: O, a: O::S, b: O::S) -> O::S {
        o.div_16(a, b)
    }
    #[inline(always)]
    fn mul_add<O: Octet>(o: O, a: O::S, b: O::S, c: O::S) -> O::S {
        o.mul_add_16(a, b, c)
    }
    #[inline(always)]
    fn max<O: Octet>(o: O, a: O::S, b: O::S) -> O::S {
        o.max_16(a, b)
    }
    #[inline(always)]
    fn select_near<O: Octet>(o: O, a: O::S, b: O::S, yes: O::S, no: O::S) -> O::S {
        o.select_ge_16(o.abs_16(o.sub_16(a, b)), o.splat_16(0.5), no, yes)
    }
    #[inline(always)]
    fn decay<O: Octet>(o: O, a: O::S) -> O::S {
        decay_16(o, a)
    }
    #[inline(always)]
    fn log<O: Octet>(o: O, a: O::S) -> O::S {
        log_16(o, a)
    }
    #[inline(always)]
    fn add_onto<O: Octet>(o: O, values: O::S, sums: &mut [f64; 8]) {
        let [low, high] = o.widen_16(values);
        *sums = o.store(o.add(o.load(sums), o.add(low, high)));
    }
}

impl Real for f64 {
    const PARTS: usize = 4;

    type V<O: Octet> = O::F;

    #[inline(always)]
    fn load<O: Octet>(o: O, group: &Column<f64>, part: usize) -> O::F {
        o.load(&group[part])
    }
    #[inline(always)]
    fn store<O: Octet>(o: O, values: O::F, group: &mut Column<f64>, part: usize) {
        group[part] = o.store(values);
    }
    #[inline(always)]
    fn splat<O: Octet>(o: O, value: f64) -> O::F {
        o.splat(value)
    }
    #[inline(always)]
    fn add<O: Octet>(o: O, a: O::F, b: O::F) -> O::F {
        o.add(a, b)
    }
    #[inline(always)]
    fn sub<O: Octet>(o: O, a: O::F, b: O::F) -> O::F {
        o.sub(a, b)
    }
    #[inline(always)]
    fn mul<O: Octet>(o: O, a: O::F, b: O::F) -> O::F {
        o.mul(a, b)
    }
    #[inline(always)]
    fn div<O: Octet>(o: O, a: O::F, b: O::F) -> O::F {
        o.div(a, b)
    }
    #[inline(always)]
    fn mul_add<O: Octet>(o: O, a: O::F, b: O::F, c: O::F) -> O::F {
        o.mul_add(a, b, c)
    }
    #[inline(always)]
    fn max<O: Octet>(o: O, a: O::F, b: O::F) -> O::F {
        o.max(a, b)
    }
    #[inline(always)]
    fn select_near<O: Octet>(o: O, a: O::F, b: O::F, yes: O::F, no: O::F) -> O::F {
        o.select_ge(o.abs(o.sub(a, b)), o.splat(0.5), no, yes)
    }
    #[inline(always)]
    fn decay<O: Octet>(o: O, a: O::F) -> O::F {
        decay_octet(o, a)
    }
    #[inline(always)]
    fn log<O: Octet>(o: O, a: O::F) -> O::F {
        log_octet(o, a)
    }
    #[inline(always)]
    fn add_onto<O: Octet>(o: O, values: O::F, sums: &mut [f64; 8]) {
        *sums = o.store(o.add(o.load(sums), values));
    }
}

impl ReadAs<f32> for f32 {
    #[inline(always)]
    fn read<O: Octet>(o: O, column: &Column<f32>, part: usize) -> O::S {
        <f32 as Real>::load(o, column, part)
    }
}

impl<T: Stored> ReadAs<f64> for T {
    #[inline(always)]
    fn read<O: Octet>(o: O, column: &Column<T>, part: usize) -> O::F {
        T::octet(o, &column[part])
    }
}
