//! Eight f64 side by side, and sixteen f32, on whatever vector instructions the processor has: the arithmetic of everything
//! that runs over rows on the host, but for the matrix products of curvature.
//!
//! Every operation is that of IEEE 754 on each of the eight numbers (with `mul_add` rounded once), and sums over rows keep
//! their eight parts until the end. So results have the same bits on every processor, with AVX-512, AVX2 or neither.

mod portable;
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
mod x86;

pub use portable::Portable;

use bytemuck::Pod;

/// An instruction set. The methods are the operations on eight numbers at a time.
pub trait Octet: Copy {
    /// Eight f64.
    type F: Copy;
    /// Sixteen f32.
    type S: Copy;
    /// Eight u64.
    type U: Copy;

    /// From memory.
    fn load(self, values: &[f64; 8]) -> Self::F;
    /// From f32 in memory.
    fn widen(self, values: &[f32; 8]) -> Self::F;
    /// To memory.
    fn store(self, values: Self::F) -> [f64; 8];
    /// To memory, rounded to f32.
    fn narrow(self, values: Self::F) -> [f32; 8];
    /// The same number eight times.
    fn splat(self, value: f64) -> Self::F;
    /// a + b.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// a − b.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// a·b.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// a/b.
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// a·b + c, rounded once.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// |a|.
    fn abs(self, a: Self::F) -> Self::F;
    /// √a.
    fn sqrt(self, a: Self::F) -> Self::F;
    /// The smaller of a and b; b where either is NaN.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// The larger of a and b; b where either is NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `yes` where a ≥ b, else `no`.
    fn select_ge(self, a: Self::F, b: Self::F, yes: Self::F, no: Self::F) -> Self::F;
    /// The numbers whose bits are those of a, shifted left by the 52 bits of a fraction.
    fn shift_to_exponent(self, a: Self::F) -> Self::F;
    /// Sixteen f32 from memory.
    fn load_16(self, values: &[[f32; 8]; 2]) -> Self::S;
    /// The same f32 sixteen times.
    fn splat_16(self, value: f32) -> Self::S;
    /// a + b of sixteen f32.
    fn add_16(self, a: Self::S, b: Self::S) -> Self::S;
    /// a − b of sixteen f32.
    fn sub_16(self, a: Self::S, b: Self::S) -> Self::S;
    /// a·b of sixteen f32.
    fn mul_16(self, a: Self::S, b: Self::S) -> Self::S;
    /// a/b of sixteen f32.
    fn div_16(self, a: Self::S, b: Self::S) -> Self::S;
    /// |a| of sixteen f32.
    fn abs_16(self, a: Self::S) -> Self::S;
    /// `yes` where a ≥ b of sixteen pairs, else `no`.
    fn select_ge_16(self, a: Self::S, b: Self::S, yes: Self::S, no: Self::S) -> Self::S;
    /// The f32 whose bits are those of a, shifted left by the 23 bits of a fraction.
    fn shift_to_exponent_16(self, a: Self::S) -> Self::S;
    /// a·b + c of sixteen f32, rounded once.
    fn mul_add_16(self, a: Self::S, b: Self::S, c: Self::S) -> Self::S;
    /// To memory.
    fn store_16(self, values: Self::S) -> [[f32; 8]; 2];
    /// The smaller of sixteen pairs; b where either is NaN.
    fn min_16(self, a: Self::S, b: Self::S) -> Self::S;
    /// The larger of sixteen pairs; b where either is NaN.
    fn max_16(self, a: Self::S, b: Self::S) -> Self::S;
    /// Sixteen f32 as f64.
    fn widen_16(self, values: Self::S) -> [Self::F; 2];
    /// Sixteen f64, rounded to f32.
    fn narrow_16(self, values: [Self::F; 2]) -> Self::S;
    /// Eight u64 from memory.
    fn load_u(self, values: &[u64; 8]) -> Self::U;
    /// To memory.
    fn store_u(self, values: Self::U) -> [u64; 8];
    /// The bits of eight f64.
    fn bits(self, values: Self::F) -> Self::U;
    /// The bits of eight f32, those of 0 for −0.
    fn bits_of_f32(self, values: &[f32; 8]) -> Self::U;
    /// The upper halves of eight u64.
    fn upper(self, values: Self::U) -> Self::U;
    /// The lower half of a times that of b, plus c, modulo 2⁶⁴.
    fn mul_add_lower(self, a: Self::U, b: Self::U, c: Self::U) -> Self::U;
    /// Rows become columns.
    fn transpose(self, rows: [[f32; 8]; 8]) -> [[f32; 8]; 8];
    /// Asks for the memory `bytes` after `place`, which may be none of ours.
    fn prefetch<T>(self, place: &T, bytes: usize);
}

