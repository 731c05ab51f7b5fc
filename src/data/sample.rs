//! Row samples: a first idea of large data, drawn the same way every time.
//!
//! A row's place among all rows is hashed, and a class keeps the rows whose hash lies below a threshold: the largest power
//! of two that leaves no more of them than wanted. Such samples are nested, depend on nothing but the row's number and its
//! class, and need not know how many rows will come: the threshold halves as they do. A small class stays whole. A row
//! that stands for 2ᵏ rows of its class weighs 2ᵏ times as much, so the sample's J estimates that of all rows.

use rayon::prelude::*;

use super::block::{LANES, RowBlock, Stretch, Values};
use super::vector::RowVector;
use super::{Dataset, hash};
use crate::error::Result;

/// Rows of a class in the largest sample at the most, and this many for each feature where that is more; and no more than
/// this part of all rows.
const ROWS: usize = 32_768;
const ROWS_PER_FEATURE: usize = 512;
const PART: usize = 8;
/// Rows of a class for each feature that a sample needs to be worth it, and values of X that are no small data.
const LEAST_ROWS_PER_FEATURE: usize = 48;
const LARGE: usize = 4 << 20;
/// The smaller sample has so many times fewer rows of a class, at the most.
const SMALLER: usize = 8;
/// Groups of rows that one task ranks at the least.
const TASK_GROUPS: usize = 512;
/// Seed of the hash: any number does.
const SEED: u64 = 0x5a3b_1e5a;

/// The row samples of `data`, smallest first; none where there are too few rows for them to be worth it.
///
/// # Errors
/// As [`RowBlock::new`].
pub(super) fn draw(data: &Dataset) -> Result<Vec<Dataset>> {
    match most_of_a_class(data.rows, data.features.len()) {
        Some(most) => samples(data, [most / SMALLER, most]),
        None => Ok(Vec::new()),
    }
}

/// Rows of a class in the largest sample of `rows` × `features` at the most, where samples are worth it.
fn most_of_a_class(rows: usize, features: usize) -> Option<usize> {
    let most = ROWS.max(ROWS_PER_FEATURE * features).min(rows / PART);
    (most >= LEAST_ROWS_PER_FEATURE * features && rows.saturating_mul(features) > LARGE).then_some(most)
}

/// Samples of `most` rows of a class each, at the most.
fn samples(data: &Dataset, most: [usize; 2]) -> Result<Vec<Dataset>> {
    let ranks = ranks(data);
    let mut counts = [0; RANKS];
    ranks.iter().for_each(|rank| counts[usize::from(rank.0)] += 1);
    let sample = |most| drawn(data, &ranks, [0, 1].map(|class| thinning(&counts, class, most)));
    most.into_iter().map(sample).collect()
}

/// Rows of each rank.
type Counts = [usize; RANKS];
const RANKS: usize = 1 << u8::BITS;

/// A row's class, and the number of halvings that it survives; or that it weighs nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rank(u8);

impl Rank {
    const NONE: Rank = Rank(u8::MAX);

    fn new(class: usize, halvings: u32) -> Self {
        Rank(2 * halvings as u8 + class as u8)
    }

    fn get(self) -> Option<(usize, u32)> {
        (self != Rank::NONE).then_some((usize::from(self.0 % 2), u32::from(self.0 / 2)))
    }
}

/// The rank of every row.
fn ranks(data: &Dataset) -> Vec<Rank> {
    let mut ranks = vec![Rank::NONE; data.rows];
    let (mut first, mut rest) = (0, ranks.as_mut_slice());
    for block in &data.blocks {
        let (here, later) = rest.split_at_mut(block.rows());
        here.par_chunks_mut(LANES).enumerate().with_min_len(TASK_GROUPS).for_each(|(g, here)| {
            let (weight, target) = (block.weight().group(g).lanes(), block.target().group(g).lanes());
            for (i, rank) in here.iter_mut().enumerate().filter(|(i, _)| weight[*i] > 0.0) {
                let halvings = hash::mix(SEED, (first + g * LANES + i) as u64).leading_zeros();
                *rank = Rank::new(usize::from(target[i] > 0.5), halvings);
            }
        });
        first += block.rows();
        rest = later;
    }
    ranks
}

