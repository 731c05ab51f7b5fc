//! Row samples: a first idea of large data, drawn the same way every time, while it is packed.
//!
//! A row's place among all rows is hashed, and a class keeps the rows whose hash lies below a threshold: the largest power
//! of two that leaves no more of them than wanted. Such samples are nested and depend on nothing but the row's number and its
//! class. A small class stays whole. A row that stands for 2ᵏ rows of its class weighs 2ᵏ times as much, so the sample's J
//! estimates that of all rows.

mod candidates;
mod ranks;

use candidates::{Candidates, RANKS};
pub(super) use ranks::{Drawn, of_ranks};

use std::ops::{Deref, Range};
use std::sync::Arc;

use rayon::prelude::*;

use super::block::{LANES, RowBlock, Stretch, Values};
use super::pack::SMALL_DATA;
use super::panel::Transpose;
use super::storage::Storage;
use super::vector::RowVector;
use super::vectors::{RowVectors, VectorSource};
use crate::error::Result;
use crate::linalg::MAX_COLUMNS;
use crate::octet::{Stored, dispatch};

/// Rows of a class in the largest sample at the most, and this many for each feature where that is more; and no more than
/// this part of all rows.
const ROWS: usize = 32_768;
const ROWS_PER_FEATURE: usize = 256;
const PART: usize = 8;
/// Rows of a class times features, for each of all rows, at the most: the curvature of such a sample costs some three passes.
const CURVATURE: usize = 40;
/// Rows of a class for each feature that a sample needs to be worth it.
const LEAST_ROWS_PER_FEATURE: usize = 48;
/// The smaller sample has so many times fewer rows of a class, at the most.
const SMALLER: usize = 8;
/// Rows that one task looks at, a multiple of [`LANES`].
const TASK_ROWS: usize = 512 * LANES;
/// Seed of the hash: any number does.
const SEED: u64 = 0x5a3b_1e5a;

/// The rows of a sample.
#[derive(Debug, Clone)]
pub(super) struct Pick {
    /// Their numbers, ascending.
    rows: Vec<usize>,
    /// Of a class, a row stands for two to this power.
    thinning: [u32; 2],
}

impl Pick {
    /// What goes with the rows, of the `vectors` of all: each weighs as many as it stands for.
    ///
    /// # Errors
    /// What reading `vectors` fails with.
    fn vectors(&self, vectors: &dyn VectorSource) -> Result<RowVectors> {
        let factors = self.thinning.map(|halvings| 2f64.powi(halvings as i32));
        // Target, weight and offset.
        let mut picked = vec![[0.0; 3]; self.rows.len()];
        let (mut start, mut has_offset) = (0, false);
        vectors.each(&mut |first, vectors| {
            let end = self.rows.partition_point(|row| *row < first + vectors.target.rows());
            let here = picked[start..end].par_iter_mut().zip(&self.rows[start..end]).with_min_len(LANES);
            here.for_each(|(picked, row)| {
                let (row, offset) = (row - first, vectors.offset.as_ref());
                let target = vectors.target.at(row);
                let weight = vectors.weight.at(row) * factors[class_of(target)];
                *picked = [target, weight, offset.map_or(0.0, |offset| offset.at(row))];
            });
            (start, has_offset) = (end, vectors.offset.is_some());
            Ok(())
        })?;
        let of_rows = |k: usize| RowVector::of(picked.len(), |row| picked[row][k]);
        Ok(RowVectors { target: of_rows(0), weight: of_rows(1), offset: has_offset.then(|| of_rows(2)) })
    }
}

/// The row samples of `features` columns, smallest first; none where there are too few rows for them to be worth it.
///
/// # Errors
/// What reading `vectors` fails with.
pub(super) fn pick(vectors: &dyn VectorSource, features: usize) -> Result<Vec<Pick>> {
    match most_of_a_class(vectors.rows(), features) {
        Some(most) => pick_most(vectors, [most / SMALLER, most]),
        None => Ok(Vec::new()),
    }
}

/// Rows of a class in the largest sample of `rows` × `features` at the most, where samples are worth it.
fn most_of_a_class(rows: usize, features: usize) -> Option<usize> {
    if features >= MAX_COLUMNS {
        return None;
    }
    let most = ROWS.max(ROWS_PER_FEATURE * features).min(rows / PART).min(CURVATURE * rows / features.max(1));
    (most >= LEAST_ROWS_PER_FEATURE * features && rows.saturating_mul(features) > SMALL_DATA).then_some(most)
}

