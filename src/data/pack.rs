//! Packing: a table of f64 values becomes blocks of standardised, interleaved rows, with moments taken on the way.
//!
//! Column j is stored as z = (x − centre)/scale. The scale is the power of two nearest to the standard deviation of
//! some scattered rows and the centre their mean rounded to a multiple of that scale, so integers, indicators and other
//! short binary fractions lose nothing at all to f32, and 10⁶ + x loses no more than x does. Where those rows
//! misled (|mean| > 2⁸ standard deviations in stored units, or a deviation outside 2^±30) the column is packed again
//! around the moments of all rows.

use std::ops::{Deref, Range};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::block::{LANES, RowBlock, Stretch, Values};
use super::blocks::Block;
use super::panel::{Affine, Transpose};
use super::sample::{self, Pick};
use super::scaling::{Moments, StoredColumn, centre_again, first_rows, suggest_all};
use super::source::{ColumnSource, RowMajor};
use super::storage::Storage;
use super::sweep::{Panel, Storing};
use super::vectors::{self, RowSums, RowVectors, VectorSource};
use crate::error::{Error, Result};
use crate::octet::{Stored, dispatch};

/// Values of X up to which f64 is kept on the host.
pub(super) const SMALL_DATA: usize = 4 << 20;
/// Bytes of f32 a block holds at the most by default: half of WebGPU's default binding limit.
pub(super) const BLOCK_BYTES: usize = 64 << 20;
/// Blocks are cut at multiples of this many rows, so that GPU tiles never straddle two blocks.
const BLOCK_ROW_MULTIPLE: usize = 256;

/// Choices of packing that change speed or precision, never meaning.
#[derive(Debug, Clone, Copy, Default)]
pub struct PackOptions {
    /// Rows a block holds at the most; by default what fills 64 MiB of f32.
    pub block_rows: Option<usize>,
    /// Precision of the stored values; by default f64 up to some 4 million values and f32 above.
    pub precision: Option<Precision>,
    /// What becomes of the rows.
    pub purpose: Purpose,
}

/// What becomes of packed rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// They are fitted: row samples are drawn of them if they are many.
    #[default]
    Fit,
    /// They are fitted with those of other ranks: samples are drawn of all ranks' rows, later.
    ShareOfFit,
    /// They are scored.
    Score,
}

/// Precision of stored values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precision {
    /// 24 bits.
    F32,
    /// 53 bits.
    F64,
}

impl PackOptions {
    /// The precision that a matrix is stored in.
    pub(super) fn precision_for(&self, rows: usize, features: usize) -> Precision {
        let small = rows.saturating_mul(features) <= SMALL_DATA;
        self.precision.unwrap_or(if small { Precision::F64 } else { Precision::F32 })
    }
}

/// Packed columns: blocks, how they are stored and their moments.
#[derive(Debug)]
pub struct Packed {
    /// Blocks in row order.
    pub blocks: Vec<Block>,
    /// How each column is stored.
    pub columns: Vec<StoredColumn>,
    /// Moments of each column.
    pub moments: Vec<Moments>,
    /// What targets and weights come to.
    pub sums: RowSums,
    /// Σ h of `fingerprint.rs` over X.
    pub hashes: u64,
    /// Row samples, smallest first, stored as the rows are.
    pub samples: Vec<RowBlock>,
}

/// Packs `source`.
///
/// # Errors
/// [`Error::Usage`] when `vectors` do not fit the source, a block could not hold even one group of rows, or memory does
/// not suffice; [`Error::Numerics`] when a value is not finite or too far from its column's other values for f32.
pub fn pack(source: &impl ColumnSource, vectors: &RowVectors, options: PackOptions) -> Result<Packed> {
    pack_with(source, vectors, options, |vectors, sums| picks(vectors, sums, source.features(), options))
}

/// The samples to be drawn.
///
/// # Errors
/// What reading `vectors` fails with.
pub(super) fn picks(
    vectors: &dyn VectorSource,
    sums: RowSums,
    features: usize,
    options: PackOptions,
) -> Result<Vec<Pick>> {
    // Samples are of two classes.
    if options.purpose == Purpose::Fit && sums.classes <= 2 { sample::pick(vectors, features) } else { Ok(Vec::new()) }
}

