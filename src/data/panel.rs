//! Storing: the values of a column in some rows become z = (x − centre)/scale in a block's order, and its moments are taken.

use super::block::LANES;
use crate::octet::{Octet, Stored, Work};

/// Octets in a group.
pub(super) const OCTETS: usize = LANES / 8;
/// Bytes that memory is read in.
const LINE: usize = 64;
/// The smallest weight that is not 0.
const SOME: f64 = f64::from_bits(1);

/// How a value becomes z: factor·value + shift. The scale is a power of two and the centre a multiple of it, so factor and
/// shift are exact and z is rounded once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Affine {
    pub(super) factor: f64,
    pub(super) shift: f64,
}

/// Sums over the rows of positive weight of one column in stored units, in eight parts each, or sixteen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    /// Σ s·z.
    first: [f64; 8],
    /// Σ s·z².
    second: [f64; 8],
    /// Of z before it is rounded, which may hide that it varies.
    min: [f64; 8],
    max: [f64; 8],
    /// Of z that are not rounded.
    min_16: [[f32; 8]; 2],
    max_16: [[f32; 8]; 2],
    /// Largest |z − stored z|.
    rounding: [f64; 8],
    /// 0, or not a number where a value is beyond f32 although stored in f64.
    beyond: [f64; 8],
}

/// What [`Sums`] come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartMoments {
    /// Σ s·z.
    pub(super) first: f64,
    /// Σ s·(z − mean)².
    pub(super) spread: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) rounding: f64,
    /// Whether every value is in the range of f32.
    pub(super) in_range: bool,
}

impl Sums {
    pub(super) const NONE: Sums = Sums {
        first: [0.0; 8],
        second: [0.0; 8],
        min: [f64::INFINITY; 8],
        max: [f64::NEG_INFINITY; 8],
        min_16: [[f32::INFINITY; 8]; 2],
        max_16: [[f32::NEG_INFINITY; 8]; 2],
        rounding: [0.0; 8],
        beyond: [0.0; 8],
    };

    /// What they come to for rows of weight `weight` in all.
    pub(super) fn finish(&self, weight: f64) -> PartMoments {
        let first: f64 = self.first.iter().sum();
        let second: f64 = self.second.iter().sum();
        let [min_16, max_16] =
            [&self.min_16, &self.max_16].map(|sums| sums.as_flattened().iter().map(|z| f64::from(*z)));
        let min = self.min.iter().copied().chain(min_16).fold(f64::INFINITY, f64::min);
        let max = self.max.iter().copied().chain(max_16).fold(f64::NEG_INFINITY, f64::max);
        // Infinite where no row counts; a value that is makes the first sum so.
        let largest = [min, max].into_iter().filter(|z| z.is_finite()).fold(0f64, |most, z| most.max(z.abs()));
        PartMoments {
            first,
            spread: if weight > 0.0 { (second - first * first / weight).max(0.0) } else { 0.0 },
            min,
            max,
            rounding: self.rounding.iter().copied().fold(0.0, f64::max),
            in_range: first.is_finite() && self.beyond.iter().sum::<f64>() == 0.0 && !(largest > f64::from(f32::MAX)),
        }
    }
}

/// Stores the values of some groups of rows.
pub(super) struct Store<'a, R, T> {
    /// The values, column by column; anything for padding.
    pub(super) raw: &'a [R],
    /// The weights, and 0 for padding.
    pub(super) weight: &'a [f64],
    /// Rows that are no padding.
    pub(super) present: usize,
    /// How each column is stored.
    pub(super) affine: &'a [Affine],
    /// Where they go, interleaved by [`LANES`].
    pub(super) out: &'a mut [T],
    /// Those of each column.
    pub(super) sums: &'a mut [Sums],
    /// What each column comes to with the targets, where that is wanted.
    pub(super) crossed: Option<Crossed<'a>>,
}

/// Σ s·t·z of each column in eight parts.
pub(super) struct Crossed<'a> {
    /// s·t of each row, and 0 for padding.
    pub(super) weighted: &'a [f64],
    pub(super) sums: &'a mut [[f64; 8]],
}

