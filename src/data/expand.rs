//! Frames become blocks: as they are where every feature is a number, else with a feature for each level.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::block::{LANES, Values};
use super::blocks::{AwayBlock, Block, each_away};
use super::frames::StoredFrames;
use super::input::MISSING;
use super::matrix::Feature;
use super::pack::{PackOptions, Packed, Stored32, block_rows, cut, picks, storing};
use super::panel::Affine;
use super::scaling::{Moments, StoredColumn, centre_again};
use super::spill::{SpilledBlock, SpilledVectors};
use super::storage::Storage;
use super::sweep::{Panel, Storing};
use super::vectors::{self, RowVectors, VectorSource};
use crate::error::Result;

const IDENTITY: Affine = Affine { factor: 1.0, shift: 0.0 };

/// How the features of a block are made of the columns of a frame, all as stored.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    /// Number columns of a frame.
    count: usize,
    features: Vec<Made>,
    /// Whether the features are the number columns as they are.
    as_they_are: bool,
    /// What is done to each feature afterwards, where its first rows misled.
    again: Option<Vec<Affine>>,
}

/// A feature as stored; `fill` is what a missing value becomes.
#[derive(Debug, Clone, Copy)]
enum Made {
    Number { column: usize, fill: f32 },
    Level { text: usize, level: u32, zero: f32, one: f32, fill: f32 },
}

impl Recipe {
    /// Of `features`, the number columns of which are stored as `columns` say.
    fn new(features: &[Feature<'_>], columns: &[StoredColumn]) -> Self {
        let at = |column: &StoredColumn, x: f64| {
            let Affine { factor, shift } = column.affine();
            x.mul_add(factor, shift) as f32
        };
        let made = |feature: &Feature<'_>| match feature {
            Feature::Number { column, fill } => {
                Made::Number { column: *column, fill: at(&columns[*column], fill.unwrap_or(0.0)) }
            }
            Feature::Level { text, level, fill, stored, .. } => Made::Level {
                text: *text,
                level: *level,
                zero: at(stored, 0.0),
                one: at(stored, 1.0),
                fill: at(stored, *fill),
            },
        };
        let in_place = |(j, feature): (usize, &Feature<'_>)| matches!(feature, Feature::Number { column, fill: None } if *column == j);
        Recipe {
            count: columns.len(),
            features: features.iter().map(made).collect(),
            as_they_are: features.len() == columns.len() && features.iter().enumerate().all(in_place),
            again: None,
        }
    }

    /// Whether a frame's numbers are a block's.
    pub(super) fn keeps_numbers(&self) -> bool {
        self.as_they_are
    }

    /// Number columns of a frame.
    pub(super) fn number_columns(&self) -> usize {
        self.count
    }

    /// Writes the features of whole groups of rows to `out`: `numbers` are theirs, and `codes` those of each text column,
    /// without padding.
    pub(super) fn expand(&self, numbers: &[f32], codes: &[&[u32]], out: &mut [f32]) {
        let (width, count) = (LANES * self.features.len(), LANES * self.count);
        out.par_chunks_mut(width).enumerate().for_each(|(g, out)| {
            let numbers = &numbers[g * count..(g + 1) * count];
            for (feature, out) in self.features.iter().zip(out.chunks_mut(LANES)) {
                match *feature {
                    Made::Number { column, fill } => {
                        out.copy_from_slice(&numbers[column * LANES..(column + 1) * LANES]);
                        out.iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = fill);
                    }
                    Made::Level { text, level, zero, one, fill } => {
                        let codes = codes[text].get(g * LANES..).unwrap_or_default();
                        for (x, code) in out.iter_mut().zip(codes) {
                            *x = match *code {
                                MISSING => fill,
                                code if code == level => one,
                                _ => zero,
                            };
                        }
                        // Rows that are none.
                        out[codes.len().min(LANES)..].fill(0.0);
                    }
                }
            }
        });
    }

    /// Does what is to be done to the features of whole groups of rows afterwards.
    pub(super) fn finish(&self, out: &mut [f32]) {
        let Some(again) = &self.again else { return };
        out.par_chunks_mut(LANES * again.len()).for_each(|group| {
            for (Affine { factor, shift }, lanes) in again.iter().zip(group.chunks_mut(LANES)) {
                lanes.iter_mut().for_each(|z| *z = f64::from(*z).mul_add(*factor, *shift) as f32);
            }
        });
    }
}

/// How each of `features` is stored.
fn stored_columns(features: &[Feature<'_>], columns: &[StoredColumn]) -> Vec<StoredColumn> {
    let stored = |feature: &Feature<'_>| match feature {
        Feature::Number { column, .. } => columns[*column],
        Feature::Level { stored, .. } => *stored,
    };
    features.iter().map(stored).collect()
}

