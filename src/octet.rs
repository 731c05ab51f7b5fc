//! Eight f64 side by side, on whatever vector instructions the processor has: the arithmetic of everything that runs over
//! rows on the host.
//!
//! Every operation is that of IEEE 754 on each of the eight numbers (with `mul_add` rounded once), and sums over rows keep
//! their eight parts until the end. So results have the same bits on every processor, with AVX-512, AVX2 or neither.

use bytemuck::cast;

/// An instruction set. The methods are the operations on eight numbers at a time.
pub trait Octet: Copy {
    /// Eight f64.
    type F: Copy;

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
    /// Rows become columns.
    fn transpose(self, rows: [[f32; 8]; 8]) -> [[f32; 8]; 8];
    /// Asks for the memory `bytes` after `place`, which may be none of ours.
    fn prefetch<T>(self, place: &T, bytes: usize);
}

/// A number that X is stored as.
pub trait Stored: Copy + Default + Send + Sync + 'static {
    /// Whether it is wider than f32.
    const IS_WIDE: bool;

    /// Eight of them, as f64.
    fn octet<O: Octet>(o: O, values: &[Self; 8]) -> O::F;
    /// Eight f64, rounded to it.
    fn rounded<O: Octet>(o: O, values: O::F) -> [Self; 8];
    /// It as f64.
    fn wide(self) -> f64;
    /// An f64, rounded to it.
    fn narrow(value: f64) -> Self;
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
    fn wide(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn narrow(value: f64) -> f32 {
        value as f32
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
    fn wide(self) -> f64 {
        self
    }
    #[inline(always)]
    fn narrow(value: f64) -> f64 {
        value
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

/// What every processor can do; vectors are left to the compiler.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

/// f(i) for the eight places.
#[inline(always)]
fn each(f: impl Fn(usize) -> f64) -> [f64; 8] {
    std::array::from_fn(f)
}

impl Octet for Portable {
    type F = [f64; 8];

    #[inline(always)]
    fn load(self, values: &[f64; 8]) -> [f64; 8] {
        *values
    }
    #[inline(always)]
    fn widen(self, values: &[f32; 8]) -> [f64; 8] {
        values.map(f64::from)
    }
    #[inline(always)]
    fn store(self, values: [f64; 8]) -> [f64; 8] {
        values
    }
    #[inline(always)]
    fn narrow(self, values: [f64; 8]) -> [f32; 8] {
        values.map(|value| value as f32)
    }
    #[inline(always)]
    fn splat(self, value: f64) -> [f64; 8] {
        [value; 8]
    }
    #[inline(always)]
    fn add(self, a: [f64; 8], b: [f64; 8]) -> [f64; 8] {
        each(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: [f64; 8], b: [f64; 8]) -> [f64; 8] {
        each(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: [f64; 8], b: [f64; 8]) -> [f64; 8] {
        each(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: [f64; 8], b: [f64; 8]) -> [f64; 8] {
        each(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn mul_add(self, a: [f64; 8], b: [f64; 8], c: [f64; 8]) -> [f64; 8] {
        each(|i| a[i].mul_add(b[i], c[i]))
    }
    #[inline(always)]
    fn abs(self, a: [f64; 8]) -> [f64; 8] {
        a.map(f64::abs)
    }
    #[inline(always)]
    fn sqrt(self, a: [f64; 8]) -> [f64; 8] {
        a.map(f64::sqrt)
    }
    #[inline(always)]
    fn min(self, a: [f64; 8], b: [f64; 8]) -> [f64; 8] {
        each(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn max(self, a: [f64; 8], b: [f64; 8]) -> [f64; 8] {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn select_ge(self, a: [f64; 8], b: [f64; 8], yes: [f64; 8], no: [f64; 8]) -> [f64; 8] {
        each(|i| if a[i] >= b[i] { yes[i] } else { no[i] })
    }
    #[inline(always)]
    fn shift_to_exponent(self, a: [f64; 8]) -> [f64; 8] {
        a.map(|a| f64::from_bits(a.to_bits() << 52))
    }
    #[inline(always)]
    fn transpose(self, rows: [[f32; 8]; 8]) -> [[f32; 8]; 8] {
        std::array::from_fn(|j| std::array::from_fn(|i| rows[i][j]))
    }
    #[inline(always)]
    fn prefetch<T>(self, _place: &T, _bytes: usize) {}
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
mod x86 {
    use pulp::core_arch::x86::Avx;
    use pulp::x86::{V3, V4};
    use pulp::{f32x4, f32x8, f64x4, f64x8};

    use super::{Octet, Work, cast};

    /// `_MM_HINT_T1`: into the second-level cache.
    const SECOND_LEVEL: i32 = 2;

    /// Work to be compiled for an instruction set.
    pub(super) struct On<O, W>(pub(super) O, pub(super) W);

    impl<O: Octet, W: Work> pulp::NullaryFnOnce for On<O, W> {
        type Output = W::Output;
        #[inline(always)]
        fn call(self) -> W::Output {
            self.1.run(self.0)
        }
    }

    /// Pairs of rows are woven together, then pairs of pairs, then the halves are exchanged.
    #[inline(always)]
    fn transpose(avx: Avx, rows: [[f32; 8]; 8]) -> [[f32; 8]; 8] {
        let mut a = [avx._mm256_setzero_ps(); 8];
        let (mut b, mut columns) = (a, [[0.0; 8]; 8]);
        for i in (0..8).step_by(2) {
            a[i] = avx._mm256_unpacklo_ps(cast(rows[i]), cast(rows[i + 1]));
            a[i + 1] = avx._mm256_unpackhi_ps(cast(rows[i]), cast(rows[i + 1]));
        }
        for i in [0, 4] {
            b[i] = avx._mm256_shuffle_ps::<0b01_00_01_00>(a[i], a[i + 2]);
            b[i + 1] = avx._mm256_shuffle_ps::<0b11_10_11_10>(a[i], a[i + 2]);
            b[i + 2] = avx._mm256_shuffle_ps::<0b01_00_01_00>(a[i + 1], a[i + 3]);
            b[i + 3] = avx._mm256_shuffle_ps::<0b11_10_11_10>(a[i + 1], a[i + 3]);
        }
        for i in 0..4 {
            columns[i] = cast(avx._mm256_permute2f128_ps::<0x20>(b[i], b[i + 4]));
            columns[i + 4] = cast(avx._mm256_permute2f128_ps::<0x31>(b[i], b[i + 4]));
        }
        columns
    }

    /// AVX-512.
    impl Octet for V4 {
        type F = f64x8;

        #[inline(always)]
        fn load(self, values: &[f64; 8]) -> f64x8 {
            cast(*values)
        }
        #[inline(always)]
        fn widen(self, values: &[f32; 8]) -> f64x8 {
            self.convert_f32x8_to_f64x8(cast::<_, f32x8>(*values))
        }
        #[inline(always)]
        fn store(self, values: f64x8) -> [f64; 8] {
            cast(values)
        }
        #[inline(always)]
        fn narrow(self, values: f64x8) -> [f32; 8] {
            cast(self.convert_f64x8_to_f32x8(values))
        }
        #[inline(always)]
        fn splat(self, value: f64) -> f64x8 {
            self.splat_f64x8(value)
        }
        #[inline(always)]
        fn add(self, a: f64x8, b: f64x8) -> f64x8 {
            self.add_f64x8(a, b)
        }
        #[inline(always)]
        fn sub(self, a: f64x8, b: f64x8) -> f64x8 {
            self.sub_f64x8(a, b)
        }
        #[inline(always)]
        fn mul(self, a: f64x8, b: f64x8) -> f64x8 {
            self.mul_f64x8(a, b)
        }
        #[inline(always)]
        fn div(self, a: f64x8, b: f64x8) -> f64x8 {
            self.div_f64x8(a, b)
        }
        #[inline(always)]
        fn mul_add(self, a: f64x8, b: f64x8, c: f64x8) -> f64x8 {
            self.mul_add_f64x8(a, b, c)
        }
        #[inline(always)]
        fn abs(self, a: f64x8) -> f64x8 {
            self.abs_f64x8(a)
        }
        #[inline(always)]
        fn sqrt(self, a: f64x8) -> f64x8 {
            self.sqrt_f64x8(a)
        }
        #[inline(always)]
        fn min(self, a: f64x8, b: f64x8) -> f64x8 {
            self.min_f64x8(a, b)
        }
        #[inline(always)]
        fn max(self, a: f64x8, b: f64x8) -> f64x8 {
            self.max_f64x8(a, b)
        }
        #[inline(always)]
        fn select_ge(self, a: f64x8, b: f64x8, yes: f64x8, no: f64x8) -> f64x8 {
            self.select_f64x8(self.cmp_ge_f64x8(a, b), yes, no)
        }
        #[inline(always)]
        fn shift_to_exponent(self, a: f64x8) -> f64x8 {
            cast(self.shl_const_u64x8::<52>(cast(a)))
        }
        #[inline(always)]
        fn transpose(self, rows: [[f32; 8]; 8]) -> [[f32; 8]; 8] {
            transpose(self.avx, rows)
        }
        #[inline(always)]
        fn prefetch<T>(self, place: &T, bytes: usize) {
            self.sse._mm_prefetch::<SECOND_LEVEL>(std::ptr::from_ref(place).cast::<i8>().wrapping_add(bytes));
        }
    }

    /// AVX2 and FMA, two halves at a time.
    impl Octet for V3 {
        type F = [f64x4; 2];

        #[inline(always)]
        fn load(self, values: &[f64; 8]) -> [f64x4; 2] {
            cast(*values)
        }
        #[inline(always)]
        fn widen(self, values: &[f32; 8]) -> [f64x4; 2] {
            let halves: [f32x4; 2] = cast(*values);
            [self.convert_f32x4_to_f64x4(halves[0]), self.convert_f32x4_to_f64x4(halves[1])]
        }
        #[inline(always)]
        fn store(self, values: [f64x4; 2]) -> [f64; 8] {
            cast(values)
        }
        #[inline(always)]
        fn narrow(self, values: [f64x4; 2]) -> [f32; 8] {
            cast([self.convert_f64x4_to_f32x4(values[0]), self.convert_f64x4_to_f32x4(values[1])])
        }
        #[inline(always)]
        fn splat(self, value: f64) -> [f64x4; 2] {
            [self.splat_f64x4(value); 2]
        }
        #[inline(always)]
        fn add(self, a: [f64x4; 2], b: [f64x4; 2]) -> [f64x4; 2] {
            [self.add_f64x4(a[0], b[0]), self.add_f64x4(a[1], b[1])]
        }
        #[inline(always)]
        fn sub(self, a: [f64x4; 2], b: [f64x4; 2]) -> [f64x4; 2] {
            [self.sub_f64x4(a[0], b[0]), self.sub_f64x4(a[1], b[1])]
        }
        #[inline(always)]
        fn mul(self, a: [f64x4; 2], b: [f64x4; 2]) -> [f64x4; 2] {
            [self.mul_f64x4(a[0], b[0]), self.mul_f64x4(a[1], b[1])]
        }
        #[inline(always)]
        fn div(self, a: [f64x4; 2], b: [f64x4; 2]) -> [f64x4; 2] {
            [self.div_f64x4(a[0], b[0]), self.div_f64x4(a[1], b[1])]
        }
        #[inline(always)]
        fn mul_add(self, a: [f64x4; 2], b: [f64x4; 2], c: [f64x4; 2]) -> [f64x4; 2] {
            [self.mul_add_f64x4(a[0], b[0], c[0]), self.mul_add_f64x4(a[1], b[1], c[1])]
        }
        #[inline(always)]
        fn abs(self, a: [f64x4; 2]) -> [f64x4; 2] {
            [self.abs_f64x4(a[0]), self.abs_f64x4(a[1])]
        }
        #[inline(always)]
        fn sqrt(self, a: [f64x4; 2]) -> [f64x4; 2] {
            [self.sqrt_f64x4(a[0]), self.sqrt_f64x4(a[1])]
        }
        #[inline(always)]
        fn min(self, a: [f64x4; 2], b: [f64x4; 2]) -> [f64x4; 2] {
            [self.min_f64x4(a[0], b[0]), self.min_f64x4(a[1], b[1])]
        }
        #[inline(always)]
        fn max(self, a: [f64x4; 2], b: [f64x4; 2]) -> [f64x4; 2] {
            [self.max_f64x4(a[0], b[0]), self.max_f64x4(a[1], b[1])]
        }
        #[inline(always)]
        fn select_ge(self, a: [f64x4; 2], b: [f64x4; 2], yes: [f64x4; 2], no: [f64x4; 2]) -> [f64x4; 2] {
            [
                self.select_f64x4(self.cmp_ge_f64x4(a[0], b[0]), yes[0], no[0]),
                self.select_f64x4(self.cmp_ge_f64x4(a[1], b[1]), yes[1], no[1]),
            ]
        }
        #[inline(always)]
        fn shift_to_exponent(self, a: [f64x4; 2]) -> [f64x4; 2] {
            [cast(self.shl_const_u64x4::<52>(cast(a[0]))), cast(self.shl_const_u64x4::<52>(cast(a[1])))]
        }
        #[inline(always)]
        fn transpose(self, rows: [[f32; 8]; 8]) -> [[f32; 8]; 8] {
            transpose(self.avx, rows)
        }
        #[inline(always)]
        fn prefetch<T>(self, place: &T, bytes: usize) {
            self.sse._mm_prefetch::<SECOND_LEVEL>(std::ptr::from_ref(place).cast::<i8>().wrapping_add(bytes));
        }
    }
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
                ];
                // NaN has many bits, of which an operation may choose any.
                let plain = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
                bits.extend(results.into_iter().flat_map(|result| o.store(result).map(plain)));
            }
            bits
        }
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
        assert_eq!(outputs[0].len(), 12 * 13 * 8);
        assert!(outputs.iter().all(|output| *output == outputs[0]));
        assert_eq!(dispatch(Everything), outputs[0]);
        let value = |operation: usize| f64::from_bits(outputs[0][operation * 8 + 2]);
        // a = 1.5 and b = 1.5 in the third place of the first round; c too.
        assert_eq!([0, 1, 2, 3, 4, 5].map(value), [3.0, 0.0, 2.25, 1.0, 3.75, 1.5]);
    }
}