/// A number that X is stored as.
pub trait Stored: Pod + Default + Send + Sync {
    /// Whether it is wider than f32.
    const IS_WIDE: bool;

    /// Eight of them, as f64.
    fn octet<O: Octet>(o: O, values: &[Self; 8]) -> O::F;
    /// Eight f64, rounded to it.
    fn rounded<O: Octet>(o: O, values: O::F) -> [Self; 8];
    /// Rows become columns.
    fn transposed<O: Octet>(o: O, rows: [[Self; 8]; 8]) -> [[Self; 8]; 8];
    /// It as f64.
    fn wide(self) -> f64;
    /// An f64, rounded to it.
    fn narrow(value: f64) -> Self;
    /// Of the bits of eight of them, those of 0 for −0, each half of 32 times the lower half of its factor, lower half first, added
    /// to `sums`.
    fn add_bits<O: Octet>(o: O, values: &[Self; 8], factors: [O::U; 2], sums: O::U) -> O::U;
}

impl Stored for f32 {
    const IS_WIDE: bool = false;

    #[inline(always)]
    fn octet<O: Octet>(o: O, values: &[f32; 8]) -> O::F {
        o.widen(values)
    }
    #[inline(always)]
    fn rounded<O: Octet>(o: O, values: O::F) -> [f32; 8] {
        o.narrow(values)
    }
    #[inline(always)]
    fn transposed<O: Octet>(o: O, rows: [[f32; 8]; 8]) -> [[f32; 8]; 8] {
        o.transpose(rows)
    }
    #[inline(always)]
    fn wide(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn narrow(value: f64) -> f32 {
        value as f32
    }
    #[inline(always)]
    fn add_bits<O: Octet>(o: O, values: &[f32; 8], factors: [O::U; 2], sums: O::U) -> O::U {
        o.mul_add_lower(o.bits_of_f32(values), factors[0], sums)
    }
}

impl Stored for f64 {
    const IS_WIDE: bool = true;

    #[inline(always)]
    fn octet<O: Octet>(o: O, values: &[f64; 8]) -> O::F {
        o.load(values)
    }
    #[inline(always)]
    fn rounded<O: Octet>(o: O, values: O::F) -> [f64; 8] {
        o.store(values)
    }
    #[inline(always)]
    fn transposed<O: Octet>(_: O, rows: [[f64; 8]; 8]) -> [[f64; 8]; 8] {
        let mut columns = [[0.0; 8]; 8];
        for i in 0..8 {
            for j in 0..8 {
                columns[j][i] = rows[i][j];
            }
        }
        columns
    }
    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }
    #[inline(always)]
    fn narrow(value: f64) -> f64 {
        value
    }
    #[inline(always)]
    fn add_bits<O: Octet>(o: O, values: &[f64; 8], factors: [O::U; 2], sums: O::U) -> O::U {
        let bits = o.bits(o.add(o.load(values), o.splat(0.0)));
        o.mul_add_lower(o.upper(bits), factors[1], o.mul_add_lower(bits, factors[0], sums))
    }
}

/// Work that runs on any instruction set.
pub trait Work {
    /// What comes of it.
    type Output;
    /// Does it. To be inlined, so that it is compiled for the instructions of `o`.
    fn run<O: Octet>(self, o: O) -> Self::Output;
}

/// Does `work` on the best instructions that the processor has.
pub fn dispatch<W: Work>(work: W) -> W::Output {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    match pulp::Arch::new() {
        pulp::Arch::V4(v4) => return v4.vectorize(x86::On(v4, work)),
        pulp::Arch::V3(v3) => return v3.vectorize(x86::On(v3, work)),
        _ => {}
    }
    work.run(Portable)
}

