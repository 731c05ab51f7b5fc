//! One sweep over all rows: read, stored, measured and sampled while they are at hand.

use std::ops::Range;

use rayon::prelude::*;

use super::block::{LANES, RowBlock, Stretch, Totals, Values};
use super::blocks::Block;
use super::fingerprint::{Factors, GroupHashes};
use super::panel::{Affine, Crossed, PartMoments, Store, Sums};
use super::sample::{self, Gathering, Pick};
use super::scaling::{Moments, Pooled};
use super::vector::RowVector;
use super::vectors::{RowVectors, VectorSource};
use crate::error::{Error, Result};
use crate::octet::{Stored, dispatch};

/// Groups of rows that are read at a time, and bytes that all columns of them may take unless it is one group: they, where they go
/// and what comes next are to fit the second-level cache beside the sums of all columns.
const PANEL_GROUPS: usize = 4;
const PANEL_BYTES: usize = 128 << 10;
/// Rows that one task packs at the least; more when there are so many that the tasks' sums would fill memory.
const TASK_ROWS: usize = 2048;
const MAX_TASKS: usize = 1024;

/// Rows that are read and stored at a time.
pub(super) struct Panel<'a, R, T> {
    /// The first of them.
    pub(super) start: usize,
    /// How many, padding not counted.
    pub(super) present: usize,
    /// Where they go; what stands there so far.
    pub(super) place: &'a [T],
    /// Where their values are wanted, column by column, padding included.
    pub(super) raw: &'a mut [R],
}

impl Panel<'_, f32, f32> {
    /// Reads the values of `features` columns that stand there so far.
    pub(super) fn read_back(self, features: usize) {
        let padded = self.raw.len() / features;
        for (j, raw) in self.raw.chunks_mut(padded).enumerate() {
            let groups = self.place.chunks(features * LANES).zip(raw.chunks_mut(LANES));
            groups.for_each(|(group, raw)| raw.copy_from_slice(&group[j * LANES..(j + 1) * LANES]));
        }
    }
}

/// Rows that are being stored, one stretch after the other.
pub(super) struct Storing<'a, T> {
    /// What was drawn from them.
    samples: Vec<Gathering<'a, T>>,
    vectors: &'a dyn VectorSource,
    /// Those of the columns in the fingerprint.
    factors: Factors,
    /// The sums of what was stored.
    parts: Vec<TaskSums>,
    /// What each sweep came to, where that is wanted.
    totals: Option<Vec<Totals>>,
}

impl<'a, T: Stored> Storing<'a, T> {
    /// Nothing stored yet; the samples `picks` are drawn on the way.
    ///
    /// # Errors
    /// As [`Storage::zeros`](super::storage::Storage::zeros).
    pub(super) fn new(vectors: &'a dyn VectorSource, features: usize, picks: &'a [Pick]) -> Result<Self> {
        let samples = picks.iter().map(|pick| Gathering::new(pick, features)).collect::<Result<_>>()?;
        Ok(Storing { samples, vectors, factors: Factors::of_x(features), parts: Vec::new(), totals: None })
    }

    /// The same, which adds up what blocks come to as well.
    pub(super) fn adding_up(self) -> Self {
        Storing { totals: Some(Vec::new()), ..self }
    }

