//! Packing: a table of f64 values becomes blocks of standardised, interleaved rows, with moments taken on the way.
//!
//! Column j is stored as z = (x − centre)/scale. The scale is the power of two nearest to the standard deviation of
//! some scattered rows and the centre their mean rounded to a multiple of that scale, so integers, indicators and other
//! short binary fractions lose nothing at all to f32, and 10⁶ + x loses no more than x does. Where those rows
//! misled (|mean| > 2⁸ standard deviations in stored units, or a deviation outside 2^±30) the column is packed again
//! around the moments of all rows.

use std::ops::Deref;
use std::sync::Arc;

use bytemuck::Pod;
use rayon::prelude::*;

use super::block::{LANES, RowBlock, Stretch, Values};
use super::panel::{Affine, Store, Sums, Transpose};
use super::scaling::{Moments, StoredColumn, centre_again, suggest_all};
use super::source::{ColumnSource, RowMajor, RowVectors};
use super::storage::Storage;
use super::vector::RowVector;
use crate::error::{Error, Result};
use crate::octet::{Stored, dispatch};

/// Values of X up to which f64 is kept on the host.
const SMALL_DATA: usize = 4 << 20;
/// Bytes of f32 a block holds at the most by default: half of WebGPU's default binding limit.
const BLOCK_BYTES: usize = 64 << 20;
/// Groups of rows that are read at a time, and bytes that all columns of them may take.
const PANEL_GROUPS: usize = 4;
const PANEL_BYTES: usize = 256 << 10;
/// Rows that one task packs at the least; more when there are so many that the tasks' sums would fill memory.
const TASK_ROWS: usize = 2048;
const MAX_TASKS: usize = 1024;
/// Blocks are cut at multiples of this many rows, so that GPU tiles never straddle two blocks.
const BLOCK_ROW_MULTIPLE: usize = 256;

/// Choices of packing that change speed or precision, never meaning.
#[derive(Debug, Clone, Copy, Default)]
pub struct PackOptions {
    /// Rows a block holds at the most; by default what fills 64 MiB of f32.
    pub block_rows: Option<usize>,
    /// Precision of the stored values; by default f64 up to some 4 million values and f32 above.
    pub precision: Option<Precision>,
    /// Draw no row samples: the rows will not be fitted.
    pub no_sample: bool,
}

/// Precision of stored values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 24 bits.
    F32,
    /// 53 bits.
    F64,
}

impl PackOptions {
    /// The precision that a matrix is stored in.
    fn precision_for(&self, rows: usize, features: usize) -> Precision {
        let small = rows.saturating_mul(features) <= SMALL_DATA;
        self.precision.unwrap_or(if small { Precision::F64 } else { Precision::F32 })
    }
}

/// Packed columns: blocks, how they are stored and their moments.
#[derive(Debug)]
pub struct Packed {
    /// Blocks in row order.
    pub blocks: Vec<RowBlock>,
    /// How each column is stored.
    pub columns: Vec<StoredColumn>,
    /// Moments of each column.
    pub moments: Vec<Moments>,
}

/// Packs `source`.
///
/// # Errors
/// [`Error::Usage`] when `vectors` do not fit the source, a block could not hold even one group of rows, or memory does
/// not suffice; [`Error::Numerics`] when a value is not finite or too far from its column's other values for f32.
pub fn pack(source: &impl ColumnSource, vectors: &RowVectors, options: PackOptions) -> Result<Packed> {
    source.check()?;
    let (rows, features) = (source.rows(), source.features());
    vectors.check(rows)?;
    let block_rows = block_rows(features, options.block_rows)?;
    match options.precision_for(rows, features) {
        Precision::F32 => pack_as::<f32>(source, vectors, block_rows, Values::F32),
        Precision::F64 => pack_as::<f64>(source, vectors, block_rows, Values::F64),
    }
}