/// Samples of `most` rows of a class each, at the most; the last is the largest.
fn pick_most<const N: usize>(vectors: &dyn VectorSource, most: [usize; N]) -> Result<Vec<Pick>> {
    pick_among(vectors, 0, most, &|counts| Ok(counts.to_vec()))
}

/// As [`pick_most`], where row 0 of `vectors` is row `first` of all, and `all` makes counts of all rows of counts of these.
fn pick_among<const N: usize>(
    vectors: &dyn VectorSource,
    first: usize,
    most: [usize; N],
    all: &dyn Fn(&[usize]) -> Result<Vec<usize>>,
) -> Result<Vec<Pick>> {
    let counts = in_tasks(vectors, |_, vectors, rows| class_counts(vectors, rows))?.into_iter().fold([0; 2], sum);
    let counts = all(&counts)?;
    if counts == [0; 2] {
        return Ok(Vec::new());
    }
    // After so many halvings, and no fewer, no more may be left than wanted: other rows need not be kept in mind.
    let least = [0, 1].map(|class| (counts[class] / most[N - 1].max(1)).checked_ilog2().unwrap_or(0));
    let candidates = in_tasks(vectors, |start, vectors, rows| Candidates::among(vectors, first + start, rows, least))?;
    let mut survivors = vec![0; 2 * RANKS];
    for task in &candidates {
        survivors.iter_mut().zip(task.of_halvings.as_flattened()).for_each(|(all, here)| *all += here);
    }
    let survivors = all(&survivors)?;
    let sample = |most| {
        let thinning = [0, 1].map(|class| thinning(&survivors[class * RANKS..][..RANKS], least[class], most));
        let mut rows = vec![0; candidates.iter().map(|task| task.count(thinning)).sum()];
        candidates.iter().fold(&mut rows[..], |rest, task| task.put_surviving(thinning, rest));
        Pick { rows, thinning }
    };
    Ok(most.into_iter().map(sample).collect())
}

/// A target above it is of the second class.
const HALF: f64 = 0.5;

fn class_of(target: f64) -> usize {
    usize::from(target > HALF)
}

/// Rows of positive weight of each class among `rows`.
fn class_counts(vectors: &RowVectors, rows: Range<usize>) -> [usize; 2] {
    let mut counts = [0; 2];
    for g in rows.start / LANES..rows.end.div_ceil(LANES) {
        let (counted, ones) = (vectors.weight.group(g).above(0.0), vectors.target.group(g).above(HALF));
        counts[0] += (counted & !ones).count_ones() as usize;
        counts[1] += (counted & ones).count_ones() as usize;
    }
    counts
}

/// What `of` says of each task's rows, in order: given the first row of a stretch, its vectors and the rows in it.
fn in_tasks<R: Send>(
    vectors: &dyn VectorSource,
    of: impl Fn(usize, &RowVectors, Range<usize>) -> R + Sync,
) -> Result<Vec<R>> {
    let mut all = Vec::new();
    vectors.each(&mut |first, vectors| {
        let rows = vectors.target.rows();
        let tasks = (0..rows.div_ceil(TASK_ROWS)).into_par_iter();
        let rows_of = |task| task * TASK_ROWS..rows.min((task + 1) * TASK_ROWS);
        all.par_extend(tasks.map(|task| of(first, vectors, rows_of(task))));
        Ok(())
    })?;
    Ok(all)
}

fn sum<const N: usize>(a: [usize; N], b: [usize; N]) -> [usize; N] {
    std::array::from_fn(|k| a[k] + b[k])
}

/// Halvings, `least` or more, after which no more than `most` rows are left of those that survive so many.
fn thinning(survivors: &[usize], least: u32, most: usize) -> u32 {
    let mut left: usize = survivors[least as usize..].iter().sum();
    let mut halvings = least;
    while left > most {
        left -= survivors[halvings as usize];
        halvings += 1;
    }
    halvings
}

/// A sample whose values are gathered while its rows are stored.
pub(super) struct Gathering<'a, T> {
    pick: &'a Pick,
    features: usize,
    /// Row by row, then, in the end, as a block's: interleaved by [`LANES`].
    values: Storage<T>,
    /// Picked rows whose values are there.
    gathered: usize,
}

/// Where the values of some of a sample's rows go.
pub(super) struct Part<'a, T> {
    rows: &'a [usize],
    values: &'a mut [T],
}