/// Rows that are stored for [`picks`]; rows of two classes are added up where there are none, for a fit of those begins with a flat model.
///
/// # Errors
/// As [`Storing::new`].
pub(super) fn storing<'a, T: Stored>(
    vectors: &'a RowVectors,
    features: usize,
    picks: &'a [Pick],
    sums: RowSums,
    options: PackOptions,
) -> Result<Storing<'a, T>> {
    let storing = Storing::new(vectors, features, picks)?;
    let begins_flat = picks.is_empty() && options.purpose != Purpose::Score && sums.classes <= 2;
    Ok(if begins_flat { storing.adding_up() } else { storing })
}

/// [`pack`], drawing the samples that `picks` chooses once the vectors are known to be good.
pub(super) fn pack_with(
    source: &impl ColumnSource,
    vectors: &RowVectors,
    options: PackOptions,
    picks: impl Fn(&RowVectors, RowSums) -> Result<Vec<Pick>>,
) -> Result<Packed> {
    source.check()?;
    let (rows, features) = (source.rows(), source.features());
    let sums = vectors::check(vectors, rows)?;
    let picks = picks(vectors, sums)?;
    match options.precision_for(rows, features) {
        Precision::F32 => pack_as::<f32>(source, vectors, sums, options, &picks, Values::F32),
        Precision::F64 => pack_as::<f64>(source, vectors, sums, options, &picks, Values::F64),
    }
}

fn pack_as<T: Stored>(
    source: &impl ColumnSource,
    vectors: &RowVectors,
    sums: RowSums,
    options: PackOptions,
    picks: &[Pick],
    values: fn(Stretch<T>) -> Values,
) -> Result<Packed> {
    let features = source.features();
    let block_rows = block_rows(features, options.block_rows)?;
    let mut columns = suggest_all(source, first_rows(SMALL_DATA, features))?;
    let mut out = Storage::zeros(source.rows().div_ceil(LANES) * LANES * features)?;
    let mut storing = storing(vectors, features, picks, sums, options)?;
    let mut sweep = |columns: &[StoredColumn]| {
        let affine: Vec<Affine> = columns.iter().map(StoredColumn::affine).collect();
        storing.start_over();
        for (block, out) in out.chunks_mut((block_rows * features).max(1)).enumerate() {
            let first = block * block_rows;
            let here = vectors.slice(first..source.rows());
            storing.sweep(out, first, &here, &affine, |panel: Panel<'_, f64, T>| {
                let padded = panel.raw.len() / features;
                for (j, raw) in panel.raw.chunks_mut(padded).enumerate() {
                    source.fill(j, panel.start, &mut raw[..panel.present]);
                }
            });
        }
        storing.moments(features)
    };
    let mut moments = sweep(&columns)?;
    if centre_again(&mut columns, &moments) {
        moments = sweep(&columns)?;
    }
    let blocks = storing.with_totals(cut(features, block_rows, vectors, 0..source.rows(), Arc::new(out), values)?);
    let hashes = storing.hashes();
    Ok(Packed { blocks, columns, moments, sums, hashes, samples: storing.finish(values)? })
}

