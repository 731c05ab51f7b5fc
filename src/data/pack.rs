//! Packing: a table of f64 values becomes blocks of standardised, interleaved rows, with moments taken on the way.
//!
//! Column j is stored as z = (x − centre)/scale. The scale is the power of two nearest to the standard deviation of
//! the first rows and the centre their mean rounded to a multiple of that scale, so integers, indicators and other
//! short binary fractions lose nothing at all to f32, and 10⁶ + x loses no more than x does. Where the first rows
//! misled (|mean| > 2⁸ standard deviations in stored units, or a deviation outside 2^±30) the column is packed again
//! around the moments of all rows.

use std::sync::Arc;

use bytemuck::Pod;
use rayon::prelude::*;

use super::block::{LANES, RowBlock, Stretch, Values};
use super::panel::{Store, Sums};
use super::source::{ColumnSource, RowVectors};
use super::storage::Storage;
use super::vector::RowVector;
use crate::error::{Error, Result};
use crate::octet::{Stored, dispatch};

/// First rows that suggest a column's centre and scale.
const FIRST_ROWS: usize = 10_000;
/// Largest |mean|/sd in stored units that f32 is trusted with.
const MAX_OFF_CENTRE: f64 = 256.0;
/// Values of X up to which f64 is kept on the host.
const SMALL_DATA: usize = 4 << 20;
/// Bytes of f32 a block holds at the most by default: half of WebGPU's default binding limit.
const BLOCK_BYTES: usize = 64 << 20;
/// Groups of rows that are read from a column at a time, and bytes of f64 that all columns of them may take.
const PANEL_GROUPS: usize = 8;
const PANEL_BYTES: usize = 256 << 10;
/// Groups of rows that one task packs at the least; more when there are so many rows that the tasks' sums would fill memory.
const TASK_GROUPS: usize = 64;
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
}

/// Precision of stored values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 24 bits.
    F32,
    /// 53 bits.
    F64,
}

/// How a column is stored: z = (x − centre)/scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoredColumn {
    /// Subtracted first.
    pub centre: f64,
    /// Divided by afterwards; a power of two.
    pub scale: f64,
}

/// Weighted moments of a column in stored units; rows of weight 0 take no part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// Σ s·z / Σ s.
    pub mean: f64,
    /// √(Σ s·(z − mean)² / Σ s).
    pub sd: f64,
    /// Smallest z.
    pub min: f64,
    /// Largest z.
    pub max: f64,
    /// Largest |z − stored z| in standard deviations: what storing lost.
    pub rounding: f64,
}