    /// Stores the rows from `first_row` on, which begins a group and whose numbers are the first of `vectors`, in `out`, interleaved
    /// by [`LANES`], each column as its `affine` says, and takes the moments and the samples' rows on the way; `read` reads the values of a panel.
    pub(super) fn sweep<R: Stored>(
        &mut self,
        out: &mut [T],
        first_row: usize,
        vectors: &RowVectors,
        affine: &[Affine],
        read: impl Fn(Panel<'_, R, T>) + Sync,
    ) {
        let (features, rows) = (affine.len(), self.vectors.rows());
        if features == 0 {
            return;
        }
        let groups = (PANEL_BYTES / (features * LANES * size_of::<R>())).clamp(1, PANEL_GROUPS);
        // Tasks, and so the bits of their sums, are the same whatever the values are read as.
        let panel_rows = (1 << groups.ilog2()) * LANES;
        let task_rows = TASK_ROWS.max(rows.div_ceil(MAX_TASKS)).next_multiple_of(PANEL_GROUPS * LANES);
        let here = first_row..first_row + vectors.rows().min(out.len() / features);
        let crosses = self.totals.is_some();
        let mut samples: Vec<Vec<sample::Part<'_, T>>> =
            (0..here.len().div_ceil(task_rows)).map(|_| Vec::new()).collect();
        for sample in &mut self.samples {
            samples.iter_mut().zip(sample.parts(here.clone(), task_rows)).for_each(|(task, part)| task.push(part));
        }
        let factors = &self.factors;
        // One by one, so that no thread waits long for the last.
        let tasks = out.par_chunks_mut(task_rows * features).zip(samples).with_max_len(1);
        let parts = tasks.enumerate().map(|(task, (out, mut samples))| {
            let (mut total, mut hashes, mut sums) = (0.0, 0u64, vec![Sums::NONE; features]);
            let mut raw = vec![R::default(); panel_rows * features];
            let mut weights = Weights { rows: vec![0.0; panel_rows], sum: 0.0, filled: None };
            let (mut target, mut weighted) = (0.0, vec![0.0; if crosses { panel_rows } else { 0 }]);
            let mut crossed = vec![[0.0; 8]; if crosses { features } else { 0 }];
            for (panel, out) in out.chunks_mut(panel_rows * features).enumerate() {
                let start = first_row + task * task_rows + panel * panel_rows;
                let padded = out.len() / features;
                let (raw, present) = (&mut raw[..out.len()], padded.min(here.end - start));
                read(Panel { start, present, place: out, raw });
                let first_group = (start - first_row) / LANES;
                let groups = first_group..first_group + padded / LANES;
                let (weight, sum) = weights.of(&vectors.weight, groups.clone());
                total += sum;
                let crossed = crosses.then(|| {
                    let weighted = &mut weighted[..padded];
                    target += times(weight, &vectors.target, groups, weighted);
                    Crossed { weighted, sums: &mut crossed }
                });
                dispatch(Store { raw, weight, present, affine, out, sums: &mut sums, crossed });
                hashes = hashes.wrapping_add(dispatch(GroupHashes { values: out, factors, first: start / LANES }));
                samples.iter_mut().for_each(|sample| sample.take(start, out, features));
            }
            let columns = sums.iter().map(|sums| sums.finish(total)).collect();
            let crossed = crossed.iter().map(|sums| sums.iter().sum()).collect();
            TaskSums { weight: total, hashes, columns, target, crossed }
        });
        let parts: Vec<TaskSums> = parts.collect();
        if let Some(all) = &mut self.totals {
            all.push(totals(&parts, features));
        }
        self.parts.extend(parts);
    }

    /// The moments of what was stored.
    ///
    /// # Errors
    /// [`Error::Numerics`] when a value is not finite or too far from its column's other values for f32.
    pub(super) fn moments(&self, features: usize) -> Result<Vec<Moments>> {
        // All of them before the first fault is sought, which is the same for any number of threads then.
        let all: Vec<_> = (0..features).into_par_iter().map(|j| moments(&self.parts, j)).collect();
        all.into_iter().collect()
    }

    /// Σ h of `fingerprint.rs` over what was stored.
    pub(super) fn hashes(&self) -> u64 {
        self.parts.iter().map(|part| part.hashes).fold(0, u64::wrapping_add)
    }

    /// `blocks` with what each of them comes to, if that is known: one for each sweep.
    pub(super) fn with_totals(&mut self, blocks: Vec<Block>) -> Vec<Block> {
        let mut totals = self.totals.take().into_iter().flatten();
        let known = |block| match (block, totals.next()) {
            (Block::Here(block), Some(totals)) => Block::Here(block.with_totals(totals)),
            (block, _) => block,
        };
        blocks.into_iter().map(known).collect()
    }

    /// Forgets what was stored, so that it can be stored again.
    pub(super) fn start_over(&mut self) {
        self.parts.clear();
        self.totals.iter_mut().for_each(Vec::clear);
        self.samples.iter_mut().for_each(Gathering::start_over);
    }

    /// The samples as blocks.
    ///
    /// # Errors
    /// As [`RowBlock::new`].
    pub(super) fn finish(self, values: fn(Stretch<T>) -> Values) -> Result<Vec<RowBlock>> {
        self.samples.into_iter().map(|sample| sample.finish(self.vectors, values)).collect()
    }
}

/// The weights of a panel's rows.
struct Weights {
    rows: Vec<f64>,
    /// Of those asked for last.
    sum: f64,
    /// How many those are and what all of them weigh, where they weigh the same.
    filled: Option<(usize, f64)>,
}

impl Weights {
    /// Those of the groups `groups` of `weight`, and their sum.
    fn of(&mut self, weight: &RowVector, groups: Range<usize>) -> (&[f64], f64) {
        let padded = groups.len() * LANES;
        let same = weight.same_in(groups.clone()).map(|value| (padded, value));
        if same.is_none() || same != self.filled {
            for (g, lanes) in groups.zip(self.rows.chunks_mut(LANES)) {
                lanes.copy_from_slice(&weight.group(g).lanes());
            }
            (self.sum, self.filled) = (self.rows[..padded].iter().sum(), same);
        }
        (&self.rows[..padded], self.sum)
    }
}

/// The rows of one task.
struct TaskSums {
    /// Σ s.
    weight: f64,
    /// Σ h of `fingerprint.rs`.
    hashes: u64,
    /// Moments of each column.
    columns: Vec<PartMoments>,
    /// Σ s·t.
    target: f64,
    /// Σ s·t·z of each column.
    crossed: Vec<f64>,
}

/// Puts the products of weights and targets of some groups to `out`; their sum.
fn times(weight: &[f64], target: &RowVector, groups: Range<usize>, out: &mut [f64]) -> f64 {
    let mut sum = 0.0;
    for ((g, weight), out) in groups.zip(weight.as_chunks::<LANES>().0).zip(out.as_chunks_mut::<LANES>().0) {
        let target = target.group(g).lanes();
        for lane in 0..LANES {
            out[lane] = weight[lane] * target[lane];
        }
        sum += out.iter().sum::<f64>();
    }
    sum
}

/// What the tasks of a sweep come to.
fn totals(parts: &[TaskSums], features: usize) -> Totals {
    let mut totals = Totals { weight: 0.0, target: 0.0, columns: vec![[0.0; 2]; features] };
    for part in parts {
        totals.weight += part.weight;
        totals.target += part.target;
        for ((total, moments), crossed) in totals.columns.iter_mut().zip(&part.columns).zip(&part.crossed) {
            total[0] += moments.first;
            total[1] += crossed;
        }
    }
    totals
}

/// The moments of column `j`, from those of the parts.
fn moments(parts: &[TaskSums], j: usize) -> Result<Moments> {
    let mut pooled = Pooled::NONE;
    for part in parts {
        let column = part.columns[j];
        if !column.in_range {
            return Err(Error::Numerics(format!(
                "feature {} holds a value that is not finite or is 10³⁸ times farther out than the column's other values; \
                 mend the value or leave the column out with --drop",
                j + 1
            )));
        }
        pooled.add(part.weight, column.first / part.weight, column.spread);
        pooled.reach(column.min, column.max, column.rounding);
    }
    Ok(pooled.moments())
}