/// Packs a row-major matrix of `features` columns, and rows of zeros after it up to a whole group, in the memory that it lies
/// in. Small data is packed like any other.
///
/// # Errors
/// As [`pack`].
pub(super) fn pack_rows(
    mut values: Storage<f32>,
    features: usize,
    vectors: &RowVectors,
    options: PackOptions,
) -> Result<Packed> {
    let rows = vectors.target.rows();
    let source = RowMajor { values: &values[..rows * features], features, rows };
    if features == 0 || options.precision_for(rows, features) == Precision::F64 {
        return pack(&source, vectors, options);
    }
    let sums = vectors::check(vectors, rows)?;
    let block_rows = block_rows(features, options.block_rows)?;
    let columns = suggest_all(&source, first_rows(SMALL_DATA, features))?;
    let affine: Vec<Affine> = columns.iter().map(StoredColumn::affine).collect();
    let picks = picks(vectors, sums, features, options)?;
    let mut storing = storing(vectors, features, &picks, sums, options)?;
    for (block, out) in values.chunks_mut(block_rows * features).enumerate() {
        let first = block * block_rows;
        let here = vectors.slice(first..rows);
        storing.sweep(out, first, &here, &affine, |panel: Panel<'_, f32, f32>| {
            dispatch(Transpose { rows: panel.place, columns: panel.raw, features });
        });
    }
    let stored = Stored32 { columns, moments: storing.moments(features)? };
    let stored = stored.centred_again(&mut storing, vectors, block_rows, &mut [(0, &mut values)])?;
    let blocks = storing.with_totals(cut(features, block_rows, vectors, 0..rows, Arc::new(values), Values::F32)?);
    let (hashes, samples) = (storing.hashes(), storing.finish(Values::F32)?);
    Ok(Packed { blocks, columns: stored.columns, moments: stored.moments, sums, hashes, samples })
}

/// Columns that are stored in f32 and no longer known in any other way.
pub(super) struct Stored32 {
    pub(super) columns: Vec<StoredColumn>,
    pub(super) moments: Vec<Moments>,
}

impl Stored32 {
    /// Centres columns whose first rows misled once more, in `stretches` of all rows (with the first row of each, and `vectors`)
    /// cut into blocks of `block_rows`: z itself is what is centred, and what that loses is added to the rounding.
    pub(super) fn centred_again(
        mut self,
        storing: &mut Storing<'_, f32>,
        vectors: &RowVectors,
        block_rows: usize,
        stretches: &mut [(usize, &mut [f32])],
    ) -> Result<Self> {
        let features = self.columns.len();
        let before = (self.columns.clone(), self.moments.clone());
        if !centre_again(&mut self.columns, &self.moments) {
            return Ok(self);
        }
        let affine: Vec<Affine> = self.columns.iter().zip(&before.0).map(|(new, old)| new.affine_from(old)).collect();
        storing.start_over();
        for (first, stretch) in stretches {
            for (block, out) in stretch.chunks_mut(block_rows * features).enumerate() {
                let start = *first + block * block_rows;
                let here = vectors.slice(start..vectors.rows());
                storing.sweep(out, start, &here, &affine, |panel: Panel<'_, f32, f32>| panel.read_back(features));
            }
        }
        self.moments = storing.moments(features)?;
        for (j, m) in self.moments.iter_mut().enumerate().filter(|(_, m)| m.sd > 0.0) {
            let (column, old) = (before.0[j], before.1[j]);
            m.rounding += old.rounding * (old.sd * column.scale) / (m.sd * self.columns[j].scale);
        }
        Ok(self)
    }
}

/// Cuts the stored values of `rows` into blocks.
pub(super) fn cut<T>(
    features: usize,
    block_rows: usize,
    vectors: &RowVectors,
    rows: Range<usize>,
    all: Arc<dyn Deref<Target = [T]> + Send + Sync>,
    values: fn(Stretch<T>) -> Values,
) -> Result<Vec<Block>> {
    let block = |start: usize| {
        let end = rows.end.min(start + block_rows);
        let x = (start - rows.start) * features..(end - rows.start).div_ceil(LANES) * LANES * features;
        vectors.block(start..end, features, values(Stretch::new(Arc::clone(&all), x))).map(Block::Here)
    };
    rows.clone().step_by(block_rows).map(block).collect()
}

pub(super) fn block_rows(features: usize, asked: Option<usize>) -> Result<usize> {
    let group_bytes = features.max(1) * LANES * size_of::<f32>();
    if group_bytes > 2 * BLOCK_BYTES {
        return Err(Error::Usage(format!(
            "{features} features are more than the {} that fit a block; choose columns with --features or --drop",
            2 * BLOCK_BYTES / (LANES * size_of::<f32>())
        )));
    }
    let most = asked.unwrap_or(BLOCK_BYTES / (features.max(1) * size_of::<f32>()));
    let rows = match most / BLOCK_ROW_MULTIPLE {
        0 => most.div_ceil(LANES) * LANES,
        multiples => multiples * BLOCK_ROW_MULTIPLE,
    };
    Ok(rows.max(LANES))
}

#[cfg(test)]
mod tests {
    use super::super::RowVector;
    use super::super::hash;
    use super::super::scaling::MAX_OFF_CENTRE;
    use super::*;