/// Adds what was lost when frames were stored to the rounding of the moments.
fn add_rounding(moments: &mut [Moments], features: &[Feature<'_>], rounding: &[f64]) {
    for (m, feature) in moments.iter_mut().zip(features) {
        if let Feature::Number { column, .. } = feature
            && m.sd > 0.0
        {
            m.rounding += rounding[*column] / m.sd;
        }
    }
}

/// Packs the `features` of the rows in `frames`.
///
/// # Errors
/// As [`super::pack::pack`].
pub(super) fn pack_frames(
    frames: StoredFrames,
    features: &[Feature<'_>],
    codes: &[Vec<u32>],
    vectors: &RowVectors,
    options: PackOptions,
) -> Result<Packed> {
    let rows = vectors.rows();
    let sums = vectors::check(vectors, rows)?;
    let StoredFrames { columns, rounding, frames, frame_rows, .. } = frames;
    let (width, recipe) = (features.len(), Recipe::new(features, &columns));
    let picks = picks(vectors, sums, width, options)?;
    let mut storing = storing(vectors, width, &picks, sums, options)?;
    let block_rows = if recipe.as_they_are { frame_rows } else { block_rows(width, options.block_rows)? };
    let affine = vec![IDENTITY; width];
    let mut stretches = Vec::new();
    for (index, frame) in frames.into_iter().enumerate() {
        let here = index * frame_rows..rows.min((index + 1) * frame_rows);
        let groups = here.len().div_ceil(LANES);
        let mut stretch = frame;
        if !recipe.as_they_are {
            let codes: Vec<&[u32]> = codes.iter().map(|codes| &codes[here.clone()]).collect();
            let mut out = Storage::<f32>::zeros(groups * LANES * width)?;
            recipe.expand(&stretch, &codes, &mut out);
            stretch = out;
        }
        for (block, out) in stretch[..groups * LANES * width].chunks_mut(block_rows * width).enumerate() {
            let first = here.start + block * block_rows;
            let vectors = vectors.slice(first..rows);
            storing.sweep(out, first, &vectors, &affine, |panel: Panel<'_, f32, f32>| panel.read_back(width));
        }
        stretches.push(stretch);
    }
    let mut moments = storing.moments(width)?;
    add_rounding(&mut moments, features, &rounding);
    let used = |index: usize| frame_rows.min(rows - index * frame_rows).div_ceil(LANES) * LANES * width;
    let mut places: Vec<(usize, &mut [f32])> = stretches
        .iter_mut()
        .enumerate()
        .map(|(index, stretch)| (index * frame_rows, &mut stretch[..used(index)]))
        .collect();
    let stored = Stored32 { columns: stored_columns(features, &columns), moments };
    let stored = stored.centred_again(&mut storing, vectors, block_rows, &mut places)?;
    let mut blocks = Vec::new();
    for (index, stretch) in stretches.into_iter().enumerate() {
        let here = index * frame_rows..rows.min((index + 1) * frame_rows);
        blocks.extend(cut(width, block_rows, vectors, here, Arc::new(stretch), Values::F32)?);
    }
    let blocks = storing.with_totals(blocks);
    let (hashes, samples) = (storing.hashes(), storing.finish(Values::F32)?);
    Ok(Packed { blocks, columns: stored.columns, moments: stored.moments, sums, hashes, samples })
}

/// Packs the `features` of rows that were spilled, the numbers stored as `columns` say: their blocks are read from the file
/// whenever they are needed.
///
/// # Errors
/// As [`super::pack::pack`], and what reading fails with.
pub(super) fn pack_spilled(
    vectors: SpilledVectors,
    columns: &[StoredColumn],
    rounding: &[f64],
    features: &[Feature<'_>],
    options: PackOptions,
) -> Result<Packed> {
    let (rows, width) = (vectors.rows(), features.len());
    let sums = vectors::check(&vectors, rows)?;
    let vectors = Arc::new(vectors);
    let picks = picks(&*vectors, sums, width, options)?;
    let mut storing = Storing::new(&*vectors, width, &picks)?;
    let frame_rows = vectors.spilled.frames().frame_rows();
    let recipe = Recipe::new(features, columns);
    let block_rows = block_rows(width, options.block_rows)?.min(frame_rows);
    let starts: Vec<usize> = (0..rows)
        .step_by(frame_rows)
        .flat_map(|frame| (frame..rows.min(frame + frame_rows)).step_by(block_rows))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([rows]);
    let places: Vec<Range<usize>> = starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect();
    let blocks = |recipe: Recipe| -> Vec<AwayBlock> {
        let recipe = Arc::new(recipe);
        let block = |rows: &Range<usize>| SpilledBlock::new(&vectors, &recipe, rows.clone());
        places.iter().map(|rows| AwayBlock::new(rows.len(), width, block(rows))).collect()
    };
    let affine = vec![IDENTITY; width];
    let measure = |storing: &mut Storing<'_, f32>, blocks: &[AwayBlock]| -> Result<Vec<Moments>> {
        storing.start_over();
        each_away(blocks, |index, vectors, out| {
            let start = places[index].start;
            storing.sweep(out, start, vectors, &affine, |panel: Panel<'_, f32, f32>| panel.read_back(width));
            Ok(())
        })?;
        let mut moments = storing.moments(width)?;
        add_rounding(&mut moments, features, rounding);
        Ok(moments)
    };
    let mut stored = stored_columns(features, columns);
    let mut away = blocks(recipe.clone());
    let mut moments = measure(&mut storing, &away)?;
    let before = stored.clone();
    if centre_again(&mut stored, &moments) {
        let again = stored.iter().zip(&before).map(|(new, old)| new.affine_from(old)).collect();
        away = blocks(Recipe { again: Some(again), ..recipe });
        moments = measure(&mut storing, &away)?;
    }
    let (hashes, samples) = (storing.hashes(), storing.finish(Values::F32)?);
    let blocks = away.into_iter().map(Block::Away).collect();
    Ok(Packed { blocks, columns: stored, moments, sums, hashes, samples })
}