impl Moments {
    /// Whether every row (of positive weight) holds the same value.
    pub fn is_constant(&self) -> bool {
        !(self.max > self.min)
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
    let small = rows.saturating_mul(features) <= SMALL_DATA;
    let block_rows = block_rows(features, options.block_rows)?;
    match options.precision.unwrap_or(if small { Precision::F64 } else { Precision::F32 }) {
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
    let mut columns: Vec<StoredColumn> =
        (0..features).into_par_iter().map(|j| suggest(source, j)).collect::<Result<_>>()?;
    let mut storage = Storage::<T>::zeros(rows.div_ceil(LANES) * LANES * features)?;
    let mut moments = store(source, vectors, &columns, &mut storage)?;
    let misled: Vec<usize> = (0..features).filter(|&j| is_misled(&moments[j])).collect();
    if !misled.is_empty() {
        for &j in &misled {
            let (old, m) = (columns[j], moments[j]);
            columns[j] = stored_column(old.centre + old.scale * m.mean, old.scale * m.sd);
        }
        moments = store(source, vectors, &columns, &mut storage)?;
    }
    let storage = Arc::new(storage);
    let blocks = (0..rows).step_by(block_rows).map(|start| {
        let end = rows.min(start + block_rows);
        let x = start * features..end.div_ceil(LANES) * LANES * features;
        RowBlock::new(
            features,
            values(Stretch::new(storage.clone(), x)),
            RowVector::new(&vectors.target[start..end]),
            RowVector::new(&vectors.weight[start..end]),
            vectors.offset.as_ref().map(|offset| RowVector::new(&offset[start..end])),
        )
    });
    Ok(Packed { blocks: blocks.collect::<Result<_>>()?, columns, moments })
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

fn stored_column(mean: f64, sd: f64) -> StoredColumn {
    let magnitude = if sd > 0.0 && sd.is_finite() {
        sd
    } else if mean != 0.0 {
        mean.abs()
    } else {
        1.0
    };
    let scale = magnitude.log2().round().clamp(-1000.0, 1000.0).exp2();
    let centre = (mean / scale).round() * scale;
    StoredColumn { centre: if centre.is_finite() { centre } else { mean }, scale }
}

fn suggest(source: &impl ColumnSource, feature: usize) -> Result<StoredColumn> {
    let mut first = vec![0.0; source.rows().min(FIRST_ROWS)];
    source.fill(feature, 0, &mut first);
    let n = first.len().max(1) as f64;
    let mean = first.iter().map(|x| x / n).sum::<f64>();
    let sd = first.iter().map(|x| (x - mean).powi(2) / n).sum::<f64>().sqrt();
    if !mean.is_finite() {
        return Err(Error::Numerics(format!(
            "feature {} holds a value that is not finite; every value must be a finite number",
            feature + 1
        )));
    }
    Ok(stored_column(mean, sd))
}

fn is_misled(m: &Moments) -> bool {
    let far = m.mean.abs() > MAX_OFF_CENTRE * m.sd;
    let mis_scaled = !(2f64.powi(-30)..=2f64.powi(30)).contains(&m.sd);
    !m.is_constant() && (far || mis_scaled)
}

/// Stores every value of `source` as `columns` say, interleaved by [`LANES`] rows, and takes the moments on the way.
fn store<T: Stored>(
    source: &impl ColumnSource,
    vectors: &RowVectors,
    columns: &[StoredColumn],
    out: &mut [T],
) -> Result<Vec<Moments>> {
    let (rows, features) = (source.rows(), columns.len());
    if features == 0 {
        return Ok(Vec::new());
    }
    let panel_groups = (PANEL_BYTES / (features * LANES * size_of::<f64>())).clamp(1, PANEL_GROUPS);
    let task_groups = TASK_GROUPS.max(rows.div_ceil(LANES * MAX_TASKS)).next_multiple_of(panel_groups);
    let parts: Vec<Part> = out
        .par_chunks_mut(task_groups * LANES * features)
        .enumerate()
        .map(|(task, out)| {
            let mut part = Part { weight: 0.0, sums: vec![Sums::NONE; features] };
            let (mut raw, mut weight) = (vec![0.0; panel_groups * LANES], vec![0.0; panel_groups * LANES]);
            for (panel, out) in out.chunks_mut(panel_groups * LANES * features).enumerate() {
                let start = task * task_groups * LANES + panel * panel_groups * LANES;
                let padded = out.len() / features;
                let present = padded.min(rows - start);
                weight[..present].copy_from_slice(&vectors.weight[start..start + present]);
                weight[present..].fill(0.0);
                part.weight += weight.iter().sum::<f64>();
                for (j, (&column, sums)) in columns.iter().zip(&mut part.sums).enumerate() {
                    source.fill(j, start, &mut raw[..present]);
                    raw[present..padded].fill(column.centre);
                    let (raw, out, stride) = (&raw[..padded], &mut out[j * LANES..], features * LANES);
                    dispatch(Store { raw, weight: &weight, column, out, stride, sums });
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
    use super::super::source::RowMajor;
    use super::*;

    fn packed(values: &[f64], features: usize, precision: Precision) -> Packed {
        let rows = values.len() / features;
        let vectors = RowVectors { target: vec![0.0; rows], weight: vec![1.0; rows], offset: None };
        let options = PackOptions { block_rows: Some(64), precision: Some(precision) };
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

    #[test]
    fn a_column_whose_first_rows_mislead_is_packed_again() {
        // The first rows weigh nothing and lie near zero; the rest is what counts.
        let rows = FIRST_ROWS + 1000;
        let values: Vec<f64> =
            (0..rows).map(|i| if i < FIRST_ROWS { (i % 2) as f64 } else { 1e6 + (i % 7) as f64 }).collect();
        let weight = (0..rows).map(|i| if i < FIRST_ROWS { 0.0 } else { 1.0 }).collect();
        let vectors = RowVectors { target: vec![0.0; rows], weight, offset: None };
        let packed = pack(&RowMajor { values: &values, features: 1, rows }, &vectors, PackOptions::default()).unwrap();
        let m = packed.moments[0];
        assert!(m.mean.abs() <= MAX_OFF_CENTRE * m.sd);
        assert!((packed.columns[0].centre - 1e6).abs() < 10.0, "centre {}", packed.columns[0].centre);
    }

    #[test]
    fn moments_are_weighted_and_skip_rows_of_weight_zero() {
        let vectors = RowVectors { target: vec![0.0; 4], weight: vec![1.0, 3.0, 0.0, 0.0], offset: None };
        let source = RowMajor { values: &[0.0, 4.0, 1e3, -1e3], features: 1, rows: 4 };
        let packed = pack(&source, &vectors, PackOptions::default()).unwrap();
        let (m, column) = (packed.moments[0], packed.columns[0]);
        assert!((m.mean * column.scale + column.centre - 3.0).abs() < 1e-12);
        assert!((m.sd * column.scale - 3f64.sqrt()).abs() < 1e-12);
        assert_eq!(m.max * column.scale + column.centre, 4.0);
    }

    #[test]
    fn a_value_beyond_f32_is_refused() {
        let mut values = vec![0.0; FIRST_ROWS + 1];
        values[FIRST_ROWS] = 1e300;
        let vectors = RowVectors { target: vec![0.0; values.len()], weight: vec![1.0; values.len()], offset: None };
        let source = RowMajor { values: &values, features: 1, rows: values.len() };
        assert!(pack(&source, &vectors, PackOptions::default()).is_err());
    }
}
