//! One number a row: targets, sample weights, offsets.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::block::LANES;
use crate::octet::{Octet, Stored};

/// Rows that are looked at by one task.
const TASK_ROWS: usize = 1 << 14;

/// One number for each row, in the fewest bytes that lose nothing. Beyond the last row, up to whole groups of [`LANES`], it
/// is 0.
#[derive(Debug, Clone)]
pub struct RowVector {
    rows: usize,
    numbers: Numbers,
}

#[derive(Debug, Clone)]
enum Numbers {
    /// The same in every row; the last group, which may hold rows that are none, apart.
    Same(f64, Box<[f64; LANES]>),
    /// From a group on, numbers that are 0 or 1: a bit each, the first row's the lowest.
    Bits(Arc<Vec<u32>>, usize),
    /// From a row on, numbers that f32 holds exactly, padded.
    F32(Arc<Vec<f32>>, usize),
    /// From a row on, others, padded.
    F64(Arc<Vec<f64>>, usize),
}

/// The numbers of one group of rows.
#[derive(Debug, Clone, Copy)]
pub enum Group<'a> {
    /// The same in every row.
    Same(f64),
    /// A bit each, the first row's the lowest.
    Bits(u32),
    /// As f32.
    F32(&'a [f32; LANES]),
    /// As f64.
    F64(&'a [f64; LANES]),
}

/// The eight numbers that the bits of a byte stand for.
static OF_BYTE: [[f32; 8]; 256] = {
    let mut all = [[0.0; 8]; 256];
    let mut at = 0;
    while at < 8 * all.len() {
        all[at / 8][at % 8] = ((at / 8) >> (at % 8) & 1) as f32;
        at += 1;
    }
    all
};

/// The numbers that the bits of a group stand for, eight by eight.
#[inline(always)]
fn of_bits(bits: u32) -> [&'static [f32; 8]; LANES / 8] {
    let [a, b, c, d] = bits.to_le_bytes();
    [&OF_BYTE[a as usize], &OF_BYTE[b as usize], &OF_BYTE[c as usize], &OF_BYTE[d as usize]]
}

/// A group of stored numbers, eight by eight.
#[inline(always)]
pub fn stored<O: Octet, T: Stored>(o: O, numbers: &[T; LANES]) -> [O::F; LANES / 8] {
    let octets = numbers.as_chunks().0;
    [T::octet(o, &octets[0]), T::octet(o, &octets[1]), T::octet(o, &octets[2]), T::octet(o, &octets[3])]
}

impl From<Vec<f64>> for RowVector {
    fn from(numbers: Vec<f64>) -> Self {
        RowVector::of(numbers.len(), |row| numbers[row])
    }
}

impl RowVector {
    /// The same number in every row.
    pub fn same(rows: usize, number: f64) -> Self {
        RowVector { rows, numbers: Numbers::same(number, rows) }
    }

    /// The vector of `number` of each row.
    pub fn of(rows: usize, number: impl Fn(usize) -> f64 + Sync) -> Self {
        let first = if rows > 0 { number(0) } else { 0.0 };
        if let Some(numbers) = Numbers::bits(rows, &number) {
            return RowVector { rows, numbers };
        }
        let mut narrow = vec![0f32; padded(rows)];
        // Whether all numbers are the first, and whether f32 holds all.
        let (same, exact) = narrow[..rows]
            .par_chunks_mut(TASK_ROWS)
            .enumerate()
            .map(|(task, narrow)| {
                let (mut same, mut exact) = (true, true);
                for (i, narrow) in narrow.iter_mut().enumerate() {
                    let x = number(task * TASK_ROWS + i);
                    *narrow = x as f32;
                    same &= x == first;
                    exact &= f64::from(*narrow) == x;
                }
                (same, exact)
            })
            .reduce(|| (true, true), |a, b| (a.0 && b.0, a.1 && b.1));
        let numbers = if same {
            Numbers::same(first, rows)
        } else if exact {
            Numbers::F32(Arc::new(narrow), 0)
        } else {
            let mut wide = vec![0.0; padded(rows)];
            wide[..rows].par_iter_mut().enumerate().for_each(|(row, x)| *x = number(row));
            Numbers::F64(Arc::new(wide), 0)
        };
        RowVector { rows, numbers }
    }

    /// The whole number that `of_code` has for the code of each row.
    pub(super) fn of_codes(codes: &[u8], of_code: &[usize; 256]) -> Self {
        if of_code.iter().any(|number| *number > 1) {
            return RowVector::of(codes.len(), |row| of_code[usize::from(codes[row])] as f64);
        }
        let of_code = of_code.map(|number| number as u32);
        let bits = codes.par_chunks(LANES).with_min_len(TASK_ROWS / LANES).map(|codes| {
            let lanes = codes.iter().enumerate();
            lanes.fold(0, |bits, (lane, code)| bits | of_code[usize::from(*code)] << lane)
        });
        RowVector { rows: codes.len(), numbers: Numbers::of_bits(bits.collect(), codes.len()) }
    }

    /// The numbers of `rows`, which begin at a multiple of [`LANES`] and end at one or where all rows do.
    pub(super) fn slice(&self, rows: Range<usize>) -> Self {
        let numbers = match &self.numbers {
            Numbers::Same(value, _) => Numbers::same(*value, rows.len()),
            Numbers::Bits(numbers, first) => Numbers::Bits(Arc::clone(numbers), first + rows.start / LANES),
            Numbers::F32(numbers, first) => Numbers::F32(Arc::clone(numbers), first + rows.start),
            Numbers::F64(numbers, first) => Numbers::F64(Arc::clone(numbers), first + rows.start),
        };
        RowVector { rows: rows.len(), numbers }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> u64 {
        let bits = match &self.numbers {
            Numbers::Same(..) => 0,
            Numbers::Bits(..) => 1,
            Numbers::F32(..) => 32,
            Numbers::F64(..) => 64,
        };
        (padded(self.rows) / 8 * bits) as u64
    }

    /// The number of row `row`.
    #[inline]
    pub fn at(&self, row: usize) -> f64 {
        match &self.numbers {
            Numbers::Same(value, _) => *value,
            Numbers::Bits(numbers, first) => f64::from(numbers[first + row / LANES] >> (row % LANES) & 1),
            Numbers::F32(numbers, first) => f64::from(numbers[first + row]),
            Numbers::F64(numbers, first) => numbers[first + row],
        }
    }

    /// The numbers of all rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.rows).map(|row| self.at(row))
    }

    /// `sum` and all numbers, added in order group by group.
    pub fn add_to(&self, sum: f64) -> f64 {
        let of = |group: Group<'_>| group.lanes().iter().sum::<f64>();
        let of_same = if let Numbers::Same(value, _) = &self.numbers { of(Group::Same(*value)) } else { 0.0 };
        (0..padded(self.rows) / LANES).fold(sum, |sum, g| match self.group(g) {
            Group::Same(_) => sum + of_same,
            group => sum + of(group),
        })
    }

    /// The number of all rows in the groups `groups`, where they are known to have the same.
    pub(super) fn same_in(&self, groups: Range<usize>) -> Option<f64> {
        match &self.numbers {
            Numbers::Same(value, _) if groups.end * LANES < self.rows => Some(*value),
            _ => None,
        }
    }

    /// The first row whose number `is_sought`.
    pub fn position(&self, is_sought: impl Fn(f64) -> bool + Sync) -> Option<usize> {
        match &self.numbers {
            Numbers::Same(value, _) => (self.rows > 0 && is_sought(*value)).then_some(0),
            Numbers::Bits(..) => {
                let sought = [is_sought(0.0), is_sought(1.0)];
                let is_there = |row: &usize| sought[usize::from(self.at(*row) == 1.0)];
                if sought == [false; 2] { None } else { (0..self.rows).find(is_there) }
            }
            Numbers::F32(numbers, first) => position(&numbers[*first..first + self.rows], |x| is_sought(f64::from(*x))),
            Numbers::F64(numbers, first) => position(&numbers[*first..first + self.rows], |x| is_sought(*x)),
        }
    }

    /// The numbers of group `g`.
    #[inline]
    pub fn group(&self, g: usize) -> Group<'_> {
        match &self.numbers {
            Numbers::Same(_, last) if (g + 1) * LANES >= self.rows => Group::F64(last),
            Numbers::Same(value, _) => Group::Same(*value),
            Numbers::Bits(numbers, first) => Group::Bits(numbers[first + g]),
            Numbers::F32(numbers, first) => Group::F32(&numbers.as_chunks().0[first / LANES + g]),
            Numbers::F64(numbers, first) => Group::F64(&numbers.as_chunks().0[first / LANES + g]),
        }
    }
}