fn pack_as<T: Stored + Pod>(
    source: &impl ColumnSource,
    vectors: &RowVectors,
    block_rows: usize,
    values: fn(Stretch<T>) -> Values,
) -> Result<Packed> {
    let (rows, features) = (source.rows(), source.features());
    let mut columns = suggest_all(source)?;
    let mut storage = Storage::<T>::zeros(rows.div_ceil(LANES) * LANES * features)?;
    let mut sweep = |columns: &[StoredColumn]| {
        let affine: Vec<Affine> = columns.iter().map(StoredColumn::affine).collect();
        store(&mut storage, rows, &vectors.weight, &affine, |panel: Panel<'_, f64, T>| {
            let padded = panel.raw.len() / features;
            for (j, raw) in panel.raw.chunks_mut(padded).enumerate() {
                source.fill(j, panel.start, &mut raw[..panel.present]);
            }
        })
    };
    let mut moments = sweep(&columns)?;
    if centre_again(&mut columns, &moments) {
        moments = sweep(&columns)?;
    }
    Ok(Packed { blocks: cut(features, block_rows, vectors, Arc::new(storage), values)?, columns, moments })
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
    vectors.check(rows)?;
    let block_rows = block_rows(features, options.block_rows)?;
    let mut columns = suggest_all(&source)?;
    let affine: Vec<Affine> = columns.iter().map(StoredColumn::affine).collect();
    let mut moments = store(&mut values, rows, &vectors.weight, &affine, |panel: Panel<'_, f32, f32>| {
        dispatch(Transpose { rows: panel.place, columns: panel.raw, features });
    })?;
    let before = (columns.clone(), moments.clone());
    if centre_again(&mut columns, &moments) {
        // The values as they were are gone: z itself is what is centred again.
        let affine: Vec<Affine> = columns.iter().zip(&before.0).map(|(new, old)| new.affine_from(old)).collect();
        moments = store(&mut values, rows, &vectors.weight, &affine, |panel: Panel<'_, f32, f32>| {
            let padded = panel.raw.len() / features;
            for (j, raw) in panel.raw.chunks_mut(padded).enumerate() {
                let groups = panel.place.chunks(features * LANES).zip(raw.chunks_mut(LANES));
                groups.for_each(|(group, raw)| raw.copy_from_slice(&group[j * LANES..(j + 1) * LANES]));
            }
        })?;
        for (j, m) in moments.iter_mut().enumerate().filter(|(_, m)| m.sd > 0.0) {
            let (column, old) = (before.0[j], before.1[j]);
            m.rounding += old.rounding * (old.sd * column.scale) / (m.sd * columns[j].scale);
        }
    }
    Ok(Packed { blocks: cut(features, block_rows, vectors, Arc::new(values), Values::F32)?, columns, moments })
}

/// Cuts stored values into blocks.
fn cut<T>(
    features: usize,
    block_rows: usize,
    vectors: &RowVectors,
    all: Arc<dyn Deref<Target = [T]> + Send + Sync>,
    values: fn(Stretch<T>) -> Values,
) -> Result<Vec<RowBlock>> {
    let rows = vectors.target.rows();
    let block = |start: usize| {
        let end = rows.min(start + block_rows);
        let x = start * features..end.div_ceil(LANES) * LANES * features;
        RowBlock::new(
            features,
            values(Stretch::new(Arc::clone(&all), x)),
            vectors.target.slice(start..end),
            vectors.weight.slice(start..end),
            vectors.offset.as_ref().map(|offset| offset.slice(start..end)),
        )
    };
    (0..rows).step_by(block_rows).map(block).collect()
}

fn block_rows(features: usize, asked: Option<usize>) -> Result<usize> {
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

/// Rows that are read and stored at a time.
struct Panel<'a, R, T> {
    /// The first of them.
    start: usize,
    /// How many, padding not counted.
    present: usize,
    /// Where they go; what stands there so far.
    place: &'a [T],
    /// Where their values are wanted, column by column, padding included.
    raw: &'a mut [R],
}