/// Does `work` on every instruction set that the processor has, the portable one first.
#[cfg(test)]
pub(crate) fn on_each<W: Work + Clone>(work: &W) -> Vec<W::Output> {
    let mut outputs = vec![work.clone().run(Portable)];
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        outputs.extend(pulp::x86::V3::try_new().map(|v3| v3.vectorize(x86::On(v3, work.clone()))));
        outputs.extend(pulp::x86::V4::try_new().map(|v4| v4.vectorize(x86::On(v4, work.clone()))));
    }
    outputs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation on awkward numbers, as bits.
    #[derive(Clone)]
    struct Everything;

    impl Work for Everything {
        type Output = Vec<u64>;
        #[inline(always)]
        fn run<O: Octet>(self, o: O) -> Vec<u64> {
            let numbers = [0.0, -0.0, 1.5, -2.25, 1e-310, 3.4e38, -1e300, f64::INFINITY, f64::NAN, 0.1, -7.0, 1e-40];
            let mut bits = Vec::new();
            for i in 0..numbers.len() {
                let pick = |k: usize| std::array::from_fn(|j| numbers[(i * k + j) % numbers.len()]);
                let (a, b, c) = (o.load(&pick(1)), o.load(&pick(5)), o.load(&pick(7)));
                let results = [
                    o.add(a, b),
                    o.sub(a, b),
                    o.mul(a, b),
                    o.div(a, b),
                    o.mul_add(a, b, c),
                    o.abs(a),
                    o.sqrt(a),
                    o.min(a, b),
                    o.max(a, b),
                    o.select_ge(a, b, c, a),
                    o.shift_to_exponent(a),
                    o.widen(&o.narrow(a)),
                    o.splat(numbers[i]),
                    sixteen(o, a, b, c)[0],
                    sixteen(o, b, c, a)[1],
                ];
                // NaN has many bits, of which an operation may choose any.
                let plain = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
                bits.extend(results.into_iter().flat_map(|result| o.store(result).map(plain)));
            }
            bits
        }
    }

    /// a·b + b in f32, with a splat and a load on the way.
    #[inline(always)]
    fn sixteen<O: Octet>(o: O, a: O::F, b: O::F, c: O::F) -> [O::F; 2] {
        let (narrow, loaded) = (o.narrow_16([a, b]), o.load_16(&[o.narrow(b), o.narrow(c)]));
        let sum = o.mul_add_16(o.mul_add_16(narrow, loaded, loaded), o.splat_16(1.1), narrow);
        let other = o.div_16(o.sub_16(o.abs_16(loaded), narrow), o.add_16(o.mul_16(narrow, loaded), o.splat_16(0.3)));
        let sum = o.select_ge_16(sum, other, o.shift_to_exponent_16(loaded), sum);
        o.widen_16(o.max_16(o.min_16(sum, loaded), o.load_16(&o.store_16(narrow))))
    }

    /// The transposed matrix of the numbers 0 to 63.
    #[derive(Clone)]
    struct Transposed;

    impl Work for Transposed {
        type Output = [[f32; 8]; 8];
        #[inline(always)]
        fn run<O: Octet>(self, o: O) -> [[f32; 8]; 8] {
            o.transpose(std::array::from_fn(|i| std::array::from_fn(|j| (8 * i + j) as f32)))
        }
    }

    #[test]
    fn rows_become_columns() {
        for columns in on_each(&Transposed) {
            for (j, column) in columns.iter().enumerate() {
                assert!(column.iter().enumerate().all(|(i, x)| *x == (8 * i + j) as f32), "column {j}: {column:?}");
            }
        }
    }

    #[test]
    fn all_instruction_sets_give_the_same_bits() {
        let outputs = on_each(&Everything);
        assert_eq!(outputs[0].len(), 12 * 15 * 8);
        assert!(outputs.iter().all(|output| *output == outputs[0]));
        assert_eq!(dispatch(Everything), outputs[0]);
        let value = |operation: usize| f64::from_bits(outputs[0][operation * 8 + 2]);
        // a = 1.5 and b = 1.5 in the third place of the first round; c too.
        assert_eq!([0, 1, 2, 3, 4, 5].map(value), [3.0, 0.0, 2.25, 1.0, 3.75, 1.5]);
    }
}