impl Numbers {
    fn same(value: f64, rows: usize) -> Self {
        let last = rows - rows.saturating_sub(1) / LANES * LANES;
        Numbers::Same(value, Box::new(std::array::from_fn(|lane| if lane < last { value } else { 0.0 })))
    }

    /// The numbers as bits, or as one where all are the same; `None` where one is neither 0 nor 1.
    fn bits(rows: usize, number: &(impl Fn(usize) -> f64 + Sync)) -> Option<Self> {
        // The bits of a group, and whether they say all of it.
        let group = |g: usize| {
            let (mut bits, mut all) = (0u32, true);
            for row in g * LANES..rows.min((g + 1) * LANES) {
                let x = number(row).to_bits();
                let one = x == 1f64.to_bits();
                all &= one | (x == 0);
                bits |= u32::from(one) << (row % LANES);
            }
            (bits, all)
        };
        let mut bits = vec![0; rows.div_ceil(LANES)];
        let tasks = bits.par_chunks_mut(TASK_ROWS / LANES).enumerate();
        // The first rows tell of most vectors that are none.
        let all = group(0).1
            && tasks.all(|(task, bits)| {
                bits.iter_mut().enumerate().all(|(g, bits)| {
                    let all;
                    (*bits, all) = group(task * (TASK_ROWS / LANES) + g);
                    all
                })
            });
        if !all {
            return None;
        }
        Some(Numbers::of_bits(bits, rows))
    }

