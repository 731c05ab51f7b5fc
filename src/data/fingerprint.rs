//! A number that tells one set of training rows from another, taken while they are packed.
//!
//! It stands for everything that a fit sees: the features' names, how each column is stored, and of each row the stored values of X,
//! target, weight and offset. It is the same for any number of threads, size of blocks and place of the rows, and changes with the
//! order of rows or columns. It tells accidents, not forgeries.
//!
//! With `mix` of [`hash`], and a value's bits those of its f32 or f64 (0 for −0 and for padding):
//!
//! ```text
//! row i      uᵢ = Σⱼ κⱼ·bits(xᵢⱼ), each half of 32 bits times the one of κⱼ = mix(seed, j)
//! group g    h = mix(Σᵢ λᵢ·uᵢ, g) over its 32 rows, λᵢ odd
//! vectors    the same of the columns target, weight and offset (0 without one)
//! data       mix over the name, centre and scale of each column in order, from n + Σ h of both         all modulo 2⁶⁴
//! ```

use std::fmt;
use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::block::LANES;
use super::hash;
use super::panel::OCTETS;
use super::scaling::StoredColumn;
use super::vectors::RowVectors;
use crate::octet::{Octet, Stored, Work, dispatch};

/// 64 bits that stand for something: hexadecimal digits when written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<Fingerprint> for String {
    fn from(print: Fingerprint) -> String {
        print.to_string()
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(Fingerprint)
    }
}

/// Seeds of the factors of the columns of X, of target, weight and offset, and of the rows of a group.
const OF_X: u64 = 1;
const OF_VECTORS: u64 = 2;
const OF_ROWS: u64 = 3;
/// Groups of vectors that one task takes.
const TASK_GROUPS: usize = 512;

/// The factors κ of columns and λ of rows.
pub(super) struct Factors {
    columns: Vec<u64>,
    rows: [u64; LANES],
}

impl Factors {
    /// Those of `columns` columns of X.
    pub(super) fn of_x(columns: usize) -> Self {
        Factors::new(OF_X, columns)
    }

    fn new(seed: u64, columns: usize) -> Self {
        let columns = (0..columns as u64).map(|j| hash::mix(seed, j)).collect();
        Factors { columns, rows: std::array::from_fn(|lane| hash::mix(OF_ROWS, lane as u64) | 1) }
    }

    /// h of group `g`, given the u of its rows.
    #[inline(always)]
    fn of_group<O: Octet>(&self, o: O, rows: [O::U; OCTETS], g: usize) -> u64 {
        let mut all = 0u64;
        for (k, octet) in rows.iter().enumerate() {
            for (i, u) in o.store_u(*octet).into_iter().enumerate() {
                all = all.wrapping_add(u.wrapping_mul(self.rows[8 * k + i]));
            }
        }
        hash::mix(all, g as u64)
    }
}

/// Σ h of some groups of rows.
pub(super) struct GroupHashes<'a, T> {
    /// Interleaved by [`LANES`], with zeros for padding.
    pub(super) values: &'a [T],
    pub(super) factors: &'a Factors,
    /// The number of the first group.
    pub(super) first: usize,
}

impl<T: Stored> Work for GroupHashes<'_, T> {
    type Output = u64;

    #[inline(always)]
    fn run<O: Octet>(self, o: O) -> u64 {
        let GroupHashes { values, factors, first } = self;
        let columns = factors.columns.len();
        let mut sum = 0u64;
        for (g, group) in values.as_chunks::<8>().0.chunks_exact(OCTETS * columns).enumerate() {
            let mut rows = [o.load_u(&[0; 8]); OCTETS];
            for (octets, factor) in group.as_chunks::<OCTETS>().0.iter().zip(&factors.columns) {
                let factor = o.load_u(&[*factor; 8]);
                let factors = [factor, o.upper(factor)];
                for k in 0..OCTETS {
                    rows[k] = T::add_bits(o, &octets[k], factors, rows[k]);
                }
            }
            sum = sum.wrapping_add(factors.of_group(o, rows, first + g));
        }
        sum
    }
}

/// Σ h of some groups of vectors.
struct VectorHashes<'a> {
    vectors: &'a RowVectors,
    groups: Range<usize>,
    factors: &'a Factors,
    /// The number of the first group of the vectors.
    first: usize,
}

impl Work for VectorHashes<'_> {
    type Output = u64;

    #[inline(always)]
    fn run<O: Octet>(self, o: O) -> u64 {
        let VectorHashes { vectors, groups, factors, first } = self;
        let mut sum = 0u64;
        for g in groups {
            let mut rows = [o.load_u(&[0; 8]); OCTETS];
            let columns = [Some(&vectors.target), Some(&vectors.weight), vectors.offset.as_ref()];
            for (column, factor) in columns.into_iter().zip(&factors.columns) {
                // Without an offset it is 0, whose bits are.
                let Some(column) = column else { continue };
                let factor = o.load_u(&[*factor; 8]);
                let factors = [factor, o.upper(factor)];
                let octets = column.group(g).octets(o);
                for k in 0..OCTETS {
                    rows[k] = f64::add_bits(o, &o.store(octets[k]), factors, rows[k]);
                }
            }
            sum = sum.wrapping_add(factors.of_group(o, rows, first + g));
        }
        sum
    }
}

/// Σ h of vectors, the first of which are those of row `first`, which begins a group.
pub(super) fn of_vectors(vectors: &RowVectors, first: usize) -> u64 {
    let factors = Factors::new(OF_VECTORS, 3);
    let tasks = (0..vectors.groups()).into_par_iter().step_by(TASK_GROUPS).map(|task| {
        let groups = task..vectors.groups().min(task + TASK_GROUPS);
        dispatch(VectorHashes { vectors, groups, factors: &factors, first: first / LANES })
    });
    tasks.reduce(|| 0, u64::wrapping_add)
}