impl<R: Stored, T: Stored> Work for Store<'_, R, T> {
    type Output = ();

    #[inline(always)]
    fn run<O: Octet>(self, o: O) {
        let Store { raw, weight, present, affine, out, sums, mut crossed } = self;
        let (stride, all_count) = (affine.len() * LANES, weight.iter().all(|s| *s > 0.0));
        let ahead = size_of_val(&*out);
        for (j, ((raw, &affine), sums)) in raw.chunks_exact(weight.len()).zip(affine).zip(sums).enumerate() {
            // What f32 holds, moved by no more than a power of two, is not rounded.
            let Affine { factor, shift } = affine;
            let exact = !R::IS_WIDE && !T::IS_WIDE && shift == 0.0 && f64::from(factor as f32) == factor;
            let column = StoreColumn { raw, weight, present, affine, out: &mut out[j * LANES..], stride, ahead, sums };
            match (all_count, exact) {
                (true, true) => column.scale(o),
                (true, false) => column.store::<O, true>(o),
                (false, _) => column.store::<O, false>(o),
            }
            if let Some(Crossed { weighted, sums }) = &mut crossed {
                cross(o, &out[j * LANES..], stride, weighted, &mut sums[j]);
            }
        }
    }
}

/// One column of a [`Store`].
struct StoreColumn<'a, R, T> {
    raw: &'a [R],
    weight: &'a [f64],
    present: usize,
    affine: Affine,
    /// Where the values of the first group go; those of further groups `stride` values later each.
    out: &'a mut [T],
    stride: usize,
    /// Bytes from there to where the next panel's values go, which are asked for while these are worked on: where rows are packed
    /// where they lie, it is read from there.
    ahead: usize,
    sums: &'a mut Sums,
}

impl<R: Stored, T: Stored> StoreColumn<'_, R, T> {
    /// Stores, where `ALL` rows count in the moments or not.
    #[inline(always)]
    fn store<O: Octet, const ALL: bool>(mut self, o: O) {
        let (factor, shift) = (o.splat(self.affine.factor), o.splat(self.affine.shift));
        let (some, low, high, zero) = (o.splat(SOME), o.splat(f64::NEG_INFINITY), o.splat(f64::INFINITY), o.splat(0.0));
        let mut first = o.load(&self.sums.first);
        let mut second = o.load(&self.sums.second);
        let mut min = o.load(&self.sums.min);
        let mut max = o.load(&self.sums.max);
        let mut rounding = o.load(&self.sums.rounding);
        let mut beyond = o.load(&self.sums.beyond);
        let (raw, weight) = (self.raw.as_chunks::<8>().0, self.weight.as_chunks::<8>().0);
        for g in 0..raw.len() / OCTETS {
            let out = &mut self.out[g * self.stride..g * self.stride + LANES];
            prefetch(o, out, self.ahead);
            let out = out.as_chunks_mut::<8>().0;
            for k in 0..OCTETS {
                let s = o.load(&weight[g * OCTETS + k]);
                let exact = o.mul_add(R::octet(o, &raw[g * OCTETS + k]), factor, shift);
                let stored = T::rounded(o, exact);
                out[k] = stored;
                let z = T::octet(o, &stored);
                if T::IS_WIDE {
                    // A GPU will round these to f32, so they must be in its range as well.
                    let narrow = o.widen(&o.narrow(z));
                    beyond = o.add(beyond, o.sub(narrow, narrow));
                }
                let sz = o.mul(s, z);
                first = o.add(first, sz);
                second = o.mul_add(sz, z, second);
                let counts = |yes, no| if ALL { yes } else { o.select_ge(s, some, yes, no) };
                min = o.min(counts(exact, high), min);
                max = o.max(counts(exact, low), max);
                rounding = o.max(counts(o.abs(o.sub(exact, z)), zero), rounding);
            }
        }
        self.clear_padding();
        *self.sums = Sums {
            first: o.store(first),
            second: o.store(second),
            min: o.store(min),
            max: o.store(max),
            rounding: o.store(rounding),
            beyond: o.store(beyond),
            ..*self.sums
        };
    }

    /// Stores f32 times the factor, sixteen at a time, where all rows count.
    #[inline(always)]
    fn scale<O: Octet>(mut self, o: O) {
        let (factor, nothing) = (o.splat_16(self.affine.factor as f32), o.splat_16(0.0));
        // Two of each, since an addition waits for the one before.
        let mut first = [o.load(&self.sums.first), o.splat(0.0)];
        let mut second = [o.load(&self.sums.second), o.splat(0.0)];
        let (mut min, mut max) = (o.load_16(&self.sums.min_16), o.load_16(&self.sums.max_16));
        let raw: &[f32] = bytemuck::cast_slice(self.raw);
        let groups = raw.as_chunks::<LANES>().0.iter().zip(self.weight.as_chunks::<LANES>().0);
        let out: &mut [f32] = bytemuck::cast_slice_mut(&mut *self.out);
        for ((raw, weight), out) in groups.zip(out.chunks_mut(self.stride)) {
            let out = &mut out[..LANES];
            prefetch(o, out, self.ahead);
            let (raw, out) = (raw.as_chunks().0.as_chunks().0, out.as_chunks_mut().0.as_chunks_mut().0);
            for ((raw, out), weight) in raw.iter().zip(out).zip(weight.as_chunks::<8>().0.as_chunks::<2>().0) {
                let z = o.mul_add_16(o.load_16(raw), factor, nothing);
                *out = o.store_16(z);
                min = o.min_16(z, min);
                max = o.max_16(z, max);
                let halves = o.widen_16(z);
                for h in 0..2 {
                    let sz = o.mul(o.load(&weight[h]), halves[h]);
                    first[h] = o.add(first[h], sz);
                    second[h] = o.mul_add(sz, halves[h], second[h]);
                }
            }
        }
        (self.sums.min_16, self.sums.max_16) = (o.store_16(min), o.store_16(max));
        self.sums.first = o.store(o.add(first[0], first[1]));
        self.sums.second = o.store(o.add(second[0], second[1]));
        self.clear_padding();
    }

    /// Zeros for rows that are none.
    #[inline(always)]
    fn clear_padding(&mut self) {
        for row in self.present..self.raw.len() {
            self.out[row / LANES * self.stride + row % LANES] = T::default();
        }
    }
}