    /// The numbers that bits stand for, zeros beyond the last row.
    fn of_bits(bits: Vec<u32>, rows: usize) -> Self {
        let ones: usize = bits.iter().map(|bits| bits.count_ones() as usize).sum();
        match ones {
            0 => Numbers::same(0.0, rows),
            ones if ones == rows => Numbers::same(1.0, rows),
            _ => Numbers::Bits(Arc::new(bits), 0),
        }
    }
}

impl Group<'_> {
    /// The numbers, one for each row.
    #[inline]
    pub fn lanes(self) -> [f64; LANES] {
        match self {
            Group::Same(value) => [value; LANES],
            Group::Bits(bits) => std::array::from_fn(|lane| f64::from(bits >> lane & 1)),
            Group::F32(numbers) => numbers.map(f64::from),
            Group::F64(numbers) => *numbers,
        }
    }

    /// The numbers, eight by eight.
    #[inline(always)]
    pub fn octets<O: Octet>(self, o: O) -> [O::F; LANES / 8] {
        match self {
            Group::Same(value) => [o.splat(value); LANES / 8],
            Group::Bits(bits) => {
                let octets = of_bits(bits);
                [o.widen(octets[0]), o.widen(octets[1]), o.widen(octets[2]), o.widen(octets[3])]
            }
            Group::F32(numbers) => stored(o, numbers),
            Group::F64(numbers) => stored(o, numbers),
        }
    }

    /// A bit for each row, the first one lowest: whether its number is above `limit`.
    pub(super) fn above(self, limit: f64) -> u32 {
        let all = |yes: bool| if yes { !0 } else { 0 };
        match self {
            Group::Same(value) => all(value > limit),
            Group::Bits(bits) => (bits & all(1.0 > limit)) | (!bits & all(0.0 > limit)),
            numbers => {
                let lanes = numbers.lanes();
                (0..LANES).fold(0, |bits, lane| bits | u32::from(lanes[lane] > limit) << lane)
            }
        }
    }
}