impl<'a, T: Stored> Gathering<'a, T> {
    /// Nothing gathered yet.
    ///
    /// # Errors
    /// As [`Storage::zeros`].
    pub(super) fn new(pick: &'a Pick, features: usize) -> Result<Self> {
        let values = Storage::zeros(pick.rows.len().div_ceil(LANES) * LANES * features)?;
        Ok(Gathering { pick, features, values, gathered: 0 })
    }

    /// Gathers from the first row on again.
    pub(super) fn start_over(&mut self) {
        self.gathered = 0;
    }

    /// The parts that each `task_rows` rows of `rows` contribute to; `rows` follow those of the call before.
    pub(super) fn parts(&mut self, rows: Range<usize>, task_rows: usize) -> Vec<Part<'_, T>> {
        let (mut picked, mut values) =
            (&self.pick.rows[self.gathered..], &mut self.values[self.gathered * self.features..]);
        self.gathered += picked.partition_point(|row| *row < rows.end);
        let mut parts = Vec::new();
        for end in rows.clone().step_by(task_rows).map(|start| rows.end.min(start + task_rows)) {
            let (here, later) = picked.split_at(picked.partition_point(|row| *row < end));
            let (part, rest) = values.split_at_mut(here.len() * self.features);
            parts.push(Part { rows: here, values: part });
            (picked, values) = (later, rest);
        }
        parts
    }

    /// The sample as a block.
    ///
    /// # Errors
    /// As [`RowBlock::new`], and what reading `vectors` fails with.
    pub(super) fn finish(mut self, vectors: &dyn VectorSource, values: fn(Stretch<T>) -> Values) -> Result<RowBlock> {
        let features = self.features;
        if features > 0 {
            self.values.par_chunks_mut(LANES * features).for_each_init(Vec::new, |rows, group| {
                rows.clear();
                rows.extend_from_slice(group);
                dispatch(Transpose { rows, columns: group, features });
            });
        }
        let (vectors, len) = (self.pick.vectors(vectors)?, self.values.len());
        let all: Arc<dyn Deref<Target = [T]> + Send + Sync> = Arc::new(self.values);
        RowBlock::of(features, values(Stretch::new(all, 0..len)), vectors)
    }
}