/// Stores `rows` rows in `out`, interleaved by [`LANES`], each column as its `affine` says, and takes the moments on the way;
/// `read` reads the values of a panel.
fn store<R: Stored, T: Stored>(
    out: &mut [T],
    rows: usize,
    weight: &RowVector,
    affine: &[Affine],
    read: impl Fn(Panel<'_, R, T>) + Sync,
) -> Result<Vec<Moments>> {
    let features = affine.len();
    if features == 0 {
        return Ok(Vec::new());
    }
    let panel_rows = (PANEL_BYTES / (features * LANES * size_of::<R>())).clamp(1, PANEL_GROUPS) * LANES;
    let task_rows = TASK_ROWS.max(rows.div_ceil(MAX_TASKS)).next_multiple_of(panel_rows);
    let parts: Vec<Part> = out
        .par_chunks_mut(task_rows * features)
        .enumerate()
        .map(|(task, out)| {
            let mut part = Part { weight: 0.0, sums: vec![Sums::NONE; features] };
            let mut raw = vec![R::default(); panel_rows * features];
            let mut weights = vec![0.0; panel_rows];
            for (panel, out) in out.chunks_mut(panel_rows * features).enumerate() {
                let start = task * task_rows + panel * panel_rows;
                let padded = out.len() / features;
                let (raw, present) = (&mut raw[..out.len()], padded.min(rows - start));
                read(Panel { start, present, place: out, raw });
                for (g, lanes) in weights[..padded].chunks_mut(LANES).enumerate() {
                    lanes.copy_from_slice(&weight.group(start / LANES + g).lanes());
                }
                let weight = &weights[..padded];
                part.weight += weight.iter().sum::<f64>();
                let all_count = weight.iter().all(|s| *s > 0.0);
                for (j, ((raw, &affine), sums)) in raw.chunks(padded).zip(affine).zip(&mut part.sums).enumerate() {
                    let (out, stride) = (&mut out[j * LANES..], features * LANES);
                    dispatch(Store { raw, present, all_count, weight, affine, out, stride, sums });
                }
            }
            part
        })
        .collect();
    (0..features).map(|j| moments(&parts, j)).collect()
}

/// The rows of one task.
struct Part {
    /// Σ s.
    weight: f64,
    /// Sums of each column.
    sums: Vec<Sums>,
}

/// The moments of column `j`, from those of the parts (Chan, Golub & LeVeque 1983, The American Statistician 37:242).
fn moments(parts: &[Part], j: usize) -> Result<Moments> {
    let (mut weight, mut mean, mut spread) = (0.0, 0.0, 0.0);
    let (mut min, mut max, mut rounding) = (f64::INFINITY, f64::NEG_INFINITY, 0f64);
    for part in parts {
        let column = part.sums[j].finish(part.weight);
        if !column.in_range {
            return Err(Error::Numerics(format!(
                "feature {} holds a value that is not finite or is 10³⁸ times farther out than the column's first values; \
                 mend the value or leave the column out with --drop",
                j + 1
            )));
        }
        if part.weight > 0.0 {
            let apart = column.first / part.weight - mean;
            spread += column.spread + apart * apart * weight * part.weight / (weight + part.weight);
            weight += part.weight;
            mean += apart * part.weight / weight;
        }
        (min, max, rounding) = (min.min(column.min), max.max(column.max), rounding.max(column.rounding));
    }
    let sd = if max > min { (spread / weight).sqrt() } else { 0.0 };
    Ok(Moments { mean, sd, min, max, rounding: if sd > 0.0 { rounding / sd } else { 0.0 } })
}

#[cfg(test)]
mod tests {
    use super::super::hash;
    use super::super::scaling::MAX_OFF_CENTRE;
    use super::*;

    fn packed(values: &[f64], features: usize, precision: Precision) -> Packed {
        let rows = values.len() / features;
        let vectors = RowVectors { target: vec![0.0; rows].into(), weight: vec![1.0; rows].into(), offset: None };
        let options = PackOptions { block_rows: Some(64), precision: Some(precision), no_sample: true };
        pack(&RowMajor { values, features, rows }, &vectors, options).unwrap()
    }

    #[test]
    fn integers_far_from_zero_are_stored_exactly_in_f32() {
        let values: Vec<f64> = (0..200).map(|i| 1e9 + f64::from(i * i)).collect();
        let packed = packed(&values, 1, Precision::F32);
        let column = packed.columns[0];
        let mut row = 0;
        for block in &packed.blocks {
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
            let block = &packed.blocks[0];
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
            let options = PackOptions { precision: Some(Precision::F32), block_rows: Some(512), no_sample: true };
            let source = RowMajor { values: &values, features, rows };
            let (a, b) = (
                pack(&source, &vectors, options).unwrap(),
                pack_rows(stored(&values, features), features, &vectors, options).unwrap(),
            );
            assert_eq!((&a.columns, &a.moments), (&b.columns, &b.moments));
            assert_eq!(a.blocks.len(), b.blocks.len());
            for (a, b) in a.blocks.iter().zip(&b.blocks) {
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