fn position<T: Sync>(numbers: &[T], is_sought: impl Fn(&T) -> bool + Sync) -> Option<usize> {
    let found = |(task, numbers): (usize, &[T])| Some(task * TASK_ROWS + numbers.iter().position(&is_sought)?);
    numbers.par_chunks(TASK_ROWS).enumerate().find_map_first(found)
}

fn padded(rows: usize) -> usize {
    rows.div_ceil(LANES) * LANES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(vector: &RowVector, numbers: &[f64]) {
        assert_eq!(vector.rows(), numbers.len());
        assert!(vector.iter().map(f64::to_bits).eq(numbers.iter().map(|x| x.to_bits())));
        let lanes: Vec<f64> = (0..numbers.len().div_ceil(LANES)).flat_map(|g| vector.group(g).lanes()).collect();
        for (g, lanes) in lanes.chunks(LANES).enumerate() {
            for limit in [0.0, 0.5] {
                let above = vector.group(g).above(limit);
                assert!((0..LANES).all(|i| (above >> i & 1 == 1) == (lanes[i] > limit)), "{lanes:?} above {limit}");
            }
        }
        assert_eq!(lanes[..numbers.len()], *numbers);
        assert!(lanes[numbers.len()..].iter().all(|x| *x == 0.0), "{lanes:?}");
        assert!((vector.add_to(0.0) - numbers.iter().sum::<f64>()).abs() <= 1e-12);
        assert_eq!(vector.position(|x| x > 0.15), numbers.iter().position(|x| *x > 0.15));
    }

    #[test]
    fn codes_stand_for_the_numbers_of_their_classes() {
        for rows in [0, 1, 32, 45] {
            for classes in [[0, 0, 0], [1, 1, 1], [0, 1, 0], [2, 0, 1]] {
                let codes: Vec<u8> = (0..rows).map(|row| (row * row % 3) as u8).collect();
                let of_code = std::array::from_fn(|code| classes.get(code).copied().unwrap_or(0));
                let numbers: Vec<f64> = codes.iter().map(|code| classes[usize::from(*code)] as f64).collect();
                check(&RowVector::of_codes(&codes, &of_code), &numbers);
            }
        }
    }

    #[test]
    fn every_form_holds_the_same_numbers_and_pads_with_zeros() {
        let forms = [
            ([0.5, 0.5], "same"),
            ([0.1, 0.1], "same"),
            ([0.0, 1.0], "bits"),
            ([0.5, 1.0], "f32"),
            ([-0.0, 1.0], "f32"),
            ([0.1, 0.2], "f64"),
        ];
        let mut seen = 0;
        for rows in [0, 1, 31, 32, 33, 64, 70] {
            for (of, form) in forms {
                let numbers: Vec<f64> = (0..rows).map(|i| of[i % 2]).collect();
                let vector = RowVector::from(numbers.clone());
                check(&vector, &numbers);
                let found = match vector.numbers {
                    Numbers::Same(..) => "same",
                    Numbers::Bits(..) => "bits",
                    Numbers::F32(..) => "f32",
                    Numbers::F64(..) => "f64",
                };
                assert_eq!(found, if rows > 1 { form } else { "same" }, "{rows} rows of {of:?}");
                if rows > LANES {
                    check(&vector.slice(LANES..rows), &numbers[LANES..]);
                    assert_eq!(
                        vector.position(|x| x == of[1]),
                        Some(numbers.iter().position(|x| *x == of[1]).unwrap())
                    );
                }
                seen += 1;
            }
        }
        assert_eq!(seen, 42);
    }
}