/// Halvings after which no more than `most` rows of `class` are left.
fn thinning(counts: &Counts, class: usize, most: usize) -> u32 {
    let end_after = |halvings: u32| counts[usize::from(Rank::new(class, halvings).0)];
    let mut left: usize = (0..=u64::BITS).map(end_after).sum();
    let mut halvings = 0;
    while left > most {
        left -= end_after(halvings);
        halvings += 1;
    }
    halvings
}

/// The rows that survive as many halvings as their class is thinned by.
fn drawn(data: &Dataset, ranks: &[Rank], thinning: [u32; 2]) -> Result<Dataset> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    let mut rest = ranks;
    for block in &data.blocks {
        let (here, later) = rest.split_at(block.rows());
        rest = later;
        rows.extend(here.iter().enumerate().filter_map(|(i, rank)| {
            let (class, halvings) = rank.get()?;
            (halvings >= thinning[class]).then(|| Row { block, i, factor: 2f64.powi(thinning[class] as i32) })
        }));
    }
    let features = data.features.len();
    let x = match data.blocks.first().map(RowBlock::x) {
        Some(Values::F64(_)) => gathered(&rows, features, |x| match x {
            Values::F64(x) => Some(x),
            Values::F32(_) => None,
        })
        .into(),
        _ => gathered(&rows, features, |x| match x {
            Values::F32(x) => Some(x),
            Values::F64(_) => None,
        })
        .into(),
    };
    let numbers = |of: &(dyn Fn(&Row<'_>) -> f64 + Sync)| RowVector::of(rows.len(), |i| of(&rows[i]));
    let target = numbers(&|row| row.block.target().at(row.i));
    let weight = numbers(&|row| row.block.weight().at(row.i) * row.factor);
    let has_offset = data.blocks.iter().any(|block| block.offset().is_some());
    let offset = has_offset.then(|| numbers(&|row| row.block.offset().map_or(0.0, |offset| offset.at(row.i))));
    Ok(Dataset {
        features: data.features.clone(),
        rows: rows.len(),
        weight_sum: weight.iter().sum(),
        blocks: vec![RowBlock::new(features, x, target, weight, offset)?],
        columns: data.columns.clone(),
        moments: data.moments.clone(),
        samples: Vec::new(),
    })
}

/// A row that was drawn.
struct Row<'a> {
    block: &'a RowBlock,
    /// Its number in the block.
    i: usize,
    /// Rows of its class that it stands for.
    factor: f64,
}

