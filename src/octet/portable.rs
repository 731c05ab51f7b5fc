//! What every processor can do.

use super::Octet;

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
    type S = [[f32; 8]; 2];
    type U = [u64; 8];

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
    fn load_16(self, values: &[[f32; 8]; 2]) -> [[f32; 8]; 2] {
        *values
    }
    #[inline(always)]
    fn splat_16(self, value: f32) -> [[f32; 8]; 2] {
        [[value; 8]; 2]
    }
    #[inline(always)]
    fn add_16(self, a: [[f32; 8]; 2], b: [[f32; 8]; 2]) -> [[f32; 8]; 2] {
        std::array::from_fn(|k| std::array::from_fn(|i| a[k][i] + b[k][i]))
    }
    #[inline(always)]
    fn sub_16(self, a: [[f32; 8]; 2], b: [[f32; 8]; 2]) -> [[f32; 8]; 2] {
        std::array::from_fn(|k| std::array::from_fn(|i| a[k][i] - b[k][i]))
    }
    #[inline(always)]
    fn mul_16(self, a: [[f32; 8]; 2], b: [[f32; 8]; 2]) -> [[f32; 8]; 2] {
        std::array::from_fn(|k| std::array::from_fn(|i| a[k][i] * b[k][i]))
    }
    #[inline(always)]
    fn div_16(self, a: [[f32; 8]; 2], b: [[f32; 8]; 2]) -> [[f32; 8]; 2] {
        std::array::from_fn(|k| std::array::from_fn(|i| a[k][i] / b[k][i]))
    }
    #[inline(always)]
    fn abs_16(self, a: [[f32; 8]; 2]) -> [[f32; 8]; 2] {
        a.map(|half| half.map(f32::abs))
    }
    #[inline(always)]
    fn select_ge_16(self, a: [[f32; 8]; 2], b: [[f32; 8]; 2], yes: [[f32; 8]; 2], no: [[f32; 8]; 2]) -> [[f32; 8]; 2] {
        std::array::from_fn(|k| std::array::from_fn(|i| if a[k][i] >= b[k][i] { yes[k][i] } else { no[k][i] }))
    }
    #[inline(always)]
    fn shift_to_exponent_16(self, a: [[f32; 8]; 2]) -> [[f32; 8]; 2] {
        a.map(|half| half.map(|a| f32::from_bits(a.to_bits() << 23)))
    }
    #[inline(always)]
    fn mul_add_16(self, a: [[f32; 8]; 2], b: [[f32; 8]; 2], c: [[f32; 8]; 2]) -> [[f32; 8]; 2] {
        std::array::from_fn(|k| std::array::from_fn(|i| a[k][i].mul_add(b[k][i], c[k][i])))
    }
    #[inline(always)]
    fn store_16(self, values: [[f32; 8]; 2]) -> [[f32; 8]; 2] {
        values
    }
    #[inline(always)]
    fn min_16(self, a: [[f32; 8]; 2], b: [[f32; 8]; 2]) -> [[f32; 8]; 2] {
        std::array::from_fn(|k| std::array::from_fn(|i| if a[k][i] < b[k][i] { a[k][i] } else { b[k][i] }))
    }
    #[inline(always)]
    fn max_16(self, a: [[f32; 8]; 2], b: [[f32; 8]; 2]) -> [[f32; 8]; 2] {
        std::array::from_fn(|k| std::array::from_fn(|i| if a[k][i] > b[k][i] { a[k][i] } else { b[k][i] }))
    }
    #[inline(always)]
    fn widen_16(self, values: [[f32; 8]; 2]) -> [[f64; 8]; 2] {
        values.map(|half| half.map(f64::from))
    }
    #[inline(always)]
    fn narrow_16(self, values: [[f64; 8]; 2]) -> [[f32; 8]; 2] {
        values.map(|half| half.map(|value| value as f32))
    }
    #[inline(always)]
    fn load_u(self, values: &[u64; 8]) -> [u64; 8] {
        *values
    }
    #[inline(always)]
    fn store_u(self, values: [u64; 8]) -> [u64; 8] {
        values
    }
    #[inline(always)]
    fn bits(self, values: [f64; 8]) -> [u64; 8] {
        values.map(f64::to_bits)
    }
    #[inline(always)]
    fn bits_of_f32(self, values: &[f32; 8]) -> [u64; 8] {
        values.map(|value| u64::from((value + 0.0).to_bits()))
    }
    #[inline(always)]
    fn upper(self, values: [u64; 8]) -> [u64; 8] {
        values.map(|value| value >> 32)
    }
    #[inline(always)]
    fn mul_add_lower(self, a: [u64; 8], b: [u64; 8], c: [u64; 8]) -> [u64; 8] {
        std::array::from_fn(|i| (u64::from(a[i] as u32) * u64::from(b[i] as u32)).wrapping_add(c[i]))
    }
    #[inline(always)]
    fn transpose(self, rows: [[f32; 8]; 8]) -> [[f32; 8]; 8] {
        std::array::from_fn(|j| std::array::from_fn(|i| rows[i][j]))
    }
    #[inline(always)]
    fn prefetch<T>(self, _place: &T, _bytes: usize) {}
}