/// Adds Σ s·t·z of a column to `sum`; its values in the first group are the first of `stored`, those of further groups `stride` later
/// each.
#[inline(always)]
fn cross<O: Octet, T: Stored>(o: O, stored: &[T], stride: usize, weighted: &[f64], sum: &mut [f64; 8]) {
    // Two sums, since an addition waits for the one before.
    let mut sums = [o.load(sum), o.splat(0.0)];
    for (z, weighted) in stored.chunks(stride).zip(weighted.as_chunks::<LANES>().0) {
        let (z, weighted) = (z[..LANES].as_chunks::<8>().0, weighted.as_chunks::<8>().0);
        for k in 0..OCTETS {
            sums[k % 2] = o.mul_add(o.load(&weighted[k]), T::octet(o, &z[k]), sums[k % 2]);
        }
    }
    *sum = o.store(o.add(sums[0], sums[1]));
}

/// Asks for the memory that lies `ahead` bytes after a group's values of a column.
#[inline(always)]
fn prefetch<O: Octet, T>(o: O, column: &[T], ahead: usize) {
    for line in column.chunks(LINE / size_of::<T>()) {
        o.prefetch(&line[0], ahead);
    }
}

/// Rows of `features` values become columns of a panel.
pub(super) struct Transpose<'a, T> {
    /// A multiple of 8 rows.
    pub(super) rows: &'a [T],
    pub(super) columns: &'a mut [T],
    pub(super) features: usize,
}

impl<T: Stored> Work for Transpose<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<O: Octet>(self, o: O) {
        let Transpose { rows, columns, features } = self;
        let height = rows.len() / features;
        let whole = features / 8 * 8;
        // All of a line of memory that a row lies on while it is at hand: rows that lie powers of two apart drive each other out.
        for line in (0..whole).step_by(16) {
            for i in (0..height).step_by(8) {
                for j in (line..whole.min(line + 16)).step_by(8) {
                    let mut square = [[T::default(); 8]; 8];
                    for (k, row) in square.iter_mut().enumerate() {
                        row.copy_from_slice(&rows[(i + k) * features + j..][..8]);
                    }
                    for (k, column) in T::transposed(o, square).iter().enumerate() {
                        columns[(j + k) * height + i..][..8].copy_from_slice(column);
                    }
                }
            }
        }
        for j in whole..features {
            for i in 0..height {
                columns[j * height + i] = rows[i * features + j];
            }
        }
    }
}
