//! How columns are stored: centre and scale, the moments that tell whether they are good, and the rows that suggest them.

use serde::{Deserialize, Serialize};

use rayon::prelude::*;

use super::block::LANES;
use super::hash;
use super::panel::Affine;
use super::source::ColumnSource;
use crate::error::{Error, Result};
use crate::linalg::length;

/// Rows, scattered in groups among the first ones, that suggest a column's centre and scale, and the seed of where they lie:
/// any number does.
const LOOKED_AT: usize = 2048;
const SEED: u64 = 0x100c_4da7;
/// Columns that are looked at together: rows that lie row by row have so many f32 on a line of memory.
const TOGETHER: usize = 16;
/// First rows at the least.
const LEAST_FIRST_ROWS: usize = 256;
/// Largest |mean|/sd in stored units that f32 is trusted with.
pub(super) const MAX_OFF_CENTRE: f64 = 256.0;

/// How a column is stored: z = (x − centre)/scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
    /// Smallest z, before it is rounded for storing.
    pub min: f64,
    /// Largest z, likewise.
    pub max: f64,
    /// Largest |z − stored z| in standard deviations: what storing lost.
    pub rounding: f64,
}

/// Moments of a column as parts of the rows are added, one after the other (Chan, Golub & LeVeque 1983, The American Statistician
/// 37:242).
#[derive(Debug, Clone, Copy)]
pub(super) struct Pooled {
    weight: f64,
    mean: f64,
    spread: f64,
    min: f64,
    max: f64,
    /// Largest |z − stored z|.
    rounding: f64,
}

/// Part of max − min that a standard deviation is at the least: one row in 10¹⁶ makes as much.
const LEAST_SPREAD: f64 = 1e-8;

impl Pooled {
    /// No rows.
    pub(super) const NONE: Pooled =
        Pooled { weight: 0.0, mean: 0.0, spread: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY, rounding: 0.0 };

    /// Adds rows of so much weight, which have that mean and spread Σ s·(z − mean)².
    pub(super) fn add(&mut self, weight: f64, mean: f64, spread: f64) {
        if weight > 0.0 {
            let apart = mean - self.mean;
            self.spread += spread + apart * apart * self.weight * weight / (self.weight + weight);
            self.weight += weight;
            self.mean += apart * weight / self.weight;
        }
    }

    /// Takes the smallest and largest z of some rows, and their largest |z − stored z|.
    pub(super) fn reach(&mut self, min: f64, max: f64, rounding: f64) {
        (self.min, self.max, self.rounding) = (self.min.min(min), self.max.max(max), self.rounding.max(rounding));
    }

    /// The moments of all of them.
    pub(super) fn moments(&self) -> Moments {
        let Pooled { weight, mean, spread, min, max, rounding } = *self;
        // Where the mean is far out of proportion the spread is lost in rounding, but there is one.
        let sd = if max > min { (spread / weight).sqrt().max(LEAST_SPREAD * (max - min)) } else { 0.0 };
        Moments { mean, sd, min, max, rounding: if sd > 0.0 { rounding / sd } else { 0.0 } }
    }
}

impl StoredColumn {
    /// x becomes z.
    pub(super) fn affine(&self) -> Affine {
        Affine { factor: 1.0 / self.scale, shift: -self.centre / self.scale }
    }

    /// z as stored by `old` becomes z.
    pub(super) fn affine_from(&self, old: &StoredColumn) -> Affine {
        Affine { factor: old.scale / self.scale, shift: (old.centre - self.centre) / self.scale }
    }
}

impl Moments {
    /// Whether the suggested centre or scale was too far off for f32.
    fn show_misled(&self) -> bool {
        let far = self.mean.abs() > MAX_OFF_CENTRE * self.sd;
        let mis_scaled = !(2f64.powi(-30)..=2f64.powi(30)).contains(&self.sd);
        !self.is_constant() && (far || mis_scaled)
    }

    /// Whether every row (of positive weight) holds the same value.
    pub fn is_constant(&self) -> bool {
        !(self.max > self.min)
    }
}

/// The first rows of data of `features` columns, among which those are that suggest how it is stored: as many as data of
/// `small` values has.
pub(super) fn first_rows(small: usize, features: usize) -> usize {
    (small / features.max(1)).max(LEAST_FIRST_ROWS)
}

/// What some of the first rows, scattered by their hash, suggest for each column. Missing values are passed over.
pub(super) fn suggest_all(source: &impl ColumnSource, first_rows: usize) -> Result<Vec<StoredColumn>> {
    let rows = source.rows().min(first_rows);
    let mut starts: Vec<usize> = if rows <= LOOKED_AT {
        (0..rows).step_by(LANES).collect()
    } else {
        (0..LOOKED_AT / LANES).map(|i| (hash::mix(SEED, i as u64) % (rows - LANES) as u64) as usize).collect()
    };
    starts.sort_unstable();
    let suggest = |(feature, mut looked_at): (usize, Vec<f64>)| {
        looked_at.retain(|x| !x.is_nan());
        let n = looked_at.len().max(1) as f64;
        let mean = looked_at.iter().map(|x| x / n).sum::<f64>();
        let sd = length(looked_at.iter().map(|x| x - mean)) / n.sqrt();
        if mean.is_finite() {
            return Ok(stored_column(mean, sd));
        }
        Err(Error::Numerics(format!(
            "feature {} holds a value that is not finite; every value must be a finite number",
            feature + 1
        )))
    };
    let features = source.features();
    let together: Vec<Vec<StoredColumn>> = (0..features.div_ceil(TOGETHER))
        .into_par_iter()
        .map(|tile| {
            let tile = tile * TOGETHER..features.min((tile + 1) * TOGETHER);
            let mut looked_at: Vec<_> = tile.clone().map(|_| Vec::with_capacity(starts.len() * LANES)).collect();
            for &start in &starts {
                for (feature, values) in tile.clone().zip(&mut looked_at) {
                    let before = values.len();
                    values.resize(before + LANES.min(rows - start), 0.0);
                    source.fill(feature, start, &mut values[before..]);
                }
            }
            tile.zip(looked_at).map(suggest).collect()
        })
        .collect::<Result<_>>()?;
    Ok(together.concat())
}

/// Gives columns whose suggestions misled the centre and scale that their moments ask for; whether there are any.
pub(super) fn centre_again(columns: &mut [StoredColumn], moments: &[Moments]) -> bool {
    let mut any = false;
    for (column, m) in columns.iter_mut().zip(moments).filter(|(_, m)| m.show_misled()) {
        *column = stored_column(column.centre + column.scale * m.mean, column.scale * m.sd);
        any = true;
    }
    any
}

pub(super) fn stored_column(mean: f64, sd: f64) -> StoredColumn {
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
