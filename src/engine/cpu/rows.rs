//! One block of rows as the engine holds it: X in the precision it is stored in, logits in the same.

use std::ops::Range;

use rayon::prelude::*;

use super::kernels::{Column, Curvatures, LineProbe, Logits, LossGradient, Rows, Sum};
use super::products::{InF32, InF64, Products};
use crate::data::storage::Storage;
use crate::data::{LANES, Precision, RowBlock, Values};
use crate::engine::{LossSlope, Params};
use crate::error::Result;
use crate::octet::{Stored, dispatch};

/// Groups of rows that one task takes at the least; more when there are so many rows that the tasks' partial sums
/// would fill memory.
const CHUNK_GROUPS: usize = 64;
const MAX_CHUNKS: usize = 1024;

/// What is held of a block, whose X is given when it is needed.
pub(super) enum Held<'a> {
    /// X in f32, products in f32.
    Fast(Block<'a, f32, InF32>),
    F32(Block<'a, f32, InF64>),
    F64(Block<'a, f64, InF64>),
}

/// Does `$work` on the block that `$held` is, whatever its precision.
macro_rules! typed {
    ($held:expr, $block:ident => $work:expr) => {
        match $held {
            Held::Fast($block) => $work,
            Held::F32($block) => $work,
            Held::F64($block) => $work,
        }
    };
    ($held:expr, $of:expr, ($block:ident, $x:ident) => $work:expr) => {
        match ($held, $of.x()) {
            (Held::Fast($block), Values::F32($x)) => {
                let $x = kernels::columns($x);
                $work
            }
            (Held::F32($block), Values::F32($x)) => {
                let $x = kernels::columns($x);
                $work
            }
            (Held::F64($block), Values::F64($x)) => {
                let $x = kernels::columns($x);
                $work
            }
            _ => Err(Error::Numerics("internal: a block changed its precision".into())),
        }
    };
}
pub(super) use typed;

impl<'a> Held<'a> {
    pub(super) fn new(block: &'a RowBlock, models: usize, products: Precision) -> Self {
        match (block.x(), products) {
            (Values::F64(_), _) => Held::F64(Block::new(block, models, InF64)),
            (_, Precision::F32) => Held::Fast(Block::new(block, models, InF32)),
            (_, Precision::F64) => Held::F32(Block::new(block, models, InF64)),
        }
    }
}

/// A block with X in one precision, which is given when it is needed. Vectors have a stretch of padded rows for each model, and are empty until needed.
pub(super) struct Block<'a, T, P> {
    block: &'a RowBlock,
    models: usize,
    products: P,
    kept: Storage<T>,
    latest: Storage<T>,
    direction: Storage<T>,
}

impl<'a, T: Stored, P: Products<T>> Block<'a, T, P> {
    fn new(block: &'a RowBlock, models: usize, products: P) -> Self {
        let (kept, latest, direction) = (Storage::none(), Storage::none(), Storage::none());
        Block { block, models, products, kept, latest, direction }
    }

    fn rows<'x>(&self, x: &'x [Column<T>], groups: Range<usize>) -> Rows<'x, T>
    where
        'a: 'x,
    {
        Rows { block: self.block, x, groups }
    }

    fn padded(&self) -> usize {
        self.block.groups() * LANES
    }

    /// Loss and gradient of each model at `w`; the logits become the latest.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] when there is no memory for the logits.
    pub(super) fn loss_gradient(&mut self, x: &[Column<T>], w: &Params) -> Result<Vec<(f64, Vec<f64>)>> {
        let padded = self.padded();
        let mut latest = std::mem::replace(&mut self.latest, Storage::none());
        if latest.is_empty() {
            latest = Storage::zeros(padded * self.models)?;
        }
        // Each task owns the logits of its rows: one stretch for each model.
        let tasks = tasks(self.block.groups());
        let mut stretches: Vec<Vec<&mut [T]>> = tasks.iter().map(|_| Vec::with_capacity(self.models)).collect();
        for mut model in latest.chunks_mut(padded) {
            for (task, stretches) in tasks.iter().zip(&mut stretches) {
                let (stretch, rest) = model.split_at_mut(task.len() * LANES);
                stretches.push(stretch);
                model = rest;
            }
        }
        let parts: Vec<Vec<(f64, Vec<f64>)>> = tasks
            .into_par_iter()
            .zip(stretches)
            .map(|(groups, logits)| {
                dispatch(LossGradient { rows: self.rows(x, groups), products: self.products, w, logits })
            })
            .collect();
        self.latest = latest;
        let mut total = vec![(0.0, vec![0.0; self.block.features() + 1]); self.models];
        for part in parts {
            for (total, (loss, gradient)) in total.iter_mut().zip(part) {
                total.0 += loss;
                total.1.iter_mut().zip(gradient).for_each(|(total, g)| *total += g);
            }
        }
        Ok(total)
    }

    /// Puts `logits` to the latest ones of model `model` in the rows from `first_row` on.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] when there is no memory for them.
    pub(super) fn set_latest(
        &mut self,
        model: usize,
        first_row: usize,
        logits: impl Iterator<Item = f64>,
    ) -> Result<()> {
        let padded = self.padded();
        if self.latest.is_empty() {
            self.latest = Storage::zeros(padded * self.models)?;
        }
        let of_model = &mut self.latest[model * padded + first_row..(model + 1) * padded];
        of_model.iter_mut().zip(logits).for_each(|(latest, logit)| *latest = T::narrow(logit));
        Ok(())
    }

    /// The latest logits become the kept ones.
    pub(super) fn keep(&mut self) {
        std::mem::swap(&mut self.kept, &mut self.latest);
    }

    /// The direction becomes latest − kept logits.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] when there is no memory for it.
    pub(super) fn start_line(&mut self) -> Result<()> {
        if self.direction.is_empty() {
            self.direction = Storage::zeros(self.kept.len())?;
        }
        let pairs = self.kept.par_iter().zip(self.latest.par_iter());
        let direction = self.direction.par_iter_mut().with_min_len(CHUNK_GROUPS * LANES);
        direction.zip(pairs).for_each(|(d, (kept, latest))| *d = T::narrow(latest.wide() - kept.wide()));
        Ok(())
    }

    /// Loss and slope at each of `steps` from the kept logits along the direction, added to `sums`: for each step a list of
    /// the models.
    pub(super) fn probe(&self, steps: &[f64], sums: &mut [Vec<LossSlope>]) {
        let padded = self.padded();
        for (k, (kept, direction)) in self.kept.chunks(padded).zip(self.direction.chunks(padded)).enumerate() {
            let parts: Vec<Vec<LossSlope>> = tasks(self.block.groups())
                .into_par_iter()
                .map(|groups| {
                    let (start, direction) = (&kept[rows_of(&groups)], &direction[rows_of(&groups)]);
                    dispatch(LineProbe { block: self.block, groups, start, direction, steps })
                })
                .collect();
            for part in parts {
                for (sum, part) in sums.iter_mut().zip(part) {
                    sum[k].loss += part.loss;
                    sum[k].slope += part.slope;
                }
            }
        }
    }

    /// Logits of one model at `w`, into `out`: one for each row.
    pub(super) fn logits(&self, x: &[Column<T>], w: &[f64], out: &mut [f64]) {
        let tasks = tasks(self.block.groups());
        let rows_a_task = tasks.first().map_or(LANES, |groups| groups.len() * LANES);
        tasks.into_par_iter().zip(out.par_chunks_mut(rows_a_task)).for_each(|(groups, out)| {
            let mut padded = vec![0.0; groups.len() * LANES];
            dispatch(Logits { rows: self.rows(x, groups), w, out: &mut padded });
            out.copy_from_slice(&padded[..out.len()]);
        });
    }

    /// Σ of all values.
    pub(super) fn sum(&self, x: &[Column<T>]) -> f64 {
        let features = self.block.features();
        let parts: Vec<f64> = tasks(self.block.groups())
            .into_par_iter()
            .map(|groups| dispatch(Sum { x: &x[groups.start * features..groups.end * features] }))
            .collect();
        parts.iter().sum()
    }

    /// Σ s·y(1−y) of the first model at the kept or the latest point.
    pub(super) fn curvature_sum(&self, of_kept: bool) -> f64 {
        let logits = if of_kept { &self.kept } else { &self.latest };
        let parts: Vec<f64> = tasks(self.block.groups())
            .into_par_iter()
            .map(|groups| {
                let logits = &logits[rows_of(&groups)];
                dispatch(Curvatures { block: self.block, groups, logits })
            })
            .collect();
        parts.iter().sum()
    }
}

/// The padded rows of `groups`.
fn rows_of(groups: &Range<usize>) -> Range<usize> {
    groups.start * LANES..groups.end * LANES
}

/// The groups of each task, cut by their number alone.
fn tasks(groups: usize) -> Vec<Range<usize>> {
    let chunk = CHUNK_GROUPS.max(groups.div_ceil(MAX_CHUNKS));
    (0..groups).step_by(chunk).map(|start| start..groups.min(start + chunk)).collect()
}