impl<T: Copy> Part<'_, T> {
    /// Takes the picked ones of the rows from `start` on, which lie in `stored` as a block's.
    pub(super) fn take(&mut self, start: usize, stored: &[T], features: usize) {
        for (g, group) in stored.chunks(features * LANES).enumerate() {
            let (first, end) = (start + g * LANES, start + (g + 1) * LANES);
            // A row or two, which are not worth a search.
            let (rows, later) = self.rows.split_at(self.rows.iter().take_while(|row| **row < end).count());
            let (values, rest) = std::mem::take(&mut self.values).split_at_mut(rows.len() * features);
            let columns = group.as_chunks::<LANES>().0;
            for (row, values) in rows.iter().zip(values.chunks_mut(features)) {
                let lane = row - first;
                values.iter_mut().zip(columns).for_each(|(value, column)| *value = column[lane]);
            }
            (self.rows, self.values) = (later, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::pack::{Packed, pack_with};
    use crate::data::{Block, Dataset, PackOptions, Precision, Purpose, RowMajor, RowVector};

    /// `rows` rows of two features, the first of which numbers them; every seventh row is of class 1, every fifth weighs 0.
    /// Samples of `most` rows of a class.
    fn numbered(rows: usize, precision: Precision, block_rows: Option<usize>, most: [usize; 2]) -> Packed {
        let values: Vec<f64> = (0..rows).flat_map(|i| [i as f64, (i % 3) as f64]).collect();
        let vectors = RowVectors {
            target: RowVector::of(rows, |i| f64::from(u8::from(i % 7 == 0))),
            weight: RowVector::of(rows, |i| f64::from(u8::from(i % 5 != 0)) * 0.5),
            offset: Some(RowVector::of(rows, |i| i as f64 * 1e-6)),
        };
        let source = RowMajor { values: &values, features: 2, rows };
        let options = PackOptions { block_rows, precision: Some(precision), purpose: Purpose::Fit };
        pack_with(&source, &vectors, options, |vectors, _| pick_most(vectors, most)).unwrap()
    }

    /// Number, class and weight of the rows of `block`.
    fn listed(packed: &Packed, block: &RowBlock) -> Vec<(usize, f64, f64)> {
        let column = packed.columns[0];
        let row = |i| {
            let number = block.value(i, 0) * column.scale + column.centre;
            assert!((block.offset().unwrap().at(i) - number * 1e-6).abs() < 1e-12);
            let other = block.value(i, 1) * packed.columns[1].scale + packed.columns[1].centre;
            assert_eq!(other, (number.round() as usize % 3) as f64);
            (number.round() as usize, block.target().at(i), block.weight().at(i))
        };
        (0..block.rows()).map(row).collect()
    }

    #[test]
    fn samples_are_nested_stand_for_all_rows_and_keep_small_classes_whole() {
        let packed = numbered(400_000, Precision::F32, None, [ROWS / SMALLER, ROWS]);
        let [small, large] = [0, 1].map(|k| listed(&packed, &packed.samples[k]));
        assert!(small.iter().all(|row| large.iter().any(|other| other.0 == row.0 && other.1 == row.1)));
        for sample in [&small, &large] {
            assert!(sample.is_sorted_by(|a, b| a.0 < b.0));
            assert!(sample.iter().all(|(number, class, weight)| {
                *class == f64::from(u8::from(number % 7 == 0)) && number % 5 != 0 && *weight >= 0.5
            }));
        }
        for class in [0.0, 1.0] {
            let weight = |rows: &[(usize, f64, f64)]| rows.iter().filter(|r| r.1 == class).map(|r| r.2).sum::<f64>();
            let all: f64 =
                packed.blocks.iter().filter_map(Block::here).map(|block| weight(&listed(&packed, block))).sum();
            assert!((weight(&large) / all - 1.0).abs() < 0.03, "class {class}: {} of {all}", weight(&large));
            assert!((weight(&small) / all - 1.0).abs() < 0.08, "class {class}: {} of {all}", weight(&small));
            let rows = large.iter().filter(|row| row.1 == class).count();
            assert!(rows <= ROWS && rows > ROWS / 2, "class {class}: {rows} rows");
        }
        // All 320,000 rows that count are 45,714 and 274,286; the smaller class is not thinned when all of it is wanted.
        let packed = numbered(400_000, Precision::F32, None, [1000, 46_000]);
        let large = listed(&packed, &packed.samples[1]);
        assert_eq!(large.iter().filter(|row| row.1 == 1.0 && row.2 == 0.5).count(), 45_714);
    }

    #[test]
    fn neither_blocks_nor_precision_change_who_is_drawn() {
        let most = [500, 4000];
        let whole = numbered(300_000, Precision::F32, None, most);
        let mut seen = 0;
        for other in [(Precision::F32, Some(1000)), (Precision::F64, None)] {
            let other = numbered(300_000, other.0, other.1, most);
            for (a, b) in whole.samples.iter().zip(&other.samples) {
                assert_eq!(listed(&whole, a), listed(&other, b));
                assert!(a.rows() > 250);
                seen += 1;
            }
        }
        assert_eq!(seen, 4);
    }

    #[test]
    fn samples_are_drawn_where_they_are_worth_it() {
        assert_eq!(most_of_a_class(1_000_000, 32), Some(ROWS));
        assert_eq!(most_of_a_class(500_000, 128), Some(ROWS));
        assert_eq!(most_of_a_class(5_000_000, 300), Some(76_800));
        assert_eq!(most_of_a_class(50_000, 128), Some(6250));
        // Small data, and too few rows for the features.
        assert_eq!(most_of_a_class(100_000, 32), None);
        assert_eq!(most_of_a_class(244_140, 1024), None);
        // Nor where its curvature would cost many passes, or be too large to keep.
        assert_eq!([900, 1000].map(|features| most_of_a_class(1_000_000, features)), [Some(44_444), None]);
        assert_eq!([2047, 2048].map(|features| most_of_a_class(1 << 30, features).is_some()), [true, false]);
        // Nor where no row counts.
        let vectors = |weight| RowVectors {
            target: RowVector::of(1000, |i| f64::from(u8::from(i % 2 == 0))),
            weight: RowVector::same(1000, weight),
            offset: None,
        };
        assert_eq!([0.0, 1.0].map(|weight| pick_most(&vectors(weight), [10, 20]).unwrap().len()), [0, 2]);
        let values = vec![0.5; 10_000];
        assert!(Dataset::from_rows(&values, 1, &values, PackOptions::default()).unwrap().samples.is_empty());
    }

    #[test]
    fn a_class_is_halved_until_no_more_are_left_than_wanted() {
        let mut survivors = [0; RANKS];
        (survivors[0], survivors[1], survivors[64]) = (4, 2, 1);
        assert_eq!([7, 6, 3, 2, 1, 0].map(|most| thinning(&survivors, 0, most)), [0, 1, 1, 2, 2, 65]);
        assert_eq!(thinning(&survivors, 1, 7), 1);
    }
}
