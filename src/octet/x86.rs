//! AVX-512 and AVX2.

use bytemuck::cast;
use pulp::core_arch::x86::Avx;
use pulp::x86::{V3, V4};
use pulp::{f32x4, f32x8, f32x16, f64x4, f64x8, u32x4, u64x4, u64x8};

use super::{Octet, Work};

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
    type S = f32x16;
    type U = u64x8;

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
    fn load_16(self, values: &[[f32; 8]; 2]) -> f32x16 {
        cast(*values)
    }
    #[inline(always)]
    fn splat_16(self, value: f32) -> f32x16 {
        self.splat_f32x16(value)
    }
    #[inline(always)]
    fn add_16(self, a: f32x16, b: f32x16) -> f32x16 {
        self.add_f32x16(a, b)
    }
    #[inline(always)]
    fn sub_16(self, a: f32x16, b: f32x16) -> f32x16 {
        self.sub_f32x16(a, b)
    }
    #[inline(always)]
    fn mul_16(self, a: f32x16, b: f32x16) -> f32x16 {
        self.mul_f32x16(a, b)
    }
    #[inline(always)]
    fn div_16(self, a: f32x16, b: f32x16) -> f32x16 {
        self.div_f32x16(a, b)
    }
    #[inline(always)]
    fn abs_16(self, a: f32x16) -> f32x16 {
        self.abs_f32x16(a)
    }
    #[inline(always)]
    fn select_ge_16(self, a: f32x16, b: f32x16, yes: f32x16, no: f32x16) -> f32x16 {
        self.select_f32x16(self.cmp_ge_f32x16(a, b), yes, no)
    }
    #[inline(always)]
    fn shift_to_exponent_16(self, a: f32x16) -> f32x16 {
        cast(self.shl_const_u32x16::<23>(cast(a)))
    }
    #[inline(always)]
    fn mul_add_16(self, a: f32x16, b: f32x16, c: f32x16) -> f32x16 {
        self.mul_add_f32x16(a, b, c)
    }
    #[inline(always)]
    fn store_16(self, values: f32x16) -> [[f32; 8]; 2] {
        cast(values)
    }
    #[inline(always)]
    fn min_16(self, a: f32x16, b: f32x16) -> f32x16 {
        self.min_f32x16(a, b)
    }
    #[inline(always)]
    fn max_16(self, a: f32x16, b: f32x16) -> f32x16 {
        self.max_f32x16(a, b)
    }
    #[inline(always)]
    fn widen_16(self, values: f32x16) -> [f64x8; 2] {
        let halves: [f32x8; 2] = cast(values);
        [self.convert_f32x8_to_f64x8(halves[0]), self.convert_f32x8_to_f64x8(halves[1])]
    }
    #[inline(always)]
    fn narrow_16(self, values: [f64x8; 2]) -> f32x16 {
        cast([self.convert_f64x8_to_f32x8(values[0]), self.convert_f64x8_to_f32x8(values[1])])
    }
    #[inline(always)]
    fn load_u(self, values: &[u64; 8]) -> u64x8 {
        cast(*values)
    }
    #[inline(always)]
    fn store_u(self, values: u64x8) -> [u64; 8] {
        cast(values)
    }
    #[inline(always)]
    fn bits(self, values: f64x8) -> u64x8 {
        cast(values)
    }
    #[inline(always)]
    fn bits_of_f32(self, values: &[f32; 8]) -> u64x8 {
        let values = self.add_f32x8(cast(*values), self.splat_f32x8(0.0));
        cast(self.avx512f._mm512_cvtepu32_epi64(cast(values)))
    }
    #[inline(always)]
    fn upper(self, values: u64x8) -> u64x8 {
        self.shr_const_u64x8::<32>(values)
    }
    #[inline(always)]
    fn mul_add_lower(self, a: u64x8, b: u64x8, c: u64x8) -> u64x8 {
        self.wrapping_add_u64x8(cast(self.avx512f._mm512_mul_epu32(cast(a), cast(b))), c)
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
    type S = [f32x8; 2];
    type U = [u64x4; 2];

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
    fn load_16(self, values: &[[f32; 8]; 2]) -> [f32x8; 2] {
        cast(*values)
    }
    #[inline(always)]
    fn splat_16(self, value: f32) -> [f32x8; 2] {
        [self.splat_f32x8(value); 2]
    }
    #[inline(always)]
    fn add_16(self, a: [f32x8; 2], b: [f32x8; 2]) -> [f32x8; 2] {
        [self.add_f32x8(a[0], b[0]), self.add_f32x8(a[1], b[1])]
    }
    #[inline(always)]
    fn sub_16(self, a: [f32x8; 2], b: [f32x8; 2]) -> [f32x8; 2] {
        [self.sub_f32x8(a[0], b[0]), self.sub_f32x8(a[1], b[1])]
    }
    #[inline(always)]
    fn mul_16(self, a: [f32x8; 2], b: [f32x8; 2]) -> [f32x8; 2] {
        [self.mul_f32x8(a[0], b[0]), self.mul_f32x8(a[1], b[1])]
    }
    #[inline(always)]
    fn div_16(self, a: [f32x8; 2], b: [f32x8; 2]) -> [f32x8; 2] {
        [self.div_f32x8(a[0], b[0]), self.div_f32x8(a[1], b[1])]
    }
    #[inline(always)]
    fn abs_16(self, a: [f32x8; 2]) -> [f32x8; 2] {
        [self.abs_f32x8(a[0]), self.abs_f32x8(a[1])]
    }
    #[inline(always)]
    fn select_ge_16(self, a: [f32x8; 2], b: [f32x8; 2], yes: [f32x8; 2], no: [f32x8; 2]) -> [f32x8; 2] {
        [
            self.select_f32x8(self.cmp_ge_f32x8(a[0], b[0]), yes[0], no[0]),
            self.select_f32x8(self.cmp_ge_f32x8(a[1], b[1]), yes[1], no[1]),
        ]
    }
    #[inline(always)]
    fn shift_to_exponent_16(self, a: [f32x8; 2]) -> [f32x8; 2] {
        [cast(self.shl_const_u32x8::<23>(cast(a[0]))), cast(self.shl_const_u32x8::<23>(cast(a[1])))]
    }
    #[inline(always)]
    fn mul_add_16(self, a: [f32x8; 2], b: [f32x8; 2], c: [f32x8; 2]) -> [f32x8; 2] {
        [self.mul_add_f32x8(a[0], b[0], c[0]), self.mul_add_f32x8(a[1], b[1], c[1])]
    }
    #[inline(always)]
    fn store_16(self, values: [f32x8; 2]) -> [[f32; 8]; 2] {
        cast(values)
    }
    #[inline(always)]
    fn min_16(self, a: [f32x8; 2], b: [f32x8; 2]) -> [f32x8; 2] {
        [self.min_f32x8(a[0], b[0]), self.min_f32x8(a[1], b[1])]
    }
    #[inline(always)]
    fn max_16(self, a: [f32x8; 2], b: [f32x8; 2]) -> [f32x8; 2] {
        [self.max_f32x8(a[0], b[0]), self.max_f32x8(a[1], b[1])]
    }
    #[inline(always)]
    fn widen_16(self, values: [f32x8; 2]) -> [[f64x4; 2]; 2] {
        let quarters: [f32x4; 4] = cast(values);
        [
            [self.convert_f32x4_to_f64x4(quarters[0]), self.convert_f32x4_to_f64x4(quarters[1])],
            [self.convert_f32x4_to_f64x4(quarters[2]), self.convert_f32x4_to_f64x4(quarters[3])],
        ]
    }
    #[inline(always)]
    fn narrow_16(self, values: [[f64x4; 2]; 2]) -> [f32x8; 2] {
        cast([
            self.convert_f64x4_to_f32x4(values[0][0]),
            self.convert_f64x4_to_f32x4(values[0][1]),
            self.convert_f64x4_to_f32x4(values[1][0]),
            self.convert_f64x4_to_f32x4(values[1][1]),
        ])
    }
    #[inline(always)]
    fn load_u(self, values: &[u64; 8]) -> [u64x4; 2] {
        cast(*values)
    }
    #[inline(always)]
    fn store_u(self, values: [u64x4; 2]) -> [u64; 8] {
        cast(values)
    }
    #[inline(always)]
    fn bits(self, values: [f64x4; 2]) -> [u64x4; 2] {
        cast(values)
    }
    #[inline(always)]
    fn bits_of_f32(self, values: &[f32; 8]) -> [u64x4; 2] {
        let halves: [u32x4; 2] = cast(self.add_f32x8(cast(*values), self.splat_f32x8(0.0)));
        [self.convert_u32x4_to_u64x4(halves[0]), self.convert_u32x4_to_u64x4(halves[1])]
    }
    #[inline(always)]
    fn upper(self, values: [u64x4; 2]) -> [u64x4; 2] {
        [self.shr_const_u64x4::<32>(values[0]), self.shr_const_u64x4::<32>(values[1])]
    }
    #[inline(always)]
    fn mul_add_lower(self, a: [u64x4; 2], b: [u64x4; 2], c: [u64x4; 2]) -> [u64x4; 2] {
        [
            self.wrapping_add_u64x4(cast(self.avx2._mm256_mul_epu32(cast(a[0]), cast(b[0]))), c[0]),
            self.wrapping_add_u64x4(cast(self.avx2._mm256_mul_epu32(cast(a[1]), cast(b[1]))), c[1]),
        ]
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