    fn packed(values: &[f64], features: usize, precision: Precision) -> Packed {
        let rows = values.len() / features;
        let vectors = RowVectors { target: vec![0.0; rows].into(), weight: vec![1.0; rows].into(), offset: None };
        let options = PackOptions { block_rows: Some(64), precision: Some(precision), purpose: Purpose::Score };
        pack(&RowMajor { values, features, rows }, &vectors, options).unwrap()
    }

    #[test]
    fn integers_far_from_zero_are_stored_exactly_in_f32() {
        let values: Vec<f64> = (0..200).map(|i| 1e9 + f64::from(i * i)).collect();
        let packed = packed(&values, 1, Precision::F32);
        let column = packed.columns[0];
        let mut row = 0;
        for block in packed.blocks.iter().filter_map(Block::here) {
            for i in 0..block.rows() {
                assert_eq!(block.value(i, 0) * column.scale + column.centre, values[row]);
                row += 1;
            }
        }
        assert_eq!(row, 200);
        assert_eq!(packed.moments[0].rounding, 0.0);
    }

    /// Most rows weigh nothing and lie near zero, so that what is looked at misleads; two columns, the second harmless.
    fn misleading(rows: usize) -> (Vec<f32>, RowVectors) {
        let counts = |i: usize| i % 20 == 3;
        let values = (0..rows).flat_map(|i| {
            let x = if counts(i) { 1e6 + (i % 7) as f32 } else { (i % 2) as f32 };
            [x, (i % 5) as f32]
        });
        let weight = RowVector::of(rows, |i| f64::from(u8::from(counts(i))));
        (values.collect(), RowVectors { target: RowVector::from(vec![0.0; rows]), weight, offset: None })
    }

    /// Row-major values as [`pack_rows`] takes them.
    fn stored(values: &[f32], features: usize) -> Storage<f32> {
        let mut stored = Storage::zeros((values.len() / features).div_ceil(LANES) * LANES * features).unwrap();
        stored[..values.len()].copy_from_slice(values);
        stored
    }

    #[test]
    fn a_column_whose_rows_mislead_is_packed_again_wherever_it_lies() {
        let (values, vectors) = misleading(50_000);
        let options = PackOptions { precision: Some(Precision::F32), ..PackOptions::default() };
        let source = RowMajor { values: &values, features: 2, rows: 50_000 };
        for packed in [pack(&source, &vectors, options), pack_rows(stored(&values, 2), 2, &vectors, options)] {
            let packed = packed.unwrap();
            let (m, column) = (packed.moments[0], packed.columns[0]);
            assert!(m.mean.abs() <= MAX_OFF_CENTRE * m.sd && m.max > m.min);
            assert!((column.centre - 1e6).abs() < 10.0, "centre {}", column.centre);
            assert!(m.rounding < 1e-2, "{}", m.rounding);
            let block = packed.blocks[0].here().unwrap();
            for i in (3..50_000).step_by(20) {
                let x = block.value(i, 0) * column.scale + column.centre;
                assert!(
                    (x - f64::from(values[2 * i])).abs() <= (m.rounding * m.sd + 1e-12) * column.scale,
                    "row {i}: {x}"
                );
                let other = packed.columns[1];
                assert_eq!(block.value(i, 1) * other.scale + other.centre, f64::from(values[2 * i + 1]));
            }
        }
    }