/// The values of `rows`, interleaved as a block's; `values` picks those of the precision at hand.
fn gathered<T: Copy + Default + Send + Sync>(
    rows: &[Row<'_>],
    features: usize,
    values: impl Fn(&Values) -> Option<&Stretch<T>> + Sync,
) -> Vec<T> {
    let mut x = vec![T::default(); rows.len().div_ceil(LANES) * LANES * features];
    if features > 0 {
        x.par_chunks_mut(features * LANES).zip(rows.par_chunks(LANES)).for_each(|(group, rows)| {
            for (lane, row) in rows.iter().enumerate() {
                let Some(from) = values(row.block.x()) else { continue };
                let start = RowBlock::index(row.i, 0, features);
                let to = group[lane..].iter_mut().step_by(LANES);
                to.zip(from[start..].iter().step_by(LANES)).for_each(|(to, from)| *to = *from);
            }
        });
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{PackOptions, Precision, RowMajor, RowVectors};

    /// `rows` rows of two features, the first of which numbers them; every seventh row is of class 1, every fifth weighs 0.
    fn numbered(rows: usize, precision: Precision, block_rows: Option<usize>) -> Dataset {
        let values: Vec<f64> = (0..rows).flat_map(|i| [i as f64, (i % 3) as f64]).collect();
        let vectors = RowVectors {
            target: RowVector::of(rows, |i| f64::from(u8::from(i % 7 == 0))),
            weight: RowVector::of(rows, |i| f64::from(u8::from(i % 5 != 0)) * 0.5),
            offset: Some(RowVector::of(rows, |i| i as f64 * 1e-6)),
        };
        let source = RowMajor { values: &values, features: 2, rows };
        let options = PackOptions { block_rows, precision: Some(precision), no_sample: false };
        Dataset::pack(vec!["number".into(), "other".into()], &source, &vectors, options).unwrap()
    }

    /// Number, class and weight of the rows of a sample.
    fn listed(data: &Dataset) -> Vec<(usize, f64, f64)> {
        let column = data.columns[0];
        let mut list = Vec::new();
        for block in &data.blocks {
            for i in 0..block.rows() {
                let number = block.value(i, 0) * column.scale + column.centre;
                assert!((block.offset().unwrap().at(i) - number * 1e-6).abs() < 1e-12);
                list.push((number.round() as usize, block.target().at(i), block.weight().at(i)));
            }
        }
        list
    }

    #[test]
    fn samples_are_nested_stand_for_all_rows_and_keep_small_classes_whole() {
        let data = numbered(400_000, Precision::F32, None);
        let drawn = samples(&data, [ROWS / SMALLER, ROWS]).unwrap();
        let [small, large] = [0, 1].map(|k| listed(&drawn[k]));
        assert!(small.iter().all(|row| large.iter().any(|other| other.0 == row.0 && other.1 == row.1)));
        for sample in [&small, &large] {
            assert!(sample.iter().all(|(number, class, weight)| {
                *class == f64::from(u8::from(number % 7 == 0)) && number % 5 != 0 && *weight >= 0.5
            }));
        }
        for class in [0.0, 1.0] {
            let weight = |rows: &[(usize, f64, f64)]| rows.iter().filter(|r| r.1 == class).map(|r| r.2).sum::<f64>();
            let all: f64 = data
                .blocks
                .iter()
                .map(|b| {
                    b.target().iter().zip(b.weight().iter()).filter(|(t, _)| *t == class).map(|(_, s)| s).sum::<f64>()
                })
                .sum();
            assert!((weight(&large) / all - 1.0).abs() < 0.03, "class {class}: {} of {all}", weight(&large));
            assert!((weight(&small) / all - 1.0).abs() < 0.08, "class {class}: {} of {all}", weight(&small));
            let rows = large.iter().filter(|row| row.1 == class).count();
            assert!(rows <= ROWS && rows > ROWS / 2, "class {class}: {rows} rows");
        }
    }

    #[test]
    fn neither_blocks_nor_precision_change_who_is_drawn() {
        let whole = samples(&numbered(300_000, Precision::F32, None), [500, 4000]).unwrap();
        let mut seen = 0;
        for other in [numbered(300_000, Precision::F32, Some(1000)), numbered(300_000, Precision::F64, None)] {
            for (a, b) in whole.iter().zip(&samples(&other, [500, 4000]).unwrap()) {
                assert_eq!(listed(a), listed(b));
                assert!(a.rows > 250);
                seen += 1;
            }
        }
        assert_eq!(seen, 4);
    }

    #[test]
    fn samples_are_drawn_where_they_are_worth_it() {
        assert_eq!(most_of_a_class(1_000_000, 32), Some(ROWS));
        assert_eq!(most_of_a_class(500_000, 128), Some(62_500));
        assert_eq!(most_of_a_class(5_000_000, 128), Some(65_536));
        assert_eq!(most_of_a_class(50_000, 128), Some(6250));
        // Small data, and too few rows for the features.
        assert_eq!(most_of_a_class(100_000, 32), None);
        assert_eq!(most_of_a_class(244_140, 1024), None);
        let data = numbered(100_000, Precision::F32, None);
        assert!(data.samples.is_empty());
        let mut counts = [0; RANKS];
        counts[usize::from(Rank::new(1, 0).0)] = 4;
        counts[usize::from(Rank::new(1, 1).0)] = 2;
        assert_eq!([6, 5, 2, 1].map(|most| thinning(&counts, 1, most)), [0, 1, 1, 2]);
        assert_eq!(thinning(&counts, 0, 0), 0);
        assert_eq!(Rank::new(1, 64).get(), Some((1, 64)));
    }
}