/// The fingerprint of `rows` rows whose h add up to `hashes`, those of vectors among them.
pub(super) fn of_data(features: &[String], columns: &[StoredColumn], rows: usize, hashes: u64) -> Fingerprint {
    let bits = |value: f64| (value + 0.0).to_bits();
    let parts = |(name, column): (&String, &StoredColumn)| {
        [hash::of_bytes(name.bytes()), bits(column.centre), bits(column.scale)]
    };
    Fingerprint(hash::of_words(hashes.wrapping_add(rows as u64), features.iter().zip(columns).flat_map(parts)))
}

#[cfg(test)]
mod tests {
    use super::super::{Dataset, PackOptions, Precision, RowMajor};
    use super::*;
    use crate::octet::on_each;

    #[derive(Clone)]
    struct Table {
        names: [&'static str; 2],
        x: Vec<f64>,
        target: Vec<f64>,
        weight: Vec<f64>,
        offset: Option<Vec<f64>>,
    }

    fn of(table: &Table, precision: Precision, block_rows: Option<usize>) -> u64 {
        let vectors = RowVectors {
            target: table.target.clone().into(),
            weight: table.weight.clone().into(),
            offset: table.offset.clone().map(Into::into),
        };
        let source = RowMajor { values: &table.x, features: 2, rows: table.target.len() };
        let options = PackOptions { block_rows, precision: Some(precision), ..PackOptions::default() };
        Dataset::pack(table.names.map(str::to_owned).to_vec(), &source, &vectors, options)
            .unwrap()
            .fingerprint
            .unwrap()
            .0
    }

    #[test]
    fn it_tells_every_part_and_not_how_rows_are_held() {
        // The last group and the last panel are not full.
        let rows = 5001;
        let number = |i: usize| (hash::mix(3, i as u64) % 1000) as f64 / 8.0;
        let table = Table {
            names: ["a", "b"],
            x: (0..2 * rows).map(number).collect(),
            target: (0..rows).map(|i| (i % 2) as f64).collect(),
            weight: vec![1.0; rows],
            offset: None,
        };
        for precision in [Precision::F32, Precision::F64] {
            let known = of(&table, precision, None);
            assert_eq!(of(&table, precision, Some(64)), known);
            let few = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            assert_eq!(few.install(|| of(&table, precision, Some(96))), known);
            // An offset of 0 everywhere is none, and −0 is 0.
            assert_eq!(of(&Table { offset: Some(vec![-0.0; rows]), ..table.clone() }, precision, None), known);
            let changes: [fn(&mut Table); 9] = [
                |table| table.names.swap(0, 1),
                |table| table.x[401] += 0.125,
                |table| table.x[10_001] += 0.125,
                |table| table.x.swap(0, 3),
                |table| table.target[7] = 0.0,
                |table| table.weight[499] = 2.0,
                |table| table.offset = Some((0..5001).map(|i| f64::from(u8::from(i == 3))).collect()),
                // Two rows that change places.
                |table| (0..2).for_each(|j| table.x.swap(j, 4 + j)),
                |table| {
                    table.x.truncate(10_000);
                    table.target.pop();
                    table.weight.pop();
                },
            ];
            let mut seen = vec![known];
            for change in changes {
                let mut other = table.clone();
                change(&mut other);
                seen.push(of(&other, precision, None));
            }
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 10);
        }
    }

    /// Half of 64 bits.
    const LOW: u64 = 0xffff_ffff;

    #[derive(Clone)]
    struct Hashed<'a>(&'a [f64], &'a [f32]);

    impl Work for Hashed<'_> {
        type Output = [u64; 2];
        #[inline(always)]
        fn run<O: Octet>(self, o: O) -> [u64; 2] {
            let factors = Factors::of_x(3);
            let wide = GroupHashes { values: self.0, factors: &factors, first: 7 }.run(o);
            [wide, GroupHashes { values: self.1, factors: &factors, first: 7 }.run(o)]
        }
    }

    #[test]
    fn every_processor_takes_the_same_one_and_it_is_what_the_formula_says() {
        let wide: Vec<f64> = (0..6 * LANES).map(|i| hash::unit_interval(5, i as u64) - 0.5).collect();
        let narrow: Vec<f32> = wide.iter().map(|x| *x as f32).collect();
        let factors = Factors::of_x(3);
        let formula = |bits: &dyn Fn(usize) -> u64| {
            let part = |x: u64, k: u64| ((x & LOW) * (k & LOW)).wrapping_add((x >> 32) * (k >> 32));
            let row = |i: usize| {
                let parts = (0..3).map(|j| part(bits((i / LANES * 3 + j) * LANES + i % LANES), factors.columns[j]));
                parts.fold(0, u64::wrapping_add).wrapping_mul(factors.rows[i % LANES])
            };
            let group =
                |g: usize| hash::mix((g * LANES..(g + 1) * LANES).map(row).fold(0, u64::wrapping_add), 7 + g as u64);
            group(0).wrapping_add(group(1))
        };
        let expected = [formula(&|at| wide[at].to_bits()), formula(&|at| u64::from(narrow[at].to_bits()))];
        let found = on_each(&Hashed(&wide, &narrow));
        assert!(!found.is_empty() && found.iter().all(|hashes| *hashes == expected), "{found:?}, not {expected:?}");
    }
}