    #[test]
    fn a_spread_that_the_first_sweep_loses_in_rounding_is_found_by_the_second() {
        let rows = 20_000;
        let counts = |i: usize| i % 20 == 3;
        let value = |i: usize| if counts(i) { 1e12 + (i % 7) as f64 } else { 0.0 };
        let values: Vec<f64> = (0..rows).map(value).collect();
        let weight = RowVector::of(rows, |i| f64::from(u8::from(counts(i))));
        let vectors = RowVectors { target: RowVector::same(rows, 0.0), weight, offset: None };
        let source = RowMajor { values: &values, features: 1, rows };
        let mut seen = 0;
        for precision in [Precision::F32, Precision::F64] {
            let options = PackOptions { precision: Some(precision), ..PackOptions::default() };
            let packed = pack(&source, &vectors, options).unwrap();
            let (m, column) = (packed.moments[0], packed.columns[0]);
            assert!((m.sd * column.scale - 2.0).abs() < 0.01, "{precision:?}: sd {}", m.sd * column.scale);
            assert!((m.mean * column.scale + column.centre - 1e12 - 3.0).abs() < 0.01);
            assert!(m.rounding < 1e-3, "{precision:?}: {}", m.rounding);
            seen += 1;
        }
        assert_eq!(seen, 2);
    }

    #[test]
    fn rows_packed_where_they_lie_are_those_packed_elsewhere() {
        let mut seen = 0;
        for (rows, features) in [(1000, 1), (31, 3), (5000, 8), (4097, 19), (64, 33), (300, 300)] {
            let values: Vec<f32> =
                (0..rows * features).map(|i| (hash::mix(1, i as u64) % 1000) as f32 * 0.37 - 5.0).collect();
            let vectors = RowVectors {
                target: RowVector::of(rows, |i| f64::from(u8::from(i % 3 == 0))),
                weight: RowVector::of(rows, |i| [1.0, 0.0, 2.5][i % 3]),
                offset: None,
            };
            let options =
                PackOptions { precision: Some(Precision::F32), block_rows: Some(512), purpose: Purpose::Score };
            let source = RowMajor { values: &values, features, rows };
            let (a, b) = (
                pack(&source, &vectors, options).unwrap(),
                pack_rows(stored(&values, features), features, &vectors, options).unwrap(),
            );
            assert_eq!((&a.columns, &a.moments), (&b.columns, &b.moments));
            assert_eq!(a.blocks.len(), b.blocks.len());
            for (a, b) in a.blocks.iter().zip(&b.blocks) {
                let (a, b) = (a.here().unwrap(), b.here().unwrap());
                let (Values::F32(x), Values::F32(y)) = (a.x(), b.x()) else { panic!("not f32") };
                assert!(**x == **y, "{rows} × {features}");
            }
            seen += 1;
        }
        assert_eq!(seen, 6);
    }

    #[test]
    fn moments_are_weighted_and_skip_rows_of_weight_zero() {
        let vectors = RowVectors { target: vec![0.0; 4].into(), weight: vec![1.0, 3.0, 0.0, 0.0].into(), offset: None };
        let source = RowMajor { values: &[0.0, 4.0, 1e3, -1e3], features: 1, rows: 4 };
        let packed = pack(&source, &vectors, PackOptions::default()).unwrap();
        let (m, column) = (packed.moments[0], packed.columns[0]);
        assert!((m.mean * column.scale + column.centre - 3.0).abs() < 1e-12);
        assert!((m.sd * column.scale - 3f64.sqrt()).abs() < 1e-12);
        assert_eq!(m.max * column.scale + column.centre, 4.0);
    }

    #[test]
    fn a_value_beyond_f32_is_refused_whatever_it_weighs() {
        let rows = 20_000;
        let mut seen = 0;
        for bad in [1e300, f64::NAN, f64::NEG_INFINITY] {
            for (precision, weight) in
                [(Precision::F32, 1.0), (Precision::F64, 1.0), (Precision::F32, 0.0), (Precision::F64, 0.0)]
            {
                let mut values = vec![0.0; rows];
                values[rows - 7] = bad;
                let vectors = RowVectors {
                    target: vec![0.0; rows].into(),
                    weight: RowVector::of(rows, |i| if i == rows - 7 { weight } else { 1.0 }),
                    offset: None,
                };
                let source = RowMajor { values: &values, features: 1, rows };
                let options = PackOptions { precision: Some(precision), ..PackOptions::default() };
                assert!(pack(&source, &vectors, options).is_err(), "{bad} of weight {weight} as {precision:?}");
                seen += 1;
            }
        }
        assert_eq!(seen, 12);
    }
}
